/* rpc.h - typed calls between nodes, bulk data beside them, deadlines that travel, known peers.
 *
 * A service is declared in src/proto as a method list,
 *     #define STORAGE_METHODS(M, s) M(s, 1, batch_read, batch_read_request, batch_read_reply) …
 *     RPC_SERVICE_DECLARE(storage, STORAGE_METHODS)      in the header
 *     RPC_SERVICE_DEFINE(storage, 3, STORAGE_METHODS)    in one .c file
 * which gives
 *     struct storage_handlers          what a server fills in: a function pointer for each method,
 *         int (*batch_read)(void *self, struct rpc_call *, const struct batch_read_request *,
 *                           struct batch_read_reply *);
 *     storage_batch_read(target, options, request, reply)      a client's stub for each method
 *     const struct rpc_service storage_service                 names, ids, printers
 *
 * Request: one frame (rpc_format.h), then, if there is bulk data, exactly bulk_size bytes received
 * straight into a page-aligned buffer of the server's pool. Reply: one frame, then bulk bytes
 * received straight into the memory that the caller named. Bodies are CRC-protected; bulk data
 * carries its own CRCs in typed fields.
 *
 * Deadline: the caller's fiber deadline (or options.timeout_ns if earlier) travels as remaining
 * time and becomes the deadline of the handler's fiber. A reply that comes late is read and
 * dropped.
 *
 * Transports: tcp, unix, and local (server in this process and on this loop). Callers cannot tell.
 */
#pragma once
#include "loop/net.h"
#include "loop/node.h"
#include "rpc/auth.h"
#include "wire/wire.h"

/* ---- bulk buffers ---- */

/* Page-aligned memory from a bounded pool; taking waits at the bound (backpressure). */
struct buffer_pool;
struct buffer {
    uint8_t *base;
    size_t size;     /* usable bytes asked for */
    size_t capacity; /* multiple of 4096 */
    struct buffer_pool *pool;
};
struct buffer_pool *buffer_pool_new(uint64_t bytes_max);
struct buffer_pool *buffer_pool_free(struct buffer_pool *pool);
int buffer_take(struct buffer_pool *pool, size_t size, struct buffer **ret) fiber_fn must_check;
struct buffer *buffer_give(struct buffer *buffer); /* NULL is fine; returns NULL */
CLEANUP_FUNC(struct buffer *, buffer_give)

/* ---- server side ---- */

struct rpc_service;
struct rpc_server;

enum { RPC_REPLY_IOV_MAX = 64 };
struct rpc_call {
    struct node *node;            /* the server's */
    struct arena *arena;          /* lives until the reply is sent: put reply lists here */
    const struct auth_peer *peer; /* who calls; valid during the call */
    const char *peer_text;        /* address, for logs */
    uint16_t method;
    uint32_t bulk_size;  /* bytes that came with the request */
    struct buffer *bulk; /* they; TAKE_PTR it to keep it, else it is given back after the reply */
    struct iovec reply_bulk[RPC_REPLY_IOV_MAX]; /* set by rpc_push() */
    int reply_bulk_count;
    void (*reply_done)(void *arg);
    void *reply_done_arg;
    const char *error_text; /* set by rpc_fail() */
};

/* Sends @iov (the list is copied, the memory lent until @done) behind the reply, at most
 * RPC_REPLY_IOV_MAX pieces. @done is called exactly once, also when the connection has died; NULL
 * if the memory outlives all. */
void rpc_push(struct rpc_call *call, const struct iovec *iov, int count, void (*done)(void *arg),
              void *arg);
/* `return rpc_fail(call, -ERR_X, "...")`: the text reaches the caller with the status. */
int rpc_fail(struct rpc_call *call, int r, const char *fmt, ...) printf_(3, 4);

struct rpc_server_options {
    struct net_address listen;      /* NET_LOCAL: no socket, only callers on this loop */
    struct net_address listen_unix; /* host[0] == 0: none */
    const struct auth_keys *keys;   /* borrowed; NULL: open (tests of the transport only) */
    uint64_t bulk_bytes_max;        /* of the pool; 0: 256 MiB */
    uint32_t request_count_max;     /* running per connection, beyond it reading pauses; 0: 256 */
    uint32_t bulk_size_max;         /* of one request; 0: 64 MiB + 4 KiB */
    bool without_local; /* callers on this loop connect as others do: tests, benchmarks */
};
/* A port that is in use is waited for up to 2 s: -ERR_RPC_LISTEN_FAILED. */
int rpc_server_start(struct node *node, const struct rpc_server_options *options,
                     struct rpc_server **ret) fiber_fn must_check;
/* @handlers is the struct <service>_handlers, borrowed; a NULL entry answers NotImplemented. Counts
 * go to the node's metrics: rpc.<service>.<method>.calls, .errors, .busy_ns. */
void rpc_server_add(struct rpc_server *server, const struct rpc_service *service,
                    const void *handlers, void *self);
/* Callers on this loop who name @address reach the server without a connection, as they do by its
 * listening address: for addresses that others know it by. At most 16. */
void rpc_server_add_alias(struct rpc_server *server, const struct net_address *address);
const struct net_address *rpc_server_address(const struct rpc_server *server); /* port 0 resolved */
struct buffer_pool *rpc_server_pool(struct rpc_server *server);
/* Stops accepting, lets running calls end within @grace_ns, then cancels and joins them. */
struct rpc_server *rpc_server_stop(struct rpc_server *server, uint64_t grace_ns) fiber_fn;

/* ---- client side ---- */

/* Connections of one node, by address and class; opened on use, reopened after failure with a short
 * pause. */
struct rpc_pool;
struct rpc_pool *rpc_pool_new(struct node *node, const struct auth_identity *identity);
struct rpc_pool *rpc_pool_free(struct rpc_pool *pool) fiber_fn;
/* Replaces what the pool shows to servers (a renewed capability); open connections stay as they
 * are, until a server finds that what they have shown is void since. */
void rpc_pool_set_identity(struct rpc_pool *pool, const struct auth_identity *identity);
/* @renew(@arg) gets a new identity and sets it, or says why there is none: called when what was
 * shown is void since. Without it the same is shown again, on a new connection: a token. A call
 * that was refused for it is made again; if that does not help it is -ERR_AUTH_FAIL. */
void rpc_pool_set_renew(struct rpc_pool *pool, int (*renew)(void *arg), void *arg);
/* Breaks connections to @address: pending calls fail, the next call connects anew. */
void rpc_pool_reset(struct rpc_pool *pool, const struct net_address *address);

/* A connection each: bulk data never delays control. */
enum rpc_class { RPC_CONTROL, RPC_BULK, RPC_CLASS_MAX };

struct rpc_target {
    struct rpc_pool *pool;
    const struct net_address *address; /* borrowed during the call */
    enum rpc_class class;
};
struct rpc_options {
    uint64_t timeout_ns;          /* 0: only the fiber's deadline, at most 60 s */
    struct arena *arena;          /* of reply lists and blobs; required */
    const struct iovec *bulk_out; /* sent with the request; lent until the call returns */
    int bulk_out_count;
    const struct iovec *bulk_in; /* where reply bulk data goes; more is RPC_VERIFY_RESPONSE */
    int bulk_in_count;
    uint32_t *ret_bulk_in_size;  /* how much came; may be NULL */
    const char **ret_error_text; /* the server's sentence (arena) or NULL; may be NULL */
};

struct rpc_method {
    uint16_t id;
    const char *name;
    uint32_t request_size, reply_size;
    size_t handler_offset; /* in the handlers struct */
    void (*request_put)(struct wire_out *, const void *);
    void (*request_get)(struct wire_in *, void *);
    void (*request_to_text)(FILE *, const void *);
    void (*reply_put)(struct wire_out *, const void *);
    void (*reply_get)(struct wire_in *, void *);
    void (*reply_to_text)(FILE *, const void *);
};
struct rpc_service {
    uint16_t id;
    const char *name;
    const struct rpc_method *methods;
    size_t method_count;
};
/* All handlers have this shape but for the pointed-to types. */
typedef int (*rpc_handler)(void *self, struct rpc_call *call, const void *request, void *reply);

/* 0 or more: the handler's result. Statuses of the transport: TIMEOUT, CANCELED, RPC_CONNECT_FAILED
 * (surely not executed), RPC_SEND_FAILED / RPC_SOCKET_CLOSED (may have been executed),
 * RPC_VERIFY_RESPONSE, AUTH_FAIL. */
int rpc_call(struct rpc_target target, const struct rpc_service *service,
             const struct rpc_method *method, const struct rpc_options *options,
             const void *request, void *reply) fiber_fn must_check;

/* ---- what the service macros make ---- */

#define RPC_HANDLER_MEMBER(service, id, name, request, reply)                                      \
    int (*name)(void *self, struct rpc_call *call, const struct request *req, struct reply *rep);
#define RPC_STUB_DECLARE(service, id, name, request, reply)                                        \
    int service##_##name(struct rpc_target target, const struct rpc_options *options,              \
                         const struct request *req, struct reply *rep) fiber_fn must_check;

#define RPC_METHOD_ENUM(service, id, name, request, reply) service##_##name##_at,
/* The struct rpc_method of a method, for calls that choose their server: RPC_METHOD(mgmtd,
 * list_sessions). */
#define RPC_METHOD(service, name) (&service##_service.methods[service##_##name##_at])

/* In the service's header. */
#define RPC_SERVICE_DECLARE(service, METHODS)                                                      \
    enum { METHODS(RPC_METHOD_ENUM, service) service##_method_count };                             \
    struct service##_handlers {                                                                    \
        METHODS(RPC_HANDLER_MEMBER, service)                                                       \
    };                                                                                             \
    extern const struct rpc_service service##_service;                                             \
    METHODS(RPC_STUB_DECLARE, service)

#define RPC_METHOD_WRAP(service, id, name, request, reply)                                         \
    static void service##_##name##_request_put(struct wire_out *out, const void *v)                \
    {                                                                                              \
        request##_put(out, v);                                                                     \
    }                                                                                              \
    static void service##_##name##_request_get(struct wire_in *in, void *v)                        \
    {                                                                                              \
        request##_get(in, v);                                                                      \
    }                                                                                              \
    static void service##_##name##_request_to_text(FILE *f, const void *v)                         \
    {                                                                                              \
        request##_to_text(f, v);                                                                   \
    }                                                                                              \
    static void service##_##name##_reply_put(struct wire_out *out, const void *v)                  \
    {                                                                                              \
        reply##_put(out, v);                                                                       \
    }                                                                                              \
    static void service##_##name##_reply_get(struct wire_in *in, void *v)                          \
    {                                                                                              \
        reply##_get(in, v);                                                                        \
    }                                                                                              \
    static void service##_##name##_reply_to_text(FILE *f, const void *v)                           \
    {                                                                                              \
        reply##_to_text(f, v);                                                                     \
    }
#define RPC_METHOD_ROW(service, number, method, request, reply)                                    \
    { .id = (number),                                                                              \
      .name = #method,                                                                             \
      .request_size = sizeof(struct request),                                                      \
      .reply_size = sizeof(struct reply),                                                          \
      .handler_offset = offsetof(struct service##_handlers, method),                               \
      .request_put = service##_##method##_request_put,                                             \
      .request_get = service##_##method##_request_get,                                             \
      .request_to_text = service##_##method##_request_to_text,                                     \
      .reply_put = service##_##method##_reply_put,                                                 \
      .reply_get = service##_##method##_reply_get,                                                 \
      .reply_to_text = service##_##method##_reply_to_text },
#define RPC_STUB(service, id, name, request, reply)                                                \
    int service##_##name(struct rpc_target target, const struct rpc_options *options,              \
                         const struct request *req, struct reply *rep)                             \
    {                                                                                              \
        return rpc_call(target, &service##_service, &service##_methods[service##_##name##_at],     \
                        options, req, rep);                                                        \
    }

/* In one .c file of the service. */
#define RPC_SERVICE_DEFINE(service, number, METHODS)                                               \
    METHODS(RPC_METHOD_WRAP, service)                                                              \
    static const struct rpc_method service##_methods[] = { METHODS(RPC_METHOD_ROW, service) };     \
    const struct rpc_service service##_service = { .id = (number),                                 \
                                                   .name = #service,                               \
                                                   .methods = service##_methods,                   \
                                                   .method_count = service##_method_count };       \
    METHODS(RPC_STUB, service)
