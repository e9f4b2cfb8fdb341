/* server.c - life of a server: listeners, accepted connections, orderly stop. */
#include "rpc/server.h"

#include "base/check.h"
#include "loop/loop.h"

enum {
    BULK_BYTES_MAX_DEFAULT = 256 << 20,
    REQUEST_COUNT_MAX_DEFAULT = 256,
    BULK_SIZE_MAX_DEFAULT = (64 << 20) + 4096,
};
#define ACCEPT_PAUSE_NS    (100 * MSEC) /* after an error, such as no descriptor left */
#define LISTEN_PATIENCE_NS (2 * SEC)
#define LISTEN_PAUSE_NS    (50 * MSEC)

/* Those who connect beyond the limits wait in the listener's backlog. */
static int server_accept_room(struct rpc_server *server) fiber_fn
{
    while (server->connection_count >= SERVER_CONNECTION_COUNT_MAX ||
           server->handshake_count >= SERVER_HANDSHAKE_COUNT_MAX) {
        server_log_peer(server, -ERR_BUSY, "anybody", "waits: too many connections");
        int r = wait_queue_wait(&server->accept_room, "room for a connection");
        if (r < 0) return r;
    }
    return 0;
}

/* Gives the accepted stream a connection and a fiber, or closes it. */
static int server_take(struct rpc_server *server, struct stream *stream)
{
    struct server_conn *conn = new_zero(struct server_conn);
    conn->server = server;
    rpc_link_init(&conn->link, server->node, stream);
    scope_init(&conn->calls, loop_sched(server->node->loop));
    conn->calls.local = server->node;
    wait_queue_init(&conn->room);
    *server->connections = ++server->connection_count;
    server->handshake_count++;
    int r = fiber_spawn(&server->scope, "rpc connection", server_conn_main, conn);
    if (r < 0) {
        rpc_link_done(&conn->link);
        free(conn);
        *server->connections = --server->connection_count;
        server->handshake_count--;
    }
    return r;
}

static int accept_main(struct rpc_server *server, struct listener *listener) fiber_fn
{
    while (!server->is_stopping) { /* else the listener may be gone */
        if (server_accept_room(server) < 0 || server->is_stopping) break;
        struct stream *stream;
        int r = listener_accept(listener, &stream);
        if (r == -ERR_CANCELED) break;
        if (r == 0) r = server_take(server, stream);
        if (r < 0) {
            server_log_peer(server, r, "anybody", "cannot accept");
            r = fiber_sleep(ACCEPT_PAUSE_NS);
            if (r < 0) break;
        }
    }
    return 0;
}

static int accept_tcp(void *arg) fiber_fn
{
    struct rpc_server *server = arg;
    return accept_main(server, server->listener);
}

static int accept_unix(void *arg) fiber_fn
{
    struct rpc_server *server = arg;
    return accept_main(server, server->unix_listener);
}

/* Ends all fibers of the server at rpc_server_stop() or when the node is stopped, whichever comes
 * first. */
static int server_keeper(void *arg) fiber_fn
{
    struct rpc_server *server = arg;
    int r = event_wait(&server->stop, "end of the rpc server");
    server_unregister(server);
    server->is_stopping = true;
    server->listener = listener_close(server->listener);
    server->unix_listener = listener_close(server->unix_listener);
    scope_done(&server->scope);
    scope_done(&server->local_calls);
    event_set(&server->ended, 0);
    return r;
}

static struct rpc_server *server_new(struct node *node, const struct rpc_server_options *options)
{
    struct rpc_server *server = new_zero(struct rpc_server);
    struct rpc_server_options *o = &server->options;
    server->node = node;
    *o = *options;
    if (!o->bulk_bytes_max) o->bulk_bytes_max = BULK_BYTES_MAX_DEFAULT;
    if (!o->request_count_max) o->request_count_max = REQUEST_COUNT_MAX_DEFAULT;
    if (!o->bulk_size_max) o->bulk_size_max = BULK_SIZE_MAX_DEFAULT;
    server->pool = buffer_pool_new(o->bulk_bytes_max);
    fiber_semaphore_init(&server->body_bytes, SERVER_BODY_BYTES_MAX);
    list_init(&server->free_calls);
    wait_queue_init(&server->idle);
    wait_queue_init(&server->accept_room);
    wait_queue_init(&server->local_room);
    wait_queue_init(&server->local_idle);
    event_init(&server->stop);
    event_init(&server->ended);
    scope_init(&server->scope, loop_sched(node->loop));
    scope_init(&server->local_calls, loop_sched(node->loop));
    server->scope.local = server->local_calls.local = node;
    server->incarnation = node_random_u64(node);
    server->bad_frames = metrics_cell(node->metrics, "rpc.bad_frames");
    server->auth_failures = metrics_cell(node->metrics, "rpc.auth_failures");
    server->connections = metrics_cell(node->metrics, "rpc.connections");
    server->requests = metrics_cell(node->metrics, "rpc.requests");
    return server;
}

static struct rpc_server *server_free(struct rpc_server *server)
{
    check(server->running_count == 0 && server->connection_count == 0);
    struct list *node;
    while ((node = list_pop_front(&server->free_calls))) {
        free(list_entry(node, struct server_call, link));
    }
    for (size_t i = 0; i < server->service_count; i++) {
        free(server->services[i].cells);
    }
    buffer_pool_free(server->pool);
    free(server);
    return NULL;
}

/* A process that was killed holds its port until the kernel has ended its rings: a moment longer
 * than the process is seen. */
static int listen_patiently(struct rpc_server *server) fiber_fn
{
    uint64_t end_ns = node_now_ns(server->node) + LISTEN_PATIENCE_NS;
    for (;;) {
        int r = net_listen(server->node, &server->options.listen, &server->listener);
        if (r != -ERR_RPC_LISTEN_FAILED || node_now_ns(server->node) >= end_ns) return r;
        r = fiber_sleep(LISTEN_PAUSE_NS);
        if (r < 0) return r;
    }
}

/* Opens what the options name. */
static int server_listen(struct rpc_server *server) fiber_fn
{
    const struct rpc_server_options *o = &server->options;
    server->addresses[server->address_count++] = o->listen;
    if (o->listen.scheme != NET_LOCAL) {
        int r = listen_patiently(server);
        if (r < 0) return r;
        server->addresses[0] = *listener_address(server->listener);
    }
    if (!o->listen_unix.host[0]) return 0;
    return net_listen(server->node, &o->listen_unix, &server->unix_listener);
}

int rpc_server_start(struct node *node, const struct rpc_server_options *options,
                     struct rpc_server **ret)
{
    struct rpc_server *server = server_new(node, options);
    const struct rpc_server_options *o = &server->options;
    int r = server_listen(server);
    if (r == 0) r = fiber_spawn(&node->scope, "rpc server", server_keeper, server);
    if (r < 0) {
        listener_close(server->listener);
        listener_close(server->unix_listener);
        server_free(server);
        return r;
    }
    if (!o->without_local) server_register(server);
    if (server->listener) r = fiber_spawn(&server->scope, "rpc accept", accept_tcp, server);
    if (r == 0 && server->unix_listener)
        r = fiber_spawn(&server->scope, "rpc accept", accept_unix, server);
    if (r < 0) {
        rpc_server_stop(server, 0);
        return r;
    }
    *ret = server;
    return 0;
}

static uint64_t *method_cell(struct rpc_server *server, const struct rpc_service *service,
                             size_t method, const char *what)
{
    char name[128];
    snprintf(name, sizeof name, "rpc.%s.%s.%s", service->name, service->methods[method].name, what);
    return metrics_cell(server->node->metrics, name);
}

void rpc_server_add(struct rpc_server *server, const struct rpc_service *service,
                    const void *handlers, void *self)
{
    check(server->service_count < SERVER_SERVICE_COUNT_MAX);
    struct method_cells *cells = xcalloc(service->method_count, sizeof *cells);
    for (size_t i = 0; i < service->method_count; i++) {
        cells[i].calls = method_cell(server, service, i, "calls");
        cells[i].errors = method_cell(server, service, i, "errors");
        cells[i].busy_ns = method_cell(server, service, i, "busy_ns");
    }
    struct service_entry *entry = &server->services[server->service_count++];
    *entry = (struct service_entry){ service, handlers, self, cells };
}

void rpc_server_add_alias(struct rpc_server *server, const struct net_address *address)
{
    check(server->address_count < ARRAY_SIZE(server->addresses));
    server->addresses[server->address_count++] = *address;
}

const struct net_address *rpc_server_address(const struct rpc_server *server)
{
    return &server->addresses[0];
}

struct buffer_pool *rpc_server_pool(struct rpc_server *server)
{
    return server->pool;
}

struct rpc_server *rpc_server_stop(struct rpc_server *server, uint64_t grace_ns)
{
    if (!server) return NULL;
    if (!server->is_stopping) {
        server->is_stopping = true;
        server_unregister(server);
        server->listener = listener_close(server->listener);
        server->unix_listener = listener_close(server->unix_listener);
    }
    {
        FIBER_TIMEOUT(grace_ns);
        while (server->running_count > 0) {
            if (wait_queue_wait(&server->idle, "running calls") < 0) break;
        }
    }
    FIBER_SHIELD();
    event_set(&server->stop, 0);
    int r = event_wait(&server->ended, "rpc server");
    check(r == 0);
    while (server->local_count >
           0) { /* handed to callers, which let go without waiting for anything */
        r = wait_queue_wait(&server->local_idle, "local callers");
        check(r == 0);
    }
    return server_free(server);
}
