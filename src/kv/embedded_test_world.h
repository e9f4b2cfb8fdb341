/* embedded_test_world.h - one process of a test: a loop, a node, a store's directory; children by
 * fork().
 *
 * A child is forked before its parent has a loop or a store open, so that it inherits neither.
 * Steps that must succeed end the process when they do not.
 */
#pragma once
#include "base/check.h"
#include "kv/kv.h"
#include "loop/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct process {
    const char *dir;
    enum loop_backend backend;
    struct loop *loop;
    struct node *node;
    struct kv *kv;
    void (*fn)(struct process *p);
    void *arg;
};

static inline uint64_t clock_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

static inline int process_main(void *arg) fiber_fn
{
    struct process *p = arg;
    p->fn(p);
    p->kv = kv_close(p->kv);
    return 0;
}

/* Runs p->fn as the main fiber of a new loop and node; what it left open in p->kv is closed. */
static inline void process_run(struct process *p, void (*fn)(struct process *p))
{
    p->fn = fn;
    int r = loop_new(p->backend, &p->loop, NULL);
    check(r >= 0);
    p->node = node_new(p->loop, NULL, "test");
    p->node->log.level = LOG_WARN;
    r = loop_run_main(p->loop, p->node, process_main, p);
    check(r == 0);
    p->node = node_free(p->node);
    p->loop = loop_free(p->loop);
}

static inline void process_open(struct process *p) fiber_fn
{
    struct kv_embedded_options options = { .dir = p->dir, .map_bytes = GIB };
    int r = kv_embedded_open(p->node, &options, &p->kv);
    check(r == 0);
}

/* The child runs @fn and exits with 0. */
static inline pid_t process_fork(const struct process *like, void (*fn)(struct process *p),
                                 void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid > 0) return pid;
    struct process p = { .dir = like->dir, .backend = like->backend, .arg = arg };
    process_run(&p, fn);
    fflush(NULL);
    _exit(0);
}

/* The status of waitpid(). */
static inline int process_join(pid_t pid)
{
    int status;
    pid_t r = waitpid(pid, &status, 0);
    check(r == pid);
    return status;
}

static inline char *test_dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char text[256];
    snprintf(text, sizeof(text), "%s/kv-test-XXXXXX", tmp ? tmp : "/tmp");
    char *dir = strdup(text);
    check(dir && mkdtemp(dir));
    return dir;
}

/* Removes the directory and the files in it. */
static inline void test_dir_remove(char *dir)
{
    static const char *const names[] = { "data.mdb",  "lock.mdb",  "lock",   "kv.sock",
                                         "journal-0", "journal-1", "backup", NULL };
    for (int i = 0; names[i]; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    free(dir);
}
