/* team.c - forks the members, leads them through the phases, adds up. */
#include "team.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a member says at the end of a phase. */
struct team_report {
    uint64_t begin_ns, end_ns, operation_count, cpu_us;
};

struct watched {
    pid_t pid;
    uint64_t cpu_us; /* at the begin of the phase */
};

struct team {
    const struct team_options *options;
    struct team_member members[TEAM_MEMBER_COUNT_MAX];
    pid_t pids[TEAM_MEMBER_COUNT_MAX];
    struct watched watched[TEAM_WATCH_COUNT_MAX];
    uint32_t watch_count;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t own_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* User and system time of a process; 0 when it is gone. */
static uint64_t cpu_us_of(pid_t pid)
{
    char path[64], text[1024];
    unsigned long long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    char *line = fgets(text, sizeof text, f);
    fclose(f);
    const char *after_name = line ? strrchr(line, ')') : NULL;
    if (!after_name || sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                              &user, &system) != 2)
        return 0;
    return (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* ---- of a member ---- */

int team_begin(struct team_member *m)
{
    uint8_t phase;
    if (read(m->go_fd, &phase, 1) != 1) return -1;
    m->begin_ns = now_ns();
    m->begin_cpu_us = own_cpu_us();
    return phase;
}

void team_end(struct team_member *m, uint64_t operation_count)
{
    struct team_report report = { m->begin_ns, now_ns(), operation_count,
                                  own_cpu_us() - m->begin_cpu_us };
    if (write(m->done_fd, &report, sizeof report) != sizeof report) _exit(1);
}

/* ---- of the parent ---- */

uint32_t team_number(const char *option, const char *text, uint32_t max)
{
    char *end;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    if (!text || *end || value < 1 || value > max) {
        fprintf(stderr, "%s: '%s' is not a number from 1 to %u\n", option, text ? text : "", max);
        exit(2);
    }
    return (uint32_t)value;
}

static bool start_members(struct team *team)
{
    const struct team_options *o = team->options;
    for (uint32_t i = 0; i < o->member_count; i++) {
        int go[2], done[2];
        if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0) return false;
        team->pids[i] = fork();
        if (team->pids[i] < 0) return false;
        if (team->pids[i] == 0) {
            close(go[1]);
            close(done[0]);
            for (uint32_t k = 0; k < i; k++) { /* or the others would not see the parent's end */
                close(team->members[k].go_fd);
                close(team->members[k].done_fd);
            }
            struct team_member m = { .index = i, .go_fd = go[0], .done_fd = done[1] };
            int r = o->member(&m, o->arg);
            fflush(stdout);
            _exit(r < 0 ? 1 : 0);
        }
        close(go[0]);
        close(done[1]);
        team->members[i] = (struct team_member){ .index = i, .go_fd = go[1], .done_fd = done[0] };
    }
    return true;
}

static void watch_parse(struct team *team)
{
    const char *p = team->options->watch;
    while (p && *p && team->watch_count < TEAM_WATCH_COUNT_MAX) {
        char *end;
        long pid = strtol(p, &end, 10);
        if (end == p) break;
        team->watched[team->watch_count++].pid = (pid_t)pid;
        p = *end == ',' ? end + 1 : end;
    }
}

static bool drop_caches(void)
{
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, "3", 1) == 1;
    if (fd >= 0) close(fd);
    return is_done;
}

static void print_phase(struct team *team, const char *name, const struct team_report *sum,
                        double seconds)
{
    double per_second = (double)sum->operation_count / seconds;
    double each = 1.0 / (double)sum->operation_count;
    if (team->options->is_json) {
        printf("{\"phase\": \"%s\", \"count\": %llu, \"seconds\": %.6f, \"per_second\": %.1f, "
               "\"own_cpu_us\": %.2f, \"cpu_us\": {",
               name, (unsigned long long)sum->operation_count, seconds, per_second,
               (double)sum->cpu_us * each);
    } else {
        printf("%-10s %9.0f /s   own CPU %6.1f us", name, per_second, (double)sum->cpu_us * each);
    }
    double total = 0;
    for (uint32_t i = 0; i < team->watch_count; i++) {
        const struct watched *w = &team->watched[i];
        double us = (double)(cpu_us_of(w->pid) - w->cpu_us) * each;
        total += us;
        if (team->options->is_json) {
            printf("%s\"%d\": %.2f", i ? ", " : "", (int)w->pid, us);
        } else if (us >= 0.5) {
            printf("   %d: %.1f us", (int)w->pid, us);
        }
    }
    printf("%s", team->options->is_json ? "}}\n" : "");
    if (!team->options->is_json && team->watch_count > 0) printf("   all watched: %.1f us", total);
    if (!team->options->is_json) putchar('\n');
    fflush(stdout);
}

static bool run_phase(struct team *team, uint8_t phase)
{
    const struct team_options *o = team->options;
    struct team_report sum = { .begin_ns = UINT64_MAX };
    if (o->drops_caches && !drop_caches()) {
        fprintf(stderr, "/proc/sys/vm/drop_caches: %s\n", strerrordesc_np(errno));
        return false;
    }
    for (uint32_t i = 0; i < team->watch_count; i++)
        team->watched[i].cpu_us = cpu_us_of(team->watched[i].pid);
    for (uint32_t i = 0; i < o->member_count; i++) {
        if (write(team->members[i].go_fd, &phase, 1) != 1) return false;
    }
    for (uint32_t i = 0; i < o->member_count; i++) {
        struct team_report report;
        if (read(team->members[i].done_fd, &report, sizeof report) != sizeof report) return false;
        if (report.begin_ns < sum.begin_ns) sum.begin_ns = report.begin_ns;
        if (report.end_ns > sum.end_ns) sum.end_ns = report.end_ns;
        sum.operation_count += report.operation_count;
        sum.cpu_us += report.cpu_us;
    }
    if (sum.operation_count == 0) return true; /* preparation */
    print_phase(team, o->phases[phase], &sum, (double)(sum.end_ns - sum.begin_ns) / 1e9);
    return true;
}

int team_run(const struct team_options *options)
{
    struct team team = { .options = options };
    signal(SIGPIPE, SIG_IGN);
    fflush(stdout);
    watch_parse(&team);
    bool is_well = start_members(&team);
    for (uint8_t i = 0; is_well && options->phases[i]; i++)
        is_well = run_phase(&team, i);
    for (uint32_t i = 0; i < options->member_count; i++) {
        if (team.pids[i] <= 0) continue;
        close(team.members[i].go_fd);
        if (!is_well) kill(team.pids[i], SIGTERM);
        int status;
        if (waitpid(team.pids[i], &status, 0) != team.pids[i] || status != 0) is_well = false;
    }
    return is_well ? 0 : 1;
}
