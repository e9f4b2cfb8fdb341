/* place_real.c - processes of this host: this program, started again with a role as arguments. */
#include "base/check.h"
#include "loop/file.h"
#include "sim/place_internal.h"
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FLAG     "--as-role"
#define START_LIMIT_NS (30 * SEC)
#define END_LIMIT_NS   (30 * SEC)

/* ---- a child ---- */

struct child {
    struct node *node;
    struct role role;
    struct scope main;
};

static int watch_stop(void *arg)
{
    struct child *c = arg;
    const int signals[] = { SIGTERM };
    int r = signal_wait(c->node, signals, 1);
    if (r >= 0) scope_cancel(&c->main);
    return 0;
}

static int run_role(void *arg)
{
    struct child *c = arg;
    return role_run(c->node, &c->role);
}

static int child_fiber(void *arg)
{
    struct child *c = arg;
    scope_init(&c->main, NULL);
    c->main.local = c->node;
    int r = fiber_spawn(&c->node->scope, "stop", watch_stop, c);
    if (r == 0) r = fiber_spawn(&c->main, "role", run_role, c);
    if (r == 0) r = scope_wait(&c->main);
    scope_done(&c->main);
    return r == -ERR_CANCELED ? 0 : r;
}

/* PROGRAM --as-role BACKEND KIND NODE_ID LISTEN MGMTD DIR */
int place_child_main(int argc, char **argv)
{
    if (argc != 8 || strcmp(argv[1], CHILD_FLAG) != 0) return -1;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct child c = { .role = { .kind = (enum role_kind)strtoul(argv[3], NULL, 10),
                                 .node_id = (uint32_t)strtoul(argv[4], NULL, 10) } };
    snprintf(c.role.listen, sizeof c.role.listen, "%s", argv[5]);
    snprintf(c.role.mgmtd, sizeof c.role.mgmtd, "%s", argv[6]);
    snprintf(c.role.dir, sizeof c.role.dir, "%s", argv[7]);
    struct loop *loop = NULL;
    int r = loop_new((enum loop_backend)strtoul(argv[2], NULL, 10), &loop, NULL);
    if (r < 0) return 2;
    c.node = node_new(loop, NULL, role_kind_name(c.role.kind));
    r = loop_run_main(loop, c.node, child_fiber, &c);
    node_free(c.node);
    loop_free(loop);
    return r < 0 ? 1 : 0;
}

/* ---- from the test ---- */

static int spawn_child(struct process *p)
{
    char backend[16], kind[16], node_id[16], log[160];
    snprintf(backend, sizeof backend, "%d", (int)p->place->backend);
    snprintf(kind, sizeof kind, "%d", (int)p->role.kind);
    snprintf(node_id, sizeof node_id, "%u", p->role.node_id);
    snprintf(log, sizeof log, "%s/%s.log", p->place->dir, p->name);
    char program[] = "/proc/self/exe", flag[] = CHILD_FLAG;
    char *argv[] = { program,        flag,          backend,     kind, node_id,
                     p->role.listen, p->role.mgmtd, p->role.dir, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int e = posix_spawn(&p->pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return e ? error_from_errno(e) : 0;
}

/* A manager's address is known when it serves; whoever is started again keeps it. */
static int read_address(struct process *p)
{
    char path[160];
    snprintf(path, sizeof path, "%s/" ROLE_ADDRESS_FILE, p->role.dir);
    uint64_t end_ns = place_now_ns(p->place) + START_LIMIT_NS;
    for (;;) {
        cleanup_(freep) char *text = NULL;
        size_t size;
        int r = file_read_all(p->place->node, path, sizeof p->role.listen - 1, &text, &size);
        if (r >= 0) {
            snprintf(p->role.listen, sizeof p->role.listen, "%s", text);
            return 0;
        }
        if (real_process_has_failed(p)) return -ERR_FOUND_BUG;
        if (place_now_ns(p->place) > end_ns) return -ERR_TIMEOUT;
        r = fiber_sleep(5 * MSEC);
        if (r < 0) return r;
    }
}

int real_process_start(struct process *p)
{
    int r = dir_make(p->place->node, p->role.dir, 0700);
    if (r >= 0) r = spawn_child(p);
    if (r == 0 && p->role.kind == ROLE_MGMTD) r = read_address(p);
    return r;
}

int real_process_end(struct process *p, enum ending how)
{
    if (p->pid == 0) return -ERR_FOUND_BUG; /* it has failed, and was seen to */
    kill(p->pid, how == ENDING_STOP ? SIGTERM : SIGKILL);
    uint64_t end_ns = place_now_ns(p->place) + END_LIMIT_NS;
    int status = 0;
    FIBER_SHIELD();
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (place_now_ns(p->place) > end_ns) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, &status, 0);
            p->pid = 0;
            return -ERR_TIMEOUT;
        }
        int r = fiber_sleep(1 * MSEC);
        if (r < 0) return r;
    }
    p->pid = 0;
    bool is_right = how == ENDING_STOP ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                       : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return is_right ? 0 : -ERR_FOUND_BUG;
}

bool real_process_has_failed(struct process *p)
{
    int status;
    if (p->pid && waitpid(p->pid, &status, WNOHANG) == p->pid) p->pid = 0;
    return p->pid == 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int place_real_run(struct place *p, enum loop_backend backend, int (*main_fn)(void *arg), void *arg)
{
    p->backend = backend;
    int r = loop_new(backend, &p->loop, NULL);
    if (r < 0) return r;
    /* A real disk: not every tmpfs has O_DIRECT. */
    snprintf(p->dir, sizeof p->dir, "/var/tmp/c3fs-seam-XXXXXX");
    check(mkdtemp(p->dir));
    p->node = node_new(p->loop, NULL, "test");
    r = loop_run_main(p->loop, p->node, main_fn, arg);
    p->node = node_free(p->node);
    p->loop = loop_free(p->loop);
    if (r < 0)
        fprintf(stderr, "files and logs are kept in %s\n", p->dir);
    else
        nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return r;
}
