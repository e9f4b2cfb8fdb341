/* meta_client.c - calls to the metadata services: one is preferred until it fails, then the next.
 *
 * First comes the one that has the store in its own process, if there is one: any other would send
 * two or three messages to it for each call, which cost more than the call.
 * The preference starts at random, so that clients spread. A change keeps its request uuid through
 * all tries.
 */
#include "client/meta_client.h"

#include "base/check.h"
#include <sys/stat.h>

enum { SYMLINK_COUNT_MAX = 40, META_NODE_COUNT_MAX = 256 };
#define PAUSE_MIN_NS (5 * MSEC)
#define PAUSE_MAX_NS (1 * SEC)
#define LIVE_LOOK_NS (50 * MSEC)
/* An answer that takes longer is asked of another service, twice as patiently each time: this one
 * may hang or be cut off, and whoever is second finds what the first has done. */
#define PATIENCE_NS (500 * MSEC)
/* A call to a service that is gone waits for the next attempt to connect, up to half a second;
 * until the cluster manager knows, the others are asked. */
#define SHUN_NS (3 * SEC)

enum { SHUNNED_COUNT_MAX = 8 };

struct shunned_node {
    uint32_t node_id; /* 0: none */
    uint64_t until_ns;
};

struct meta_client {
    struct node *node;
    struct mgmtd_client *mgmtd;
    struct meta_client_options options;
    uint64_t preference; /* orders the nodes; changed when the first of them fails */
    struct shunned_node shunned[SHUNNED_COUNT_MAX];
    uint32_t next_shunned; /* the entry to be used next */
};

struct meta_client *meta_client_new(struct node *node, struct mgmtd_client *mgmtd,
                                    const struct meta_client_options *options)
{
    struct meta_client *c = new_zero(struct meta_client);
    *c = (struct meta_client){
        .node = node, .mgmtd = mgmtd, .options = *options, .preference = node_random_u64(node)
    };
    if (!c->options.total_timeout_ns) c->options.total_timeout_ns = 60 * SEC;
    if (!c->options.attempt_timeout_ns) c->options.attempt_timeout_ns = 5 * SEC;
    return c;
}

struct meta_client *meta_client_free(struct meta_client *c)
{
    free(c);
    return NULL;
}

void meta_base_init(struct meta_client *c, const struct user_info *user, struct meta_base *base)
{
    *base =
        (struct meta_base){ .user = *user,
                            .client = c->options.client,
                            .request = { node_random_u64(c->node), node_random_u64(c->node) | 1 } };
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* A primary that is new has not heard of anybody yet: then they are as good as they were. */
static bool may_live(const struct node_info *node)
{
    return node->status == NODE_HEARTBEAT_CONNECTED || node->status == NODE_HEARTBEAT_CONNECTING;
}

static bool is_shunned(const struct meta_client *c, uint32_t node_id)
{
    for (uint32_t i = 0; i < SHUNNED_COUNT_MAX; i++) {
        const struct shunned_node *s = &c->shunned[i];
        if (s->node_id == node_id && s->until_ns > node_now_ns(c->node)) return true;
    }
    return false;
}

/* What an attempt says of the node that was asked. */
static void note_result(struct meta_client *c, uint32_t node_id, int r)
{
    bool is_gone = r == -ERR_RPC_CONNECT_FAILED || r == -ERR_RPC_SOCKET_CLOSED ||
                   r == -ERR_RPC_SEND_FAILED || r == -ERR_RPC_REQUEST_REFUSED;
    if (!is_gone || is_shunned(c, node_id)) return;
    c->shunned[c->next_shunned++ % SHUNNED_COUNT_MAX] =
        (struct shunned_node){ node_id, node_now_ns(c->node) + SHUN_NS };
}

/* The id of the live metadata node at @turn of this client's order; 0 without any. Those that were
 * gone a moment ago, and @last, only when there are no others. */
static uint32_t choose_node(const struct meta_client *c, uint32_t turn, uint32_t last,
                            bool *ret_has_others)
{
    const struct routing *routing = mgmtd_client_routing(c->mgmtd);
    uint32_t live[META_NODE_COUNT_MAX], count = 0, with_store = 0;
    for (int takes_shunned = 0; takes_shunned < 2 && count == 0; takes_shunned++) {
        size_t at = 0;
        const struct node_info *node;
        while ((node = map_next(&routing->nodes, &at))) {
            if (node->type != NODE_META || !may_live(node)) continue;
            if (!takes_shunned && is_shunned(c, node->node_id)) continue;
            if (count < META_NODE_COUNT_MAX) live[count++] = node->node_id;
            if (node->has_store) with_store = node->node_id;
        }
    }
    *ret_has_others = count > 1;
    if (!count || (with_store && turn == 0)) return with_store;
    qsort(live, count, sizeof live[0], compare_ids);
    uint32_t at = (c->preference + turn) % count;
    return live[at] == last ? live[(at + 1) % count] : live[at];
}

/* ---- one attempt ---- */

struct attempt {
    struct meta_client *client;
    uint32_t node_id;
    const struct rpc_method *method;
    struct rpc_options options;
    uint64_t patience_ns;
    const void *request;
    void *reply;
    struct wait_queue ended;
    bool is_done;
    int result;
};

static int attempt_fiber(void *arg)
{
    struct attempt *a = arg;
    struct mgmtd_client *mgmtd = a->client->mgmtd;
    struct net_address address;
    a->result = routing_address(mgmtd_client_routing(mgmtd), a->node_id, &address);
    if (a->result >= 0) {
        struct rpc_target target = { mgmtd_client_pool(mgmtd), &address, RPC_CONTROL };
        a->result = rpc_call(target, &meta_service, a->method, &a->options, a->request, a->reply);
    }
    a->is_done = true;
    wait_queue_wake_all(&a->ended);
    return 0;
}

static bool is_live(const struct meta_client *c, uint32_t node_id)
{
    const struct node_info *node = map_get(&mgmtd_client_routing(c->mgmtd)->nodes, node_id);
    return node && may_live(node);
}

static int wait_a_while(struct wait_queue *q)
{
    FIBER_TIMEOUT(LIVE_LOOK_NS);
    return wait_queue_wait(q, "answer of a metadata service");
}

/* Until it is answered, or its time or our patience is over, or the cluster manager says that the
 * service is gone: one that hangs would hold every call for the whole time of an attempt. */
static int attempt_run(struct attempt *a)
{
    wait_queue_init(&a->ended);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    int r = fiber_spawn(&scope, "meta-call", attempt_fiber, a);
    bool was_live = is_live(a->client, a->node_id);
    uint64_t begin_ns = node_now_ns(a->client->node);
    while (r >= 0 && !a->is_done) {
        r = wait_a_while(&a->ended);
        if (a->is_done) break;
        if (r == -ERR_TIMEOUT && fiber_remaining_ns()) r = 0;
        if (r >= 0 && was_live && !is_live(a->client, a->node_id)) r = -ERR_RPC_SOCKET_CLOSED;
        if (r >= 0 && node_now_ns(a->client->node) - begin_ns >= a->patience_ns) r = -ERR_TIMEOUT;
    }
    if (a->is_done) r = a->result;
    /* A server that stops says so too; only we know whether we were cancelled. */
    return r == -ERR_CANCELED && !fiber_is_cancelled() ? -ERR_RPC_REQUEST_REFUSED : r;
}

static bool is_retryable(int r)
{
    enum error_action action = error_action(r);
    return action != ACTION_FAIL && r != -ERR_CANCELED;
}

int meta_call(struct meta_client *c, const struct rpc_method *method, struct arena *arena,
              void *request, void *reply, const char **ret_error_text)
{
    struct meta_base *base = request;
    FIBER_TIMEOUT(c->options.total_timeout_ns);
    uint64_t pause_ns = PAUSE_MIN_NS, patience_ns = PATIENCE_NS;
    uint32_t node_id = 0;
    if (ret_error_text) *ret_error_text = NULL;
    for (uint32_t turn = 0;; turn++) {
        int r = -ERR_META_SERVICE_NOT_AVAILABLE;
        bool has_others;
        node_id = choose_node(c, turn, node_id, &has_others);
        struct attempt attempt = { .client = c,
                                   .node_id = node_id,
                                   .method = method,
                                   .options = { .arena = arena,
                                                .timeout_ns = MIN_OF(c->options.attempt_timeout_ns,
                                                                     fiber_remaining_ns()),
                                                .ret_error_text = ret_error_text },
                                   .patience_ns = has_others ? patience_ns : UINT64_MAX,
                                   .request = request,
                                   .reply = reply };
        if (node_id) r = attempt_run(&attempt);
        if (r == -ERR_TIMEOUT) patience_ns *= 2;
        if (node_id) base->flags |= META_SENT_AGAIN; /* from now on */
        note_result(c, node_id, r);
        if (r >= 0 || !is_retryable(r)) {
            if (turn && node_id) c->preference += turn;
            return r;
        }
        if (fiber_remaining_ns() <= pause_ns) return r;
        int slept = fiber_sleep(pause_ns);
        if (slept < 0) return slept == -ERR_TIMEOUT ? r : slept;
        pause_ns = MIN_OF(pause_ns * 2, PAUSE_MAX_NS);
    }
}

/* ---- paths ---- */

static int lookup(struct meta_client *c, const struct user_info *user, struct arena *arena,
                  uint64_t parent, struct bytes name, struct inode *ret)
{
    struct lookup_request req = { .parent = parent, .name = name };
    struct inode_reply rep;
    meta_base_init(c, user, &req.base);
    int r = meta_call(c, RPC_METHOD(meta, lookup), arena, &req, &rep, NULL);
    if (r >= 0) *ret = rep.inode;
    return r;
}

/* Takes the next component off *rest; empty when there is none. */
static struct bytes next_component(const char **rest)
{
    while (**rest == '/')
        ++*rest;
    size_t size = strcspn(*rest, "/");
    struct bytes name = bytes_of(*rest, size);
    *rest += size;
    return name;
}

static bool is_last(const char *rest)
{
    return rest[strspn(rest, "/")] == '\0';
}

static int walk(struct meta_client *c, const struct user_info *user, struct arena *arena,
                const char *path, bool follow, bool to_parent, struct inode *ret,
                struct bytes *ret_name)
{
    struct inode at;
    const char *rest = path;
    uint32_t symlink_count = 0;
    if (path[0] != '/') return -ERR_INVALID_ARG;
    int r = lookup(c, user, arena, INODE_ROOT, BYTES_LITERAL("."), &at);
    while (r >= 0) {
        struct bytes name = next_component(&rest);
        if (name.size == 0) {
            if (to_parent) return -ERR_INVALID_ARG; /* the root has no parent entry */
            break;
        }
        if (name.size > NAME_BYTES_MAX) return -ERR_META_NAME_TOO_LONG;
        if (to_parent && is_last(rest)) {
            *ret_name = name;
            break;
        }
        struct inode next;
        r = lookup(c, user, arena, at.id, name, &next);
        if (r < 0) break;
        bool must_follow = !is_last(rest) || follow;
        if (!S_ISLNK(next.mode) || !must_follow) {
            at = next;
            continue;
        }
        if (++symlink_count > SYMLINK_COUNT_MAX) return -ERR_META_TOO_MANY_SYMLINKS;
        rest = arena_printf(arena, "%.*s%s", (int)next.symlink.size,
                            (const char *)next.symlink.base, rest);
        if (next.symlink.size && next.symlink.base[0] == '/')
            r = lookup(c, user, arena, INODE_ROOT, BYTES_LITERAL("."), &at);
    }
    if (r >= 0) *ret = at;
    return MIN_OF(r, 0);
}

int meta_walk(struct meta_client *c, const struct user_info *user, struct arena *arena,
              const char *path, bool follow, struct inode *ret)
{
    struct bytes unused;
    return walk(c, user, arena, path, follow, false, ret, &unused);
}

int meta_walk_parent(struct meta_client *c, const struct user_info *user, struct arena *arena,
                     const char *path, struct inode *ret_parent, struct bytes *ret_name)
{
    return walk(c, user, arena, path, true, true, ret_parent, ret_name);
}
