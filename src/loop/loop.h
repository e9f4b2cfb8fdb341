/* loop.h - the event loop of one thread, the one seam between c3fs and the machine.
 *
 * Three back ends behind one interface and one conformance suite (loop_test.c):
 *   uring  liburing; flags and opcodes are probed at start
 *   posix  epoll and a bounded pool of helper threads for disk
 *   sim    virtual time, seeded randomness, simulated network and disks: see sim.h
 * Code above the seam cannot tell which one it runs on; it never calls time(), rand(), socket(),
 * pread() or pthread_*. tests/tidy enforces that.
 */
#pragma once
#include "loop/node.h"

struct loop;

enum loop_backend { LOOP_AUTO, LOOP_URING, LOOP_POSIX, LOOP_BACKEND_MAX };

/* LOOP_AUTO takes uring, or posix where io_uring is forbidden or too old; loop_backend_name() tells
 * which and *ret_why (may be NULL) gets a literal reason or NULL. -ERR_SYSTEM of the probe when
 * @backend is forced. */
int loop_new(enum loop_backend backend, struct loop **ret, const char **ret_why) must_check;
struct loop *loop_free(struct loop *loop);
CLEANUP_FUNC(struct loop *, loop_free)
const char *loop_backend_name(const struct loop *loop);
struct sched *loop_sched(struct loop *loop);
bool loop_is_simulated(const struct loop *loop);
/* A pointer that the loop keeps for src/rpc, NULL at first: the servers that callers on this loop
 * reach without a connection. */
void **loop_rpc_slot(struct loop *loop);
/* The same for src/kv: the stores that nodes of this loop have open together. */
void **loop_kv_slot(struct loop *loop);

/* Runs until loop_quit(), from any fiber of the loop or from a loop_post() callback; returns its
 * argument. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int result);
/* Runs main(arg) as a fiber of @node's root scope until it returns, then stops the node; returns
 * its result. A loop_quit() meanwhile cancels the node, and its argument is returned once all has
 * ended. The usual main(). */
int loop_run_main(struct loop *loop, struct node *node, int (*main_fn)(void *arg), void *arg);

/* ---- across threads ---- */

/* Calls fn(arg) soon on the loop's thread, outside of any fiber. From any thread; never blocks. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Runs fn(arg) on a helper thread while the calling fiber waits (uninterruptible: fn must end by
 * itself). In the simulator fn runs inline, as an event of its own after a random delay. Returns
 * fn's result; -ERR_CANCELED or -ERR_TIMEOUT only when fn was not begun before the fiber's
 * cancellation or deadline, and never will be. */
int blocking_run(struct node *node, int (*fn)(void *arg), void *arg) fiber_fn must_check;

/* ---- descriptors that others own: /dev/fuse, a terminal. Real back ends only. ---- */

/* Waits until @fd is readable (@events POLLIN) or writable (POLLOUT). 0, -ERR_CANCELED,
 * -ERR_TIMEOUT. */
int fd_wait(struct node *node, int fd, int events) fiber_fn must_check;
/* Waits for one of the signals (blocked before by the caller); the number, or an error. Real only.
 */
int signal_wait(struct node *node, const int *signals, size_t count) fiber_fn must_check;
