/* embedded_role.c - who serves: this process, if it gets the lock, or the one that has it.
 *
 * The holder listens before it opens its store, so that the others can see from the first moment
 * who it is, and answers their greeting when the store is open. A metadata service should hold it:
 * its transactions then cost no messages. So others yield for a moment when they find it free.
 */
#include "base/check.h"
#include "kv/embedded.h"

#include <stdio.h>

#define PAUSE_NS       (5 * MSEC)
#define PAUSE_ERROR_NS (1 * SEC)
#define YIELD_NS       (200 * MSEC)

void embedded_set_role(struct embedded *e, enum kv_role role)
{
    e->role = role;
    e->epoch++;
    int pid = role == KV_ROLE_REMOTE ? kv_client_holder(e->client)->pid : kv_process_own();
    snprintf(e->text, sizeof(e->text),
             role == KV_ROLE_NONE ? "embedded, %s, served by nobody"
                                  : "embedded, %s, served by pid %d",
             e->dir.path, pid);
    wait_queue_wake_all(&e->role_changed);
}

void embedded_wait_idle(struct embedded *e)
{
    FIBER_SHIELD();
    while (e->operation_count > 0) {
        int r = wait_queue_wait(&e->idle, "kv: operations to end");
        check(r == 0);
    }
}

/* ---- holder ---- */

/* Errors that time does not heal. */
static bool is_fatal(int r)
{
    return r == -ERR_NOT_SUPPORTED || r == -ERR_FORMAT_TOO_NEW || r == -ERR_DATA_CORRUPTION;
}

static int open_and_serve(struct embedded *e) fiber_fn
{
    struct store_options options = { .dir = e->dir.path, .map_bytes = e->map_bytes };
    int r = kv_server_start(e->node, e->dir.socket_path, &e->server);
    if (r < 0) return log_error(&e->node->log, r, "kv: cannot listen at %s", e->dir.socket_path);
    r = store_open(e->node, &options, &e->store);
    if (r == -ERR_CANCELED) return r;
    if (r < 0) return log_error(&e->node->log, r, "kv: cannot open the store in %s", e->dir.path);
    kv_server_set_store(e->server, e->store);
    embedded_set_role(e, KV_ROLE_HOLDER);
    log_info(&e->node->log, "kv: serving %s", e->dir.path);
    return store_wait_failed(e->store);
}

/* With the lock. */
static int hold(struct embedded *e) fiber_fn
{
    int r = open_and_serve(e);
    if (e->role == KV_ROLE_HOLDER) embedded_set_role(e, KV_ROLE_NONE);
    e->server = kv_server_stop(e->server);
    embedded_wait_idle(e);
    e->store = store_close(e->store);
    return r;
}

/* ---- remote ---- */

static int greet_fiber(void *arg) fiber_fn
{
    struct embedded *e = arg;
    int r = kv_client_hello(e->client);
    if (r == -ERR_RPC_VERIFY_RESPONSE) {
        log_warn(&e->node->log, r, "kv: process %d that serves %s is of another release",
                 kv_client_holder(e->client)->pid, e->dir.path);
    }
    if (r < 0) return 0;
    embedded_set_role(e, KV_ROLE_REMOTE);
    return 0;
}

static void follow(struct embedded *e) fiber_fn
{
    struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = e->node;
    int r = fiber_spawn(&scope, "kv hello", greet_fiber, e);
    if (r >= 0) embedded_watch(e);
    kv_client_break(e->client);
    scope_done(&scope);
    if (e->role == KV_ROLE_REMOTE) embedded_set_role(e, KV_ROLE_NONE);
    embedded_wait_idle(e);
    e->client = kv_client_close(e->client);
}

/* ---- choosing ---- */

static int pause_for(struct embedded *e, uint64_t ns) fiber_fn
{
    return fiber_sleep(ns / 2 + node_random_below(e->node, ns));
}

/* What the role fiber remembers. */
struct candidate {
    bool has_followed;
    uint64_t free_since_ns; /* or since when this one looks */
};

static bool may_hold(const struct embedded *e, const struct candidate *c)
{
    if (e->is_tool && c->has_followed) return false;
    return !e->yields || node_now_ns(e->node) - c->free_since_ns >= YIELD_NS;
}

static int take_a_role(struct embedded *e, struct candidate *c) fiber_fn
{
    if (may_hold(e, c) && kv_dir_try_lock(&e->dir)) {
        int r = hold(e);
        kv_dir_unlock(&e->dir);
        if (r == -ERR_CANCELED || is_fatal(r)) return r;
        return pause_for(e, PAUSE_ERROR_NS);
    }
    int r = kv_client_open(e->node, e->dir.socket_path, &e->client);
    if (r == -ERR_AUTH_FAIL) {
        return log_error(&e->node->log, r, "kv: %s is served by another user's process",
                         e->dir.path);
    }
    if (r >= 0) {
        c->has_followed = true;
        follow(e);
        c->free_since_ns = node_now_ns(e->node);
        return fiber_is_cancelled() ? -ERR_CANCELED : 0;
    }
    return pause_for(e, PAUSE_NS);
}

int embedded_role_fiber(void *arg)
{
    struct embedded *e = arg;
    struct candidate c = { .free_since_ns = node_now_ns(e->node) };
    int r = 0;
    while (r >= 0) {
        r = take_a_role(e, &c);
    }
    e->fatal = r;
    embedded_set_role(e, KV_ROLE_NONE);
    return 0;
}
