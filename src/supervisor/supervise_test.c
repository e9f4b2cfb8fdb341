/* supervise_test.c - real processes under the supervisor: order, restarts, failures, adoption, the
 * end. */
#include "supervisor/supervise.h"

#include "base/check.h"
#include "base/units.h"
#include "supervisor/state.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS (20 * SEC)

struct fixture {
    struct arena arena;
    char dir[64];
    struct plan plan;
    pid_t supervisor;
    int notify_fd;
};

static int setup(void **state)
{
    struct fixture *f = new_zero(struct fixture);
    snprintf(f->dir, sizeof f->dir, "/tmp/c3fs-supervise-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(mkdir(arena_printf(&f->arena, "%s/run", f->dir), 0755), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->supervisor > 0) {
        kill(f->supervisor, SIGTERM);
        waitpid(f->supervisor, NULL, 0);
    }
    if (f->notify_fd > 0) close(f->notify_fd);
    assert_int_equal(system(arena_printf(&f->arena, "rm -rf '%s'", f->dir)), 0);
    arena_done(&f->arena);
    free(f);
    return 0;
}

/* A shell script with D as the fixture's directory. */
static struct child_plan *add(struct fixture *f, const char *name, uint32_t stage,
                              const char *script)
{
    struct child_plan *child = &f->plan.children[f->plan.count++];
    child->name = name;
    child->stage = stage;
    child->rank = RANK_SERVICE;
    child->log_path = arena_printf(&f->arena, "%s/%s.log", f->dir, name);
    child->argv = arena_array(&f->arena, char *, 4);
    child->argv[0] = arena_printf(&f->arena, "/bin/sh");
    child->argv[1] = arena_printf(&f->arena, "-c");
    child->argv[2] = arena_printf(&f->arena, "D='%s'\n%s", f->dir, script);
    child->environment = arena_array(&f->arena, const char *, 2);
    child->environment[0] = "GIVEN=yes";
    f->plan.stage_count = MAX_OF(f->plan.stage_count, stage + 1);
    return child;
}

static void start(struct fixture *f, uint64_t start_timeout_ns)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    f->supervisor = fork();
    if (f->supervisor == 0) {
        struct supervise_options options = { .dir = f->dir,
                                             .plan = &f->plan,
                                             .notify_fd = fds[1],
                                             .start_timeout_ns = start_timeout_ns,
                                             .stop_grace_ns = 300 * MSEC };
        _exit(supervise(&options));
    }
    close(fds[1]);
    if (f->notify_fd > 0) close(f->notify_fd);
    f->notify_fd = fds[0];
}

/* The first line that is not progress. */
static const char *verdict(struct fixture *f)
{
    static const size_t size = 2048;
    char *line = arena_zalloc(&f->arena, size);
    for (size_t i = 0; i + 1 < size && read(f->notify_fd, line + i, 1) == 1; i++) {
        if (line[i] == '\n') break;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static struct cluster_state *load(struct fixture *f)
{
    struct cluster_state *state = arena_new(&f->arena, struct cluster_state);
    const char *error;
    if (cluster_state_load(f->dir, &f->arena, state, &error) < 0)
        *state = (struct cluster_state){ 0 };
    return state;
}

/* Waits until the child is in the state and was restarted at least so often. */
static struct child_state *wait_child(struct fixture *f, uint32_t index, const char *name,
                                      uint32_t restart_count)
{
    uint64_t until_ns = monotonic_ns() + PATIENCE_NS;
    for (; monotonic_ns() < until_ns; pause_ns(5 * MSEC)) {
        struct cluster_state *state = load(f);
        if (state->child_count <= index) continue;
        struct child_state *c = &state->children[index];
        if (strcmp(c->state, name) == 0 && c->restart_count >= restart_count) return c;
    }
    fail_msg("%s is not %s after %u restarts", f->plan.children[index].name, name, restart_count);
    abort();
}

static const char *file_text(struct fixture *f, const char *name)
{
    char *text = arena_zalloc(&f->arena, 4096);
    FILE *in = fopen(arena_printf(&f->arena, "%s/%s", f->dir, name), "r");
    if (!in) return "";
    text[fread(text, 1, 4095, in)] = '\0';
    fclose(in);
    return text;
}

/* Waits until the file holds both lines: two processes started one after the other may write in
 * either order. */
static const char *wait_text(struct fixture *f, const char *name, const char *one,
                             const char *other)
{
    uint64_t until_ns = monotonic_ns() + PATIENCE_NS;
    for (; monotonic_ns() < until_ns; pause_ns(5 * MSEC)) {
        const char *text = file_text(f, name);
        const char *end = text + strlen(text);
        if (strstr(text, one) && strstr(text, other) && end[-1] == '\n') return text;
    }
    fail_msg("%s never held both '%s' and '%s'", name, one, other);
    abort();
}

static int end(struct fixture *f)
{
    int status;
    kill(f->supervisor, SIGTERM);
    assert_int_equal(waitpid(f->supervisor, &status, 0), f->supervisor);
    f->supervisor = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char service[] = "trap 'echo end $N >> $D/order; exit 0' TERM\n"
                              "echo begin $N >> $D/order\nwhile :; do sleep 0.01; done";

static const char *service_named(struct fixture *f, const char *name)
{
    return arena_printf(&f->arena, "N=%s\n%s", name, service);
}

/* Stages begin in order; services end by rank; a task that was done is not done again. */
static void test_order(void **state)
{
    struct fixture *f = *state;
    struct child_plan *task = add(f, "make", 0, "sleep 0.1; echo made $GIVEN >> $D/order");
    task->is_task = true;
    task->done_path = arena_printf(&f->arena, "%s/made", f->dir);
    add(f, "base", 1, service_named(f, "base"))->rank = RANK_MGMTD;
    add(f, "late", 2, service_named(f, "late"))->rank = RANK_MOUNT;
    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    struct cluster_state *s = load(f);
    assert_true(s->is_ready && !s->is_stopping);
    assert_int_equal(s->supervisor.pid, f->supervisor);
    assert_string_equal(s->children[0].state, "done");
    assert_true(process_is_alive(s->children[1].process));
    const char *text = wait_text(f, "order", "begin base", "begin late"); /* the traps are set */
    assert_true(strncmp(text, "made yes\n", strlen("made yes\n")) == 0);
    assert_int_equal(end(f), 0);
    text = file_text(f, "order") + strlen(text);
    assert_string_equal(text, "end late\nend base\n");
    assert_string_equal(load(f)->children[1].state, "stopped");
    assert_false(process_is_alive(s->children[1].process));

    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    assert_int_equal(end(f), 0);
    assert_null(strstr(file_text(f, "order") + strlen("made yes"), "made"));
}

static void test_restart(void **state)
{
    struct fixture *f = *state;
    add(f, "victim", 0, "exec sleep 1000");
    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    for (uint32_t i = 1; i <= 3; i++) {
        struct child_state *c = wait_child(f, 0, "running", i - 1);
        kill(c->process.pid, SIGKILL);
        c = wait_child(f, 0, "running", i);
        assert_string_equal(c->last_end, "signal 9 (KILL)");
        assert_true(load(f)->is_ready);
    }
    assert_int_equal(end(f), 0);
}

static void test_failing_start(void **state)
{
    static const struct {
        const char *script, *expected;
    } cases[] = {
        { "echo a line; echo 'unknown key x'; exit 2", "E" }, /* at once */
        { "echo broken; exit 1", "E" },                       /* after a few tries */
        { "kill -ABRT $$", "E" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture *f = *state;
        f->plan = (struct plan){ 0 };
        add(f, "other", 0, "exec sleep 1000");
        add(f, "broken", 0, cases[i].script)->is_task = true;
        start(f, 0);
        const char *line = verdict(f);
        assert_int_equal(line[0], 'E');
        assert_non_null(strstr(line, "broken: "));
        if (i == 0) assert_non_null(strstr(line, "exit status 2; "));
        if (i == 0) assert_non_null(strstr(line, "ends: unknown key x"));
        int status;
        assert_int_equal(waitpid(f->supervisor, &status, 0), f->supervisor);
        f->supervisor = 0;
        assert_int_equal(WEXITSTATUS(status), 1);
        struct cluster_state *s = load(f);
        assert_false(s->is_ready);
        assert_string_equal(s->children[0].state, "stopped");
        assert_non_null(strstr(s->trouble, "broken: "));
    }
}

static void test_late_start(void **state)
{
    struct fixture *f = *state;
    add(f, "slow", 0, "exec sleep 1000")->is_task = true;
    start(f, 200 * MSEC);
    const char *line = verdict(f);
    assert_non_null(strstr(line, "slow: not done in time"));
    assert_int_equal(end(f), 1);
}

static void test_stubborn(void **state)
{
    struct fixture *f = *state;
    add(f, "stubborn", 0, "trap '' TERM; echo set > $D/trap; while :; do sleep 0.01; done");
    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    while (!file_text(f, "trap")[0])
        pause_ns(5 * MSEC);
    struct process_id process = wait_child(f, 0, "running", 0)->process;
    uint64_t before_ns = monotonic_ns();
    assert_int_equal(end(f), 0);
    assert_true(monotonic_ns() - before_ns >= 300 * MSEC);
    assert_false(process_is_alive(process));
    assert_string_equal(load(f)->children[0].last_end, "signal 9 (KILL)");
}

/* The next supervisor goes on with the processes of one that was killed. */
static void test_adopt(void **state)
{
    struct fixture *f = *state;
    add(f, "kept", 0, "exec sleep 1000");
    add(f, "lost", 0, "exec sleep 1000");
    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    struct process_id kept = wait_child(f, 0, "running", 0)->process;
    struct process_id lost = wait_child(f, 1, "running", 0)->process;
    kill(f->supervisor, SIGKILL);
    waitpid(f->supervisor, NULL, 0);
    process_signal(lost, SIGKILL);
    while (process_is_alive(lost))
        pause_ns(MSEC);
    start(f, 0);
    assert_string_equal(verdict(f), "Rready");
    assert_int_equal(wait_child(f, 0, "running", 0)->process.pid, kept.pid);
    assert_int_not_equal(wait_child(f, 1, "running", 0)->process.pid, lost.pid);
    process_signal(kept, SIGKILL); /* an adopted one is watched like a child */
    struct child_state *again = wait_child(f, 0, "running", 1);
    assert_int_not_equal(again->process.pid, kept.pid);
    assert_int_equal(end(f), 0);
    assert_false(process_is_alive(again->process));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stubborn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
