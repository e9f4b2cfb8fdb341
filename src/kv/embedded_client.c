/* embedded_client.c - see embedded_client.h. */
#include "kv/embedded_client.h"
#include "base/check.h"
#include "base/map.h"
#include "kv/embedded_frame.h"
#include "kv/embedded_wire.h"

struct kv_client {
    struct node *node;
    struct stream *stream;
    struct kv_frame_in in;
    struct kv_frame_out out;
    struct map pending; /* number -> struct pending */
    uint64_t number_last, snapshot_last, frame_count;
    struct kv_process holder;
    bool has_greeted;
    struct event dead;
    struct scope scope; /* reader and writer */
};

/* A request on its way; on the stack of the fiber that waits. */
struct pending {
    uint32_t kind;
    struct arena *arena; /* where the reply's body goes; NULL: not wanted */
    struct bytes body;
    struct event done;
};

/* ---- the connection ---- */

static void take_reply(struct kv_client *client, const struct kv_frame *reply, struct bytes body)
{
    struct pending *p = map_remove(&client->pending, reply->number);
    if (!p) return; /* who asked has gone */
    int status = reply->status;
    if (reply->kind != p->kind || status > 0) status = -ERR_RPC_VERIFY_RESPONSE;
    if (p->arena) p->body = arena_copy(p->arena, body);
    event_set(&p->done, status);
}

static void fail_pending(struct kv_client *client)
{
    size_t at = 0;
    struct pending *p;
    uint64_t number;
    while ((p = map_next_key(&client->pending, &at, &number))) {
        map_remove(&client->pending, number);
        bool is_unknown = p->kind == KV_WIRE_COMMIT;
        event_set(&p->done, is_unknown ? -ERR_TXN_MAYBE_COMMITTED : -ERR_TXN_RETRYABLE);
    }
}

static int reader_fiber(void *arg) fiber_fn
{
    struct kv_client *client = arg;
    int r = 0;
    while (r >= 0) {
        struct kv_frame reply;
        struct bytes body;
        r = kv_frame_next(&client->in, &reply, &body);
        if (r < 0) break;
        client->frame_count++;
        take_reply(client, &reply, body);
    }
    stream_shutdown(client->stream);
    event_set(&client->dead, 0);
    fail_pending(client);
    return 0;
}

/* Who listens at the other end must be our user or root; root takes any: it is their directory. */
static int check_holder(struct kv_client *client)
{
    int pid;
    unsigned uid;
    int r = stream_peer_credentials(client->stream, &pid, &uid);
    if (r < 0) return r;
    if (uid != 0 && uid != kv_user_own() && kv_user_own() != 0) return -ERR_AUTH_FAIL;
    client->holder = kv_process_open(pid);
    return 0;
}

int kv_client_open(struct node *node, const char *path, struct kv_client **ret)
{
    struct net_address to = { .scheme = NET_UNIX };
    if (strlen(path) >= sizeof(to.host)) return -ERR_RPC_INVALID_ADDR;
    memcpy(to.host, path, strlen(path) + 1);
    struct stream *stream;
    int r = net_connect(node, &to, &stream);
    if (r < 0) return r;
    struct kv_client *client = new_zero(struct kv_client);
    client->node = node;
    client->stream = stream;
    client->holder.fd = -1;
    map_init(&client->pending, node_random_u64(node));
    kv_frame_in_init(&client->in, stream);
    kv_frame_out_init(&client->out, stream);
    event_init(&client->dead);
    scope_init(&client->scope, sched_current());
    client->scope.local = node;
    r = check_holder(client);
    if (r >= 0) r = fiber_spawn(&client->scope, "kv writer", kv_frame_writer, &client->out);
    if (r >= 0) r = fiber_spawn(&client->scope, "kv reader", reader_fiber, client);
    if (r < 0) {
        kv_client_close(client);
        return r;
    }
    *ret = client;
    return 0;
}

void kv_client_break(struct kv_client *client)
{
    stream_shutdown(client->stream);
}

struct kv_client *kv_client_close(struct kv_client *client)
{
    if (!client) return NULL;
    stream_shutdown(client->stream);
    scope_done(&client->scope);
    fail_pending(client);
    check(client->pending.count == 0);
    map_done(&client->pending);
    kv_frame_in_done(&client->in);
    kv_frame_out_done(&client->out);
    stream_close(client->stream);
    kv_process_close(&client->holder);
    free(client);
    return NULL;
}

bool kv_client_wait_dead(struct kv_client *client, uint64_t timeout_ns)
{
    FIBER_TIMEOUT(timeout_ns);
    return event_wait(&client->dead, "kv: end of the connection") == 0;
}

bool kv_client_is_dead(const struct kv_client *client)
{
    return client->dead.is_set;
}

bool kv_client_has_greeted(const struct kv_client *client)
{
    return client->has_greeted;
}

uint64_t kv_client_frame_count(const struct kv_client *client)
{
    return client->frame_count;
}

const struct kv_process *kv_client_holder(const struct kv_client *client)
{
    return &client->holder;
}

/* ---- requests ---- */

/* Sends what is in @out (and frees it) and waits for the reply, whose body comes as a cursor over
 * @arena. */
static int call(struct kv_client *client, enum kv_wire_kind kind, struct wire_out *out,
                struct arena *arena, struct wire_in *ret) fiber_fn
{
    struct bytes body = wire_out_bytes(out);
    int r = out->failed || body.size > KV_FRAME_BODY_BYTES_MAX ? -ERR_TXN_TOO_LARGE : 0;
    if (r >= 0 && client->dead.is_set) r = -ERR_TXN_RETRYABLE;
    if (r < 0) {
        wire_out_free(out);
        return r;
    }
    struct pending p = { .kind = kind, .arena = arena };
    struct kv_frame header = { .number = ++client->number_last, .kind = kind };
    event_init(&p.done);
    map_put(&client->pending, header.number, &p);
    kv_frame_put(&client->out, &header, body);
    wire_out_free(out);
    r = event_wait(&p.done, "kv: reply of the holder");
    map_remove(&client->pending, header.number);
    if (!p.done.is_set && r == -ERR_TIMEOUT && kind == KV_WIRE_COMMIT)
        return -ERR_TXN_MAYBE_COMMITTED;
    if (r >= 0 && ret) *ret = wire_in_of(p.body, arena);
    return r;
}

int kv_client_hello(struct kv_client *client)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_wire_hello hello = { KV_WIRE_VERSION };
    struct wire_out out = wire_out_heap();
    struct wire_in in;
    kv_wire_hello_put(&out, &hello);
    int r = call(client, KV_WIRE_HELLO, &out, &arena, &in);
    if (r < 0) return r;
    kv_wire_hello_get(&in, &hello);
    if (in.failed) return -ERR_RPC_VERIFY_RESPONSE;
    client->has_greeted = true;
    return 0;
}

void kv_client_ping(struct kv_client *client)
{
    struct kv_frame header = { .number = ++client->number_last, .kind = KV_WIRE_PING };
    kv_frame_put(&client->out, &header, (struct bytes){ 0 });
}

struct kv_remote kv_client_snapshot(struct kv_client *client, enum kv_view view)
{
    return (struct kv_remote){ .number = ++client->snapshot_last,
                               .is_newest = view == KV_VIEW_NEWEST };
}

static void put_snapshot(struct wire_out *out, uint64_t number)
{
    kv_wire_snapshot_put(out, &(struct kv_wire_snapshot){ number });
}

int kv_client_open_long(struct kv_client *client, struct kv_remote *snapshot)
{
    struct wire_out out = wire_out_heap();
    put_snapshot(&out, snapshot->number);
    snapshot->is_open = true;
    return call(client, KV_WIRE_OPEN, &out, NULL, NULL);
}

void kv_client_drop(struct kv_client *client, struct kv_remote *snapshot)
{
    uint8_t buf[64];
    struct wire_out out = wire_out_fixed(buf, sizeof(buf));
    struct kv_frame header = { .number = ++client->number_last, .kind = KV_WIRE_DROP };
    if (!snapshot->is_open) return;
    snapshot->is_open = false;
    put_snapshot(&out, snapshot->number);
    kv_frame_put_lazily(&client->out, &header, wire_out_bytes(&out));
}

int kv_client_settle(struct kv_client *client, struct kv_remote *snapshot)
{
    if (snapshot->is_durable || !snapshot->is_open) return 0;
    struct wire_out out = wire_out_heap();
    put_snapshot(&out, snapshot->number);
    snapshot->is_open = false;
    return call(client, KV_WIRE_SETTLE, &out, NULL, NULL);
}

int kv_client_get_many(struct kv_client *client, struct kv_remote *snapshot,
                       const struct bytes *keys, uint32_t count, struct arena *arena,
                       bool *ret_found, struct bytes *ret_values)
{
    struct kv_wire_get get = { .snapshot = snapshot->number,
                               .keys = { (struct bytes *)(uintptr_t)keys, count },
                               .is_newest = snapshot->is_newest };
    struct kv_wire_got got;
    struct wire_out out = wire_out_heap();
    struct wire_in in;
    kv_wire_get_put(&out, &get);
    snapshot->is_open = true;
    int r = call(client, KV_WIRE_GET, &out, arena, &in);
    if (r < 0) return r;
    kv_wire_got_get(&in, &got);
    if (in.failed || got.found.count != count || got.values.count != count) {
        return -ERR_RPC_VERIFY_RESPONSE;
    }
    snapshot->is_durable = got.is_durable;
    for (uint32_t i = 0; i < count; i++) {
        ret_found[i] = got.found.items[i];
        ret_values[i] = ret_found[i] ? got.values.items[i] : (struct bytes){ 0 };
    }
    return 0;
}

/* What the common part relies on: pairs of the range, in order, some of them when there is more. */
static bool pairs_are_good(const struct kv_range *range, const struct kv_pairs *pairs)
{
    if (pairs->count > range->limit || (pairs->has_more && pairs->count == 0)) return false;
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct bytes key = pairs->items[i].key;
        if (bytes_compare(key, range->begin) < 0 || bytes_compare(key, range->end) >= 0)
            return false;
        if (i == 0) continue;
        int order = bytes_compare(pairs->items[i - 1].key, key);
        if (range->is_reverse ? order <= 0 : order >= 0) return false;
    }
    return true;
}

int kv_client_get_range(struct kv_client *client, struct kv_remote *snapshot,
                        const struct kv_range *range, struct arena *arena, struct kv_pairs *ret)
{
    struct kv_wire_range asked = { .snapshot = snapshot->number,
                                   .is_newest = snapshot->is_newest,
                                   .begin = range->begin,
                                   .end = range->end,
                                   .limit = range->limit,
                                   .bytes_max = range->bytes_max,
                                   .is_reverse = range->is_reverse };
    struct kv_wire_pairs reply;
    struct wire_out out = wire_out_heap();
    struct wire_in in;
    kv_wire_range_put(&out, &asked);
    snapshot->is_open = true;
    int r = call(client, KV_WIRE_RANGE, &out, arena, &in);
    if (r < 0) return r;
    kv_wire_pairs_get(&in, &reply);
    if (in.failed || reply.items.count % 2) return -ERR_RPC_VERIFY_RESPONSE;
    struct kv_pairs pairs = { .count = reply.items.count / 2, .has_more = reply.has_more };
    pairs.items = arena_array(arena, struct kv_pair, pairs.count);
    for (uint32_t i = 0; i < pairs.count; i++) {
        pairs.items[i] = (struct kv_pair){ reply.items.items[2 * i], reply.items.items[2 * i + 1] };
    }
    if (!pairs_are_good(range, &pairs)) return -ERR_RPC_VERIFY_RESPONSE;
    snapshot->is_durable = reply.is_durable;
    *ret = pairs;
    return 0;
}

int kv_client_commit(struct kv_client *client, struct kv_remote *snapshot,
                     const struct kv_commit *commit)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct kv_wire_commit message = { .snapshot =
                                          snapshot && snapshot->is_open ? snapshot->number : 0,
                                      .digest_key_0 = commit->digest_key.words[0],
                                      .digest_key_1 = commit->digest_key.words[1] };
    message.checks.count = commit->check_count;
    message.checks.items = arena_array(&arena, struct kv_wire_check, commit->check_count);
    for (uint32_t i = 0; i < commit->check_count; i++) {
        const struct kv_check *c = &commit->checks[i];
        message.checks.items[i] = (struct kv_wire_check){ .begin = c->begin,
                                                          .end = c->end,
                                                          .is_key = c->is_key,
                                                          .has_digest = c->has_digest,
                                                          .digest = c->digest };
    }
    message.writes.count = commit->write_count;
    message.writes.items = arena_array(&arena, struct kv_wire_write, commit->write_count);
    for (uint32_t i = 0; i < commit->write_count; i++) {
        const struct kv_write *w = &commit->writes[i];
        message.writes.items[i] = (struct kv_wire_write){ (uint8_t)w->kind, w->key, w->value };
    }
    struct wire_out out = wire_out_heap();
    kv_wire_commit_put(&out, &message);
    if (snapshot) snapshot->is_open = false;
    return call(client, KV_WIRE_COMMIT, &out, NULL, NULL);
}
