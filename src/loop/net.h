/* net.h - stream sockets through the seam: TCP, and unix sockets on one host.
 *
 * Address text: "TCP://host:port", "IPoIB://…" (the same), "RDMA://…" (see rpc), "UNIX:///path",
 * "LOCAL://…"; "[v6]:port" for IPv6; without a scheme TCP. Names are resolved at connect time.
 * In the simulator a host is the machine's name, and the world delays, loses, resets and
 * partitions.
 */
#pragma once
#include "loop/node.h"
#include <sys/uio.h>

enum net_scheme { NET_TCP, NET_RDMA, NET_IPOIB, NET_LOCAL, NET_UNIX, NET_SCHEME_MAX };

struct net_address {
    enum net_scheme scheme;
    uint16_t port;
    char host[240]; /* name, IPv4, IPv6 without brackets, or a path for NET_UNIX */
};

/* -ERR_RPC_INVALID_ADDR when malformed. */
int net_address_parse(const char *text, struct net_address *ret) must_check;
const char *net_address_to_text(const struct net_address *a, char *buf,
                                size_t size); /* 256 suffices */

struct listener;
struct stream;

/* Port 0 picks one; listener_address() tells. -ERR_RPC_LISTEN_FAILED (in use) or a system code. */
int net_listen(struct node *node, const struct net_address *at,
               struct listener **ret) fiber_fn must_check;
const struct net_address *listener_address(const struct listener *l);
int listener_accept(struct listener *l, struct stream **ret) fiber_fn must_check;
struct listener *listener_close(struct listener *l); /* wakes accepters with -ERR_CANCELED */
CLEANUP_FUNC(struct listener *, listener_close)

/* -ERR_RPC_CONNECT_FAILED, -ERR_TIMEOUT. TCP_NODELAY and keep-alive are on. */
int net_connect(struct node *node, const struct net_address *to,
                struct stream **ret) fiber_fn must_check;

/* At least one byte, 0 at the end of the stream, -ERR_RPC_SOCKET_CLOSED on reset. One reader at a
 * time. */
ssize_t stream_read(struct stream *s, void *buf, size_t size) fiber_fn must_check;
ssize_t stream_readv(struct stream *s, const struct iovec *iov, int count) fiber_fn must_check;
/* Exactly @size, or -ERR_RPC_SOCKET_CLOSED at an early end. */
int stream_read_full(struct stream *s, void *buf, size_t size) fiber_fn must_check;
/* All of it or an error; after an error the stream is broken. One writer at a time. */
int stream_writev(struct stream *s, const struct iovec *iov, int count) fiber_fn must_check;
/* Breaks the stream: pending and later reads and writes fail with -ERR_RPC_SOCKET_CLOSED. */
void stream_shutdown(struct stream *s);
struct stream *stream_close(struct stream *s); /* no reader or writer may be inside; returns NULL */
CLEANUP_FUNC(struct stream *, stream_close)
/* Text of the peer for logs, "127.0.0.1:4711"; borrowed from the stream. */
const char *stream_peer(const struct stream *s);
/* Of a unix stream: the peer's pid and uid. -ERR_NOT_SUPPORTED else. */
int stream_peer_credentials(const struct stream *s, int *ret_pid, unsigned *ret_uid) must_check;
