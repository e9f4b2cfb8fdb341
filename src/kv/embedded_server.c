/* embedded_server.c - see embedded_server.h. */
#include "kv/embedded_server.h"
#include "base/check.h"
#include "base/map.h"
#include "kv/embedded_frame.h"
#include "kv/embedded_host.h"
#include "kv/embedded_wire.h"
#include "loop/file.h"

enum { SNAPSHOTS_MAX = 10000, COMMITS_MAX = 2048, GET_KEYS_MAX = 100000, TURN_COUNT = 32 };

struct kv_server {
    struct node *node;
    struct store *store;
    struct listener *listener;
    struct event ready; /* the store is open */
    uint64_t next_complaint_ns;
    struct scope scope; /* the accepter and a fiber each connection */
};

struct connection {
    struct kv_server *server;
    struct stream *stream;
    struct kv_frame_in in;
    struct kv_frame_out out;
    struct map snapshots; /* number -> store_snapshot */
    uint64_t snapshot_last;
    uint32_t job_count;
    struct scope scope; /* the writer and what does not answer at once */
};

/* A request with a fiber of its own. */
struct job {
    struct connection *c;
    struct kv_frame header;
    struct arena arena;
    struct bytes body;
    struct store_snapshot *snapshot; /* owned */
    struct kv_commit commit;
};

/* ---- replies ---- */

static void reply_status(struct connection *c, const struct kv_frame *request, int status)
{
    struct kv_frame header = { .number = request->number, .kind = request->kind, .status = status };
    kv_frame_put(&c->out, &header, (struct bytes){ 0 });
}

static void reply_body(struct connection *c, const struct kv_frame *request, struct wire_out *out)
{
    struct kv_frame header = { .number = request->number, .kind = request->kind };
    struct bytes body = wire_out_bytes(out);
    if (out->failed || body.size > KV_FRAME_BODY_BYTES_MAX) {
        reply_status(c, request, -ERR_TXN_TOO_LARGE);
    } else {
        kv_frame_put(&c->out, &header, body);
    }
}

/* ---- snapshots ---- */

/* That of @number, opened when it is new. */
static int find_snapshot(struct connection *c, uint64_t number, bool is_newest,
                         struct store_snapshot **ret)
{
    enum kv_view view = is_newest ? KV_VIEW_NEWEST : KV_VIEW_DURABLE;
    struct store_snapshot *s = map_get(&c->snapshots, number);
    if (s) {
        *ret = s;
        return 0;
    }
    if (number <= c->snapshot_last) return -ERR_TXN_TOO_OLD;
    if (c->snapshots.count >= SNAPSHOTS_MAX) return -ERR_TXN_THROTTLED;
    int r = store_snapshot_open(c->server->store, view, &s);
    if (r < 0) return r;
    map_put(&c->snapshots, number, s);
    c->snapshot_last = number;
    *ret = s;
    return 0;
}

static void drop_snapshot(struct connection *c, uint64_t number)
{
    struct store_snapshot *s = map_remove(&c->snapshots, number);
    if (s) store_snapshot_close(s);
}

/* ---- reads ---- */

static int serve_get(struct connection *c, const struct kv_frame *request, struct bytes body)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct wire_in in = wire_in_of(body, &arena);
    struct kv_wire_get get;
    kv_wire_get_get(&in, &get);
    if (in.failed || get.keys.count > GET_KEYS_MAX) return -ERR_RPC_INVALID_MESSAGE;

    struct store_snapshot *s;
    uint32_t count = get.keys.count;
    bool *found = arena_array(&arena, bool, count);
    struct bytes *values = arena_array(&arena, struct bytes, count);
    int r = find_snapshot(c, get.snapshot, get.is_newest, &s);
    if (r >= 0) r = store_get_many(s, get.keys.items, count, &arena, found, values);
    if (r < 0) {
        reply_status(c, request, r);
        return 0;
    }
    struct kv_wire_got got = { .found = { arena_array(&arena, uint8_t, count), count },
                               .values = { values, count },
                               .is_durable = store_snapshot_is_durable(s) };
    for (uint32_t i = 0; i < count; i++) {
        got.found.items[i] = found[i];
    }
    struct wire_out out = wire_out_heap();
    kv_wire_got_put(&out, &got);
    reply_body(c, request, &out);
    wire_out_free(&out);
    return 0;
}

static int serve_range(struct connection *c, const struct kv_frame *request, struct bytes body)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct wire_in in = wire_in_of(body, &arena);
    struct kv_wire_range asked;
    kv_wire_range_get(&in, &asked);
    if (in.failed || asked.limit == 0) return -ERR_RPC_INVALID_MESSAGE;

    struct store_snapshot *s;
    struct kv_range range = { .begin = asked.begin,
                              .end = asked.end,
                              .limit = MIN_OF(asked.limit, (uint32_t)KV_PAGE_COUNT_MAX),
                              .bytes_max = MIN_OF(asked.bytes_max, (uint32_t)KV_PAGE_BYTES),
                              .is_reverse = asked.is_reverse };
    struct kv_pairs pairs;
    range.bytes_max = MAX_OF(range.bytes_max, 1u);
    int r = find_snapshot(c, asked.snapshot, asked.is_newest, &s);
    if (r >= 0) r = store_get_range(s, &range, &arena, &pairs);
    if (r < 0) {
        reply_status(c, request, r);
        return 0;
    }
    struct kv_wire_pairs reply = { .items = { arena_array(&arena, struct bytes, pairs.count * 2),
                                              pairs.count * 2 },
                                   .has_more = pairs.has_more,
                                   .is_durable = store_snapshot_is_durable(s) };
    for (uint32_t i = 0; i < pairs.count; i++) {
        reply.items.items[2 * i] = pairs.items[i].key;
        reply.items.items[2 * i + 1] = pairs.items[i].value;
    }
    struct wire_out out = wire_out_heap();
    kv_wire_pairs_put(&out, &reply);
    reply_body(c, request, &out);
    wire_out_free(&out);
    return 0;
}

/* ---- what takes time: a fiber each ---- */

static void job_free(struct job *job)
{
    if (job->snapshot) store_snapshot_close(job->snapshot);
    job->c->job_count--;
    arena_done(&job->arena);
    free(job);
}

/* The body is copied. */
static struct job *job_new(struct connection *c, const struct kv_frame *header, struct bytes body)
{
    struct job *job = new_zero(struct job);
    job->c = c;
    job->header = *header;
    job->body = arena_copy(&job->arena, body);
    c->job_count++;
    return job;
}

static int job_start(struct job *job, const char *name, int (*fn)(void *arg))
{
    int r = fiber_spawn(&job->c->scope, name, fn, job);
    if (r >= 0) return 0;
    reply_status(job->c, &job->header, -ERR_TXN_THROTTLED);
    job_free(job);
    return 0;
}

static bool key_is_good(struct bytes key)
{
    return key.size > 0 && key.size <= KV_KEY_BYTES_MAX && key.base[0] != 0xff;
}

static bool bound_is_good(struct bytes bound)
{
    return bound.size <= KV_KEY_BYTES_MAX + 1;
}

static bool write_is_good(const struct kv_write *w)
{
    switch (w->kind) {
    case KV_WRITE_SET: return key_is_good(w->key) && w->value.size <= KV_VALUE_BYTES_MAX;
    case KV_WRITE_CLEAR: return key_is_good(w->key) && w->value.size == 0;
    case KV_WRITE_CLEAR_RANGE: return bound_is_good(w->key) && bound_is_good(w->value);
    }
    return false;
}

/* False when the message is not one that a client of ours sends. */
static bool unpack_commit(struct job *job, const struct kv_wire_commit *from)
{
    struct kv_commit *to = &job->commit;
    struct kv_write *writes = arena_array(&job->arena, struct kv_write, from->writes.count);
    to->checks = arena_array(&job->arena, struct kv_check, from->checks.count);
    to->check_count = from->checks.count;
    to->writes = writes;
    to->write_count = from->writes.count;
    to->digest_key = (struct kv_digest_key){ { from->digest_key_0, from->digest_key_1 } };
    for (uint32_t i = 0; i < to->check_count; i++) {
        const struct kv_wire_check *c = &from->checks.items[i];
        to->checks[i] = (struct kv_check){ .begin = c->begin,
                                           .end = c->end,
                                           .is_key = c->is_key,
                                           .has_digest = c->has_digest,
                                           .digest = c->digest };
        if (c->is_key ? !key_is_good(c->begin)
                      : !bound_is_good(c->begin) || !bound_is_good(c->end)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < to->write_count; i++) {
        const struct kv_wire_write *w = &from->writes.items[i];
        if (w->kind > KV_WRITE_CLEAR_RANGE) return false;
        writes[i] = (struct kv_write){ (enum kv_write_kind)w->kind, w->key, w->value };
        if (!write_is_good(&writes[i])) return false;
    }
    return true;
}

static int commit_fiber(void *arg) fiber_fn
{
    struct job *job = arg;
    int r = store_commit(job->c->server->store, job->snapshot, &job->commit);
    reply_status(job->c, &job->header, r);
    job_free(job);
    return 0;
}

static int serve_commit(struct connection *c, const struct kv_frame *request, struct bytes body)
{
    if (c->job_count >= COMMITS_MAX) {
        reply_status(c, request, -ERR_TXN_THROTTLED);
        return 0;
    }
    struct job *job = job_new(c, request, body);
    struct wire_in in = wire_in_of(job->body, &job->arena);
    struct kv_wire_commit commit;
    kv_wire_commit_get(&in, &commit);
    if (in.failed || !unpack_commit(job, &commit)) {
        job_free(job);
        return -ERR_RPC_INVALID_MESSAGE;
    }
    if (commit.snapshot) {
        job->snapshot = map_remove(&c->snapshots, commit.snapshot);
        if (commit.snapshot > c->snapshot_last) c->snapshot_last = commit.snapshot;
    }
    return job_start(job, "kv commit", commit_fiber);
}

static int open_fiber(void *arg) fiber_fn
{
    struct job *job = arg;
    struct connection *c = job->c;
    struct wire_in in = wire_in_of(job->body, &job->arena);
    struct kv_wire_snapshot asked;
    struct store_snapshot *s;
    kv_wire_snapshot_get(&in, &asked);
    int r = in.failed || map_get(&c->snapshots, asked.snapshot) ? -ERR_INVALID_ARG : 0;
    if (r >= 0) r = store_snapshot_open(c->server->store, KV_VIEW_LONG, &s);
    if (r >= 0) {
        struct store_snapshot *old = map_put(&c->snapshots, asked.snapshot, s);
        if (old) store_snapshot_close(old);
    }
    reply_status(c, &job->header, r);
    job_free(job);
    return 0;
}

static int settle_fiber(void *arg) fiber_fn
{
    struct job *job = arg;
    int r = store_settle(job->snapshot);
    reply_status(job->c, &job->header, r);
    job_free(job);
    return 0;
}

/* Ends the snapshot: nothing more is read from it. */
static int serve_settle(struct connection *c, const struct kv_frame *request, struct bytes body)
{
    struct wire_in in = wire_in_of(body, NULL);
    struct kv_wire_snapshot asked;
    kv_wire_snapshot_get(&in, &asked);
    if (in.failed) return -ERR_RPC_INVALID_MESSAGE;
    struct store_snapshot *s = map_remove(&c->snapshots, asked.snapshot);
    if (!s) {
        reply_status(c, request, -ERR_TXN_TOO_OLD);
        return 0;
    }
    struct job *job = job_new(c, request, body);
    job->snapshot = s;
    return job_start(job, "kv settle", settle_fiber);
}

static int hello_fiber(void *arg) fiber_fn
{
    struct job *job = arg;
    int r = event_wait(&job->c->server->ready, "kv: the store to open");
    if (r >= 0) {
        struct kv_wire_hello hello = { KV_WIRE_VERSION };
        struct wire_out out = wire_out_heap();
        kv_wire_hello_put(&out, &hello);
        reply_body(job->c, &job->header, &out);
        wire_out_free(&out);
    }
    job_free(job);
    return 0;
}

static int serve_drop(struct connection *c, struct bytes body)
{
    struct wire_in in = wire_in_of(body, NULL);
    struct kv_wire_snapshot asked;
    kv_wire_snapshot_get(&in, &asked);
    if (in.failed) return -ERR_RPC_INVALID_MESSAGE;
    drop_snapshot(c, asked.snapshot);
    return 0;
}

/* ---- connections ---- */

static int serve(struct connection *c, const struct kv_frame *request, struct bytes body)
{
    if (request->kind == KV_WIRE_PING) {
        reply_status(c, request, 0);
        return 0;
    }
    if (request->kind == KV_WIRE_HELLO) {
        return job_start(job_new(c, request, body), "kv hello", hello_fiber);
    }
    if (!c->server->store) return -ERR_RPC_INVALID_MESSAGE; /* it was to wait for its hello */
    switch (request->kind) {
    case KV_WIRE_GET: return serve_get(c, request, body);
    case KV_WIRE_RANGE: return serve_range(c, request, body);
    case KV_WIRE_COMMIT: return serve_commit(c, request, body);
    case KV_WIRE_DROP: return serve_drop(c, body);
    case KV_WIRE_SETTLE: return serve_settle(c, request, body);
    case KV_WIRE_OPEN: return job_start(job_new(c, request, body), "kv open", open_fiber);
    default: reply_status(c, request, -ERR_NOT_IMPLEMENTED); return 0;
    }
}

static int serve_all(struct connection *c) fiber_fn
{
    for (uint32_t count = 1;; count++) {
        struct kv_frame request;
        struct bytes body;
        int r = kv_frame_next(&c->in, &request, &body);
        if (r >= 0) r = serve(c, &request, body);
        if (r >= 0) r = kv_frame_wait_drained(&c->out);
        if (r < 0) return r;
        if (count % TURN_COUNT == 0) fiber_yield(); /* what is in the buffer may be long */
    }
}

/* A line a second at most: who sends garbage may send a lot. */
static void complain(struct kv_server *server, int r, const char *text)
{
    uint64_t now_ns = node_now_ns(server->node);
    if (now_ns < server->next_complaint_ns) return;
    server->next_complaint_ns = now_ns + SEC;
    log_warn(&server->node->log, r, "kv: %s", text);
}

static void connection_done(struct connection *c) fiber_fn
{
    size_t at = 0;
    struct store_snapshot *s;
    stream_shutdown(c->stream);
    scope_done(&c->scope);
    while ((s = map_next(&c->snapshots, &at))) {
        store_snapshot_close(s);
    }
    map_done(&c->snapshots);
    kv_frame_in_done(&c->in);
    kv_frame_out_done(&c->out);
    stream_close(c->stream);
    free(c);
}

static int connection_fiber(void *arg) fiber_fn
{
    struct connection *c = arg;
    scope_init(&c->scope, sched_current());
    c->scope.local = c->server->node;
    int r = fiber_spawn(&c->scope, "kv writer", kv_frame_writer, &c->out);
    if (r >= 0) r = serve_all(c);
    if (r == -ERR_RPC_INVALID_MESSAGE) complain(c->server, r, "a connection is closed");
    connection_done(c);
    return 0;
}

static int check_peer(const struct stream *stream)
{
    int pid;
    unsigned uid;
    int r = stream_peer_credentials(stream, &pid, &uid);
    if (r < 0) return r;
    return uid == 0 || uid == kv_user_own() ? 0 : -ERR_AUTH_FAIL;
}

static void welcome(struct kv_server *server, struct stream *stream)
{
    int r = check_peer(stream);
    if (r < 0) {
        complain(server, r, "another user's connection is refused");
        stream_close(stream);
        return;
    }
    struct connection *c = new_zero(struct connection);
    c->server = server;
    c->stream = stream;
    map_init(&c->snapshots, node_random_u64(server->node));
    kv_frame_in_init(&c->in, stream);
    kv_frame_out_init(&c->out, stream);
    if (fiber_spawn(&server->scope, "kv connection", connection_fiber, c) >= 0) return;
    stream_close(stream);
    free(c);
}

static int accept_fiber(void *arg) fiber_fn
{
    struct kv_server *server = arg;
    for (;;) {
        struct stream *stream;
        int r = listener_accept(server->listener, &stream);
        if (r == -ERR_CANCELED) return 0;
        if (r >= 0) {
            welcome(server, stream);
        } else if (fiber_sleep(10 * MSEC) < 0) {
            return 0;
        }
    }
}

int kv_server_start(struct node *node, const char *path, struct kv_server **ret)
{
    struct net_address at = { .scheme = NET_UNIX };
    if (strlen(path) >= sizeof(at.host)) return -ERR_RPC_INVALID_ADDR;
    memcpy(at.host, path, strlen(path) + 1);
    struct kv_server *server = new_zero(struct kv_server);
    server->node = node;
    event_init(&server->ready);
    scope_init(&server->scope, sched_current());
    server->scope.local = node;
    int r = path_exists(node, path) ? path_unlink(node, path) : 0;
    if (r >= 0) r = net_listen(node, &at, &server->listener);
    if (r >= 0) r = fiber_spawn(&server->scope, "kv accept", accept_fiber, server);
    if (r < 0) {
        kv_server_stop(server);
        return r;
    }
    *ret = server;
    return 0;
}

void kv_server_set_store(struct kv_server *server, struct store *store)
{
    server->store = store;
    event_set(&server->ready, 0);
}

struct kv_server *kv_server_stop(struct kv_server *server)
{
    if (!server) return NULL;
    listener_close(server->listener);
    scope_done(&server->scope);
    free(server);
    return NULL;
}
