/* client.c - life of a pool and its peers; the frames that calls send. */
#include "rpc/client.h"

#include "base/check.h"
#include "loop/loop.h"

/* Ends all fibers of the pool at rpc_pool_free() or when the node is stopped, whichever comes
 * first. */
static int pool_keeper(void *arg) fiber_fn
{
    struct rpc_pool *pool = arg;
    int r = event_wait(&pool->stop, "end of the rpc pool");
    pool->is_closed = true;
    pool_release_local(pool);
    scope_done(&pool->scope);
    event_set(&pool->ended, 0);
    return r;
}

struct rpc_pool *rpc_pool_new(struct node *node, const struct auth_identity *identity)
{
    struct rpc_pool *pool = new_zero(struct rpc_pool);
    pool->node = node;
    if (identity) pool->identity = *identity;
    map_init(&pool->peer_map, node_random_u64(node));
    fiber_mutex_init(&pool->renewing);
    list_init(&pool->peers);
    list_init(&pool->local_callers);
    list_init(&pool->free_sends);
    scope_init(&pool->scope, loop_sched(node->loop));
    pool->scope.local = node;
    event_init(&pool->stop);
    event_init(&pool->ended);
    wait_queue_init(&pool->idle);
    pool->late_replies = metrics_cell(node->metrics, "rpc.late_replies");
    pool->bad_frames = metrics_cell(node->metrics, "rpc.bad_frames");
    pool->resets = metrics_cell(node->metrics, "rpc.silent_connections");
    if (fiber_spawn(&node->scope, "rpc pool", pool_keeper, pool) < 0) {
        pool->is_closed = true; /* the node is at its end: every call is cancelled */
        event_set(&pool->ended, 0);
    }
    return pool;
}

struct rpc_pool *rpc_pool_free(struct rpc_pool *pool)
{
    if (!pool) return NULL;
    FIBER_SHIELD();
    event_set(&pool->stop, 0);
    int r = event_wait(&pool->ended, "rpc pool");
    check(r == 0);
    while (pool->call_count > 0) {
        r = wait_queue_wait(&pool->idle, "rpc callers");
        check(r == 0);
    }
    list_for_each_safe (it, &pool->peers) {
        struct pool_peer *peer = list_entry(it, struct pool_peer, link);
        pending_done(&peer->pending);
        free(peer);
    }
    map_done(&pool->peer_map);
    list_for_each_safe (it, &pool->free_sends) {
        free(list_entry(it, struct client_send, link));
    }
    free(pool);
    return NULL;
}

void rpc_pool_set_identity(struct rpc_pool *pool, const struct auth_identity *identity)
{
    pool->identity = *identity;
    pool->identity_count++;
}

void rpc_pool_set_renew(struct rpc_pool *pool, int (*renew)(void *arg), void *arg)
{
    pool->renew = renew;
    pool->renew_arg = arg;
}

struct peer_key {
    uint8_t scheme, class;
    uint16_t port;
    char host[sizeof(((struct net_address *)0)->host)];
};

static struct bytes peer_key_of(struct peer_key *key, const struct net_address *address, int class)
{
    size_t host_size = strnlen(address->host, sizeof key->host);
    key->scheme = (uint8_t)address->scheme;
    key->class = (uint8_t) class;
    key->port = address->port;
    memcpy(key->host, address->host, host_size);
    return bytes_of(key, offsetof(struct peer_key, host) + host_size);
}

struct pool_peer *pool_get_peer(struct rpc_pool *pool, const struct net_address *address,
                                enum rpc_class class)
{
    struct peer_key key;
    struct bytes bytes = peer_key_of(&key, address, class);
    struct pool_peer *peer = map_get_bytes(&pool->peer_map, bytes);
    if (peer) return peer;

    peer = new_zero(struct pool_peer);
    peer->pool = pool;
    peer->address = *address;
    wait_queue_init(&peer->changed);
    list_push_back(&pool->peers, &peer->link);
    map_put_bytes(&pool->peer_map, bytes, peer);
    return peer;
}

void rpc_pool_reset(struct rpc_pool *pool, const struct net_address *address)
{
    for (int i = 0; i < RPC_CLASS_MAX; i++) {
        struct peer_key key;
        struct pool_peer *peer = map_get_bytes(&pool->peer_map, peer_key_of(&key, address, i));
        if (peer && peer->state == PEER_CONNECTED) rpc_link_break(&peer->rpc_link);
    }
}

/* ---- frames on their way ---- */

static void client_sent(struct rpc_send *send, int r)
{
    struct client_send *s = container_of(send, struct client_send, send);
    struct rpc_pending *owner = s->owner;
    if (owner) {
        owner->is_sent = r == 0;
        owner->is_started = s->send.is_started;
        owner->send = NULL;
        wait_queue_wake_all(&owner->moved);
    }
    client_send_free(s);
}

struct client_send *client_send_new(struct rpc_pool *pool, struct rpc_pending *owner)
{
    struct list *node = list_pop_front(&pool->free_sends);
    struct client_send *s =
        node ? list_entry(node, struct client_send, link) : xmalloc(sizeof(struct client_send));
    if (node) pool->free_send_count--;
    memset(s, 0, offsetof(struct client_send, bytes));
    list_init(&s->link);
    list_init(&s->send.link);
    s->pool = pool;
    s->owner = owner;
    s->out = wire_out_lent(s->bytes, sizeof s->bytes);
    s->send.done = client_sent;
    return s;
}

void client_send_free(struct client_send *s)
{
    struct rpc_pool *pool = s->pool;
    wire_out_free(&s->out);
    if (pool->free_send_count < CLIENT_FREE_SEND_COUNT_MAX) {
        list_push_front(&pool->free_sends, &s->link);
        pool->free_send_count++;
    } else {
        free(s);
    }
}
