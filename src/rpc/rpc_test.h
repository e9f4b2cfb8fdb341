/* rpc_test.h - an echo service and worlds to run it in, for the tests of src/rpc. */
#pragma once
#include "base/check.h"
#include "fiber/sync.h"
#include "loop/loop.h"
#include "loop/sim.h"
#include "rpc/rpc.h"

#define ECHO_REQUEST_FIELDS(F)                                                                     \
    F(u64, number, "returned")                                                                     \
    F(u64, sleep_ns, "waited for before the answer")                                               \
    F(u32, reply_bulk_size, "how much to push; with request bulk data, that is pushed back")       \
    F(i64, result, "the handler's result")                                                         \
    F(blob, payload, "returned")
WIRE_RECORD(echo_request, ECHO_REQUEST_FIELDS)
#define ECHO_REPLY_FIELDS(F)                                                                       \
    F(u64, number, "")                                                                             \
    F(u64, remaining_ns, "of the handler's deadline")                                              \
    F(u32, kind, "enum auth_kind of the caller")                                                   \
    F(u32, uid, "of the caller")                                                                   \
    F(u32, rights, "of the caller")                                                                \
    F(blob, payload, "")
WIRE_RECORD(echo_reply, ECHO_REPLY_FIELDS)
#define ECHO_METHODS(M, s)                                                                         \
    M(s, 1, echo, echo_request, echo_reply)                                                        \
    M(s, 2, absent, echo_request, echo_reply)
RPC_SERVICE_DECLARE(echo, ECHO_METHODS)

/* The service's state. */
struct echo_world {
    uint32_t running_count, running_count_max; /* handlers */
    uint64_t call_count;
    uint64_t push_count, push_done_count;
    uint8_t *seen; /* when set: how often each number was executed */
    uint64_t seen_count;
};
extern const struct echo_handlers echo_service_handlers;

/* Byte @at of bulk data number @number. */
static inline uint8_t bulk_byte(uint64_t number, uint64_t at)
{
    return (uint8_t)(number * 131 + at * 7 + (at >> 8));
}

/* ---- worlds ---- */

enum world_kind {
    WORLD_SIM,
    WORLD_POSIX,
    WORLD_AUTO, /* io_uring where it is to be had */
    WORLD_SIM_LOCAL,
    WORLD_AUTO_LOCAL,
    WORLD_KIND_MAX
};

struct world_options {
    uint64_t seed;
    struct sim_net_profile net; /* sim only */
    bool shuffle_ready;
    struct rpc_server_options server;
    const struct auth_identity *identity;
    uint64_t limit_ns;        /* of virtual time; 0: an hour */
    const void *arg;          /* for the body */
    uint64_t *ret_trace_hash; /* may be NULL; sim only */
};

/* A server of the echo service on one node, a pool on another. Bodies run as a fiber that belongs
 * to neither, check() what they expect, and return 0. */
struct test_world {
    struct world_options options;
    struct sim *sim; /* NULL on a real loop */
    struct loop *loop;
    struct machine *server_machine, *client_machine;
    struct node *server_node, *client_node;
    struct echo_world echo;
    struct rpc_server *server;
    struct net_address address;
    struct rpc_pool *pool;
    const void *arg;
    int (*body)(struct test_world *w);
    int result;
};

void world_run(enum world_kind kind, const struct world_options *options,
               int (*body)(struct test_world *w));
void world_start_server(struct test_world *w) fiber_fn; /* again, at the same address */
uint64_t world_now_ns(const struct test_world *w);

/* One call of the echo service with a fresh arena; @rep may be NULL. Bulk data is checked. */
struct echo_call {
    struct echo_request req;
    uint64_t timeout_ns;
    uint32_t bulk_size; /* sent along, and expected back when req.reply_bulk_size is set */
    enum rpc_class class;
};
int echo_run(struct test_world *w, const struct echo_call *call, struct echo_reply *rep) fiber_fn;
