/* echo_service.c - the service of the tests: returns what it gets, after a while. */
#include "base/check.h"
#include "rpc/rpc_test.h"

RPC_SERVICE_DEFINE(echo, 77, ECHO_METHODS)

struct push {
    struct echo_world *world;
    uint8_t *memory;
};

static void push_done(void *arg)
{
    struct push *push = arg;
    push->world->push_done_count++;
    free(push->memory);
    free(push);
}

static void echo_push(struct echo_world *world, struct rpc_call *call,
                      const struct echo_request *req)
{
    struct push *push = new_zero(struct push);
    push->world = world;
    world->push_count++;
    if (call->bulk) { /* back in two pieces */
        size_t half = call->bulk_size / 2;
        struct iovec iov[] = { { call->bulk->base, half },
                               { call->bulk->base + half, call->bulk_size - half } };
        rpc_push(call, iov, 2, push_done, push);
        return;
    }
    push->memory = xmalloc(req->reply_bulk_size);
    for (uint32_t i = 0; i < req->reply_bulk_size; i++) {
        push->memory[i] = bulk_byte(req->number, i);
    }
    rpc_push(call, &(struct iovec){ push->memory, req->reply_bulk_size }, 1, push_done, push);
}

static int on_echo(void *self, struct rpc_call *call, const struct echo_request *req,
                   struct echo_reply *rep) fiber_fn
{
    struct echo_world *world = self;
    world->call_count++;
    if (world->seen && req->number < world->seen_count) world->seen[req->number]++;
    rep->remaining_ns = fiber_remaining_ns();
    if (req->reply_bulk_size) echo_push(world, call, req);
    world->running_count++;
    world->running_count_max = MAX_OF(world->running_count_max, world->running_count);
    int r = req->sleep_ns ? fiber_sleep(req->sleep_ns) : 0;
    world->running_count--;
    if (r < 0) return r;
    if (req->result < 0) return rpc_fail(call, (int)req->result, "number %lu", req->number);
    rep->number = req->number;
    rep->kind = call->peer->kind;
    rep->uid = call->peer->uid;
    rep->rights = call->peer->rights;
    rep->payload = req->payload;
    return (int)req->result;
}

const struct echo_handlers echo_service_handlers = { .echo = on_echo };
