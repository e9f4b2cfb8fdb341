/* storage_write.c - updates of chunks: each under an identity of its own, kept through all retries.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "client/storage_client_internal.h"
#include "loop/fault.h"

enum { WRITER_COUNT_MAX = 64 };

static int check_write(const struct chunk_write *w)
{
    if (w->kind == UPDATE_REMOVE) return 0;
    if (w->kind != UPDATE_WRITE && w->kind != UPDATE_TRUNCATE && w->kind != UPDATE_EXTEND)
        return -ERR_INVALID_ARG;
    if (w->kind != UPDATE_WRITE && w->offset) return -ERR_INVALID_ARG;
    if (w->kind == UPDATE_WRITE && !w->length) return -ERR_INVALID_ARG;
    return w->offset <= w->chunk_size && w->length <= w->chunk_size - w->offset ? 0
                                                                                : -ERR_INVALID_ARG;
}

static int write_on_channel(struct storage_client *c, struct chunk_write *w, uint32_t channel)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    bool has_data = w->kind == UPDATE_WRITE;
    union {
        const void *in;
        void *out;
    } base = { w->from };
    struct iovec iov = { base.out, w->length };
    struct rpc_options options = { .arena = &arena,
                                   .bulk_out = &iov,
                                   .bulk_out_count = has_data ? 1 : 0 };
    struct write_request req = { .chain_id = w->chain_id,
                                 .chunk = w->chunk,
                                 .update = { c->options.client, channel, ++c->seq },
                                 .kind = w->kind,
                                 .generation = w->generation,
                                 .offset = w->offset,
                                 .length = w->kind == UPDATE_REMOVE ? 0 : w->length,
                                 .chunk_size = w->chunk_size,
                                 .crc32c = has_data ? crc32c(0, w->from, w->length) : 0 };
    struct write_reply reply;
    int r = head_call(c, w->chain_id, RPC_METHOD(storage, write), RPC_BULK, &req,
                      &req.chain_version, &reply, &options);
    if (r < 0) return r;
    w->chunk_length = reply.chunk_length;
    w->version = reply.version;
    w->chain_version = reply.chain_version;
    return 0;
}

static int write_one(struct storage_client *c, struct chunk_write *w)
{
    int r = check_write(w);
    if (r < 0) return r;
    r = fiber_semaphore_take(&c->channels_free, 1);
    if (r < 0) return r;
    check(c->channel_top > 0);
    uint32_t channel = c->channels[--c->channel_top];
    r = write_on_channel(c, w, channel);
    c->channels[c->channel_top++] = channel;
    fiber_semaphore_give(&c->channels_free, 1);
    return r;
}

struct write_batch {
    struct storage_client *client;
    struct chunk_write *writes;
    uint32_t next, count;
    uint64_t timeout_ns;
};

static int writer_fiber(void *arg)
{
    struct write_batch *b = arg;
    FIBER_TIMEOUT(b->timeout_ns);
    while (b->next < b->count) {
        struct chunk_write *w = &b->writes[b->next++];
        w->status = write_one(b->client, w);
    }
    return 0;
}

int chunks_write(struct storage_client *c, struct chunk_write *writes, uint32_t count)
{
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    for (uint32_t i = 0; i < count; i++) {
        writes[i].status = -ERR_TIMEOUT;
    }
    struct write_batch b = { c, writes, 0, count, fiber_remaining_ns() };
    if (count == 1) {
        writer_fiber(&b);
    } else {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, NULL);
        for (uint32_t i = 0; i < MIN_OF(count, (uint32_t)WRITER_COUNT_MAX); i++) {
            int r = fiber_spawn(&scope, "write-chunk", writer_fiber, &b);
            if (r < 0 && i == 0) return r;
            if (r < 0) break;
        }
        int r = scope_wait(&scope);
        if (r == -ERR_CANCELED) return r;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (writes[i].status < 0) return writes[i].status;
    }
    return 0;
}
