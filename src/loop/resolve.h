/* resolve.h - host names to socket addresses; private to the real back ends. */
#pragma once
#include "loop/real.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

struct socket_address {
    union {
        struct sockaddr base;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage any;
    };
    socklen_t size;
};

enum { RESOLVED_MAX = 8 };

struct resolved {
    struct socket_address addresses[RESOLVED_MAX];
    int count; /* at least one */
};

/* Numbers are converted at once; names by getaddrinfo() on the blocking pool, which is abandoned at
 * the fiber's deadline. -ERR_RPC_INVALID_ADDR for schemes that are not sockets and paths that are
 * too long, -ERR_RPC_CONNECT_FAILED for an unknown name. */
int resolve(struct node *node, const struct net_address *address,
            struct resolved *ret) fiber_fn must_check;
/* "127.0.0.1:4711", "[::1]:4711", "unix:PATH"; @size of PEER_TEXT_SIZE suffices. */
void socket_address_to_text(const struct socket_address *a, char *buf, size_t size);
