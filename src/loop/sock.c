/* sock.c - stream sockets of the real back ends: non-blocking, the call first, the wait only if it
 * must be.
 *
 * Errors: whatever breaks a connection is -ERR_RPC_SOCKET_CLOSED, whatever keeps it from being made
 * -ERR_RPC_CONNECT_FAILED; only a lack of resources (descriptors, memory) shows as a system code.
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEEP_IDLE_SECONDS = 30,
    KEEP_INTERVAL_SECONDS = 10,
    KEEP_PROBES = 3,
    BACKLOG = 1024,
};

struct real_stream {
    struct stream base;
    struct sock sock;
};

struct real_listener {
    struct listener base;
    struct sock sock;
    dev_t path_device; /* of a unix socket: what was bound, so that only that is unlinked */
    ino_t path_inode;
};

static struct real_stream *stream_of(struct stream *s)
{
    return container_of(s, struct real_stream, base);
}

static struct real_listener *listener_of(struct listener *l)
{
    return container_of(l, struct real_listener, base);
}

static void sock_init(struct sock *sock, int fd)
{
    *sock = (struct sock){ .fd = fd, .is_readable = true, .is_writable = true };
    list_init(&sock->waiters);
}

static bool is_shortage(int eno)
{
    return eno == EMFILE || eno == ENFILE || eno == ENOBUFS || eno == ENOMEM;
}

static void set_option(int fd, int level, int name, int value)
{
    int r = setsockopt(fd, level, name, &value, sizeof(value));
    (void)r; /* an option that this kernel lacks makes the connection no worse */
}

static void set_stream_options(int fd, int family)
{
    if (family == AF_UNIX) return;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_SECONDS);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_SECONDS);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES);
}

/* ---- streams ---- */

/* Takes @fd, which is closed on failure. */
static int stream_new(struct node *node, int fd, const struct socket_address *peer,
                      struct stream **ret)
{
    struct real_loop *loop = real_loop_of(node);
    struct real_stream *s = new_zero(struct real_stream);
    s->base.node = node;
    sock_init(&s->sock, fd);
    set_stream_options(fd, peer->base.sa_family);
    socket_address_to_text(peer, s->base.peer, sizeof(s->base.peer));
    int r = loop->real->sock_add(loop, &s->sock);
    if (r < 0) {
        close(fd);
        free(s);
        return r;
    }
    *ret = &s->base;
    return 0;
}

void real_stream_close(struct stream *base)
{
    struct real_stream *s = stream_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    loop->real->sock_remove(loop, &s->sock);
    close(s->sock.fd);
    free(s);
}

void real_stream_shutdown(struct stream *base)
{
    struct real_stream *s = stream_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    shutdown(s->sock.fd, SHUT_RDWR);
    loop->real->sock_wake(loop, &s->sock);
}

ssize_t sock_receive_now(struct sock *sock, const struct iovec *iov, int count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                              .msg_iovlen = (size_t)count };
    ssize_t n;
    do {
        n = recvmsg(sock->fd, &message, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) return -ERR_RPC_SOCKET_CLOSED;
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    /* A short read has emptied the socket: the next one would only learn that. */
    sock->is_readable = sock->is_hung_up || n == (ssize_t)size;
    return n < 0 ? -ERR_BUSY : n;
}

ssize_t real_stream_readv(struct stream *base, const struct iovec *iov, int count)
{
    struct real_stream *s = stream_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    int r = fiber_interruption();
    if (r < 0) return r;
    ssize_t n = loop->real->sock_receive(loop, &s->sock, iov, count);
    if (n > 0) real_charge(loop, (uint64_t)n);
    return base->is_shut ? -ERR_RPC_SOCKET_CLOSED : n;
}

ssize_t real_stream_writev(struct stream *base, const struct iovec *iov, int count)
{
    struct real_stream *s = stream_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                              .msg_iovlen = (size_t)count };

    int r = fiber_interruption();
    if (r < 0) return r;
    for (;;) {
        ssize_t n =
            s->sock.is_writable ? sendmsg(s->sock.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
        if (n > 0) {
            real_charge(loop, (uint64_t)n);
            return n;
        }
        if (s->sock.is_writable && errno == EINTR) continue;
        if (s->sock.is_writable && errno != EAGAIN) return -ERR_RPC_SOCKET_CLOSED;
        s->sock.is_writable = false;
        r = loop->real->sock_wait(loop, &s->sock, POLLOUT);
        if (r < 0) return r;
        if (base->is_shut) return -ERR_RPC_SOCKET_CLOSED;
        s->sock.is_writable = true;
    }
}

int real_stream_peer_credentials(const struct stream *base, int *ret_pid, unsigned *ret_uid)
{
    int fd = ((const struct real_stream *)base)->sock.fd; /* the base is its first member */
    struct ucred cred;
    socklen_t size = sizeof(cred);
    int family;
    socklen_t family_size = sizeof(family);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_size) < 0 || family != AF_UNIX) {
        return -ERR_NOT_SUPPORTED;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0) return error_from_errno(errno);
    *ret_pid = cred.pid;
    *ret_uid = cred.uid;
    return 0;
}

/* ---- connecting ---- */

/* 1 when connected, 0 while it goes on, -ERR_RPC_CONNECT_FAILED. */
static int connect_state(int fd)
{
    int eno = 0;
    socklen_t size = sizeof(eno);
    struct socket_address peer = { .size = sizeof(peer.any) };
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &eno, &size) < 0 || eno != 0)
        return -ERR_RPC_CONNECT_FAILED;
    if (getpeername(fd, &peer.base, &peer.size) == 0) return 1;
    return errno == ENOTCONN ? 0 : -ERR_RPC_CONNECT_FAILED;
}

static int connect_wait(struct real_loop *loop, int fd)
{
    struct sock sock;
    sock_init(&sock, fd);
    int r = loop->real->sock_add(loop, &sock);
    if (r < 0) return r;
    do {
        r = loop->real->sock_wait(loop, &sock, POLLOUT);
        if (r >= 0) r = connect_state(fd);
    } while (r == 0);
    loop->real->sock_remove(loop, &sock);
    return r;
}

/* A connect to an own ephemeral port that nobody listens at may meet itself. */
static bool is_connected_to_itself(int fd, const struct socket_address *to)
{
    struct socket_address own = { .size = sizeof(own.any) };
    if (to->base.sa_family == AF_UNIX || getsockname(fd, &own.base, &own.size) < 0) return false;
    return own.size == to->size && memcmp(&own.any, &to->any, own.size) == 0;
}

static int connect_fd(struct node *node, int fd, const struct socket_address *to)
{
    enum { BACKLOG_RETRY_NS = MSEC };
    int r;
    for (;;) {
        r = connect(fd, &to->base, to->size);
        if (r == 0 || errno != EAGAIN) break;
        r = fiber_sleep(BACKLOG_RETRY_NS); /* a unix listener whose backlog is full */
        if (r < 0) return r;
    }
    if (r < 0 && errno != EINPROGRESS && errno != EINTR) {
        return is_shortage(errno) ? error_from_errno(errno) : -ERR_RPC_CONNECT_FAILED;
    }
    if (r < 0) {
        r = connect_wait(real_loop_of(node), fd);
        if (r < 0) return r;
    }
    return is_connected_to_itself(fd, to) ? -ERR_RPC_CONNECT_FAILED : 0;
}

static int connect_one(struct node *node, const struct socket_address *to, struct stream **ret)
{
    int fd = socket(to->base.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return is_shortage(errno) ? error_from_errno(errno) : -ERR_RPC_CONNECT_FAILED;
    int r = connect_fd(node, fd, to);
    if (r < 0) {
        close(fd);
        return r;
    }
    return stream_new(node, fd, to, ret);
}

int real_connect(struct node *node, const struct net_address *to, struct stream **ret)
{
    struct resolved resolved;
    int r = fiber_interruption();
    if (r >= 0) r = resolve(node, to, &resolved);
    if (r < 0) return r;
    for (int i = 0; i < resolved.count; i++) {
        /* One address that swallows packets must not use up the time of the others. */
        uint64_t remaining = fiber_remaining_ns();
        FIBER_TIMEOUT(remaining == TIME_NEVER ? TIME_NEVER
                                              : remaining / (uint64_t)(resolved.count - i));
        r = connect_one(node, &resolved.addresses[i], ret);
        if (r >= 0 || r == -ERR_CANCELED) return r;
    }
    return r;
}

/* ---- listening ---- */

/* A socket file that nobody listens at any more is left from a dead process. */
static bool unlink_stale_path(const struct socket_address *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool is_stale = connect(fd, &at->base, at->size) < 0 && errno == ECONNREFUSED;
    close(fd);
    return is_stale && unlink(at->local.sun_path) == 0;
}

static int bind_fd(int fd, const struct socket_address *at)
{
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, &at->base, at->size) == 0) return 0;
    if (errno != EADDRINUSE || at->base.sa_family != AF_UNIX || !unlink_stale_path(at)) return -1;
    return bind(fd, &at->base, at->size);
}

static int listen_fd(const struct socket_address *at, int *ret_fd)
{
    int fd = socket(at->base.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return error_from_errno(errno);
    if (bind_fd(fd, at) < 0 || listen(fd, BACKLOG) < 0) {
        int r = errno == EADDRINUSE ? -ERR_RPC_LISTEN_FAILED : error_from_errno(errno);
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Of a name with several addresses IPv4 is taken first: "localhost" is then where everybody looks.
 */
static int listen_first(const struct resolved *resolved, int *ret_fd)
{
    int r = -ERR_RPC_INVALID_ADDR;
    for (int is_second = 0; is_second < 2; is_second++) {
        for (int i = 0; i < resolved->count; i++) {
            const struct socket_address *at = &resolved->addresses[i];
            if ((at->base.sa_family != AF_INET) != is_second) continue;
            r = listen_fd(at, ret_fd);
            if (r >= 0) return r;
        }
    }
    return r;
}

static void note_real_address(struct real_listener *l, const struct net_address *at)
{
    struct socket_address own = { .size = sizeof(own.any) };
    struct stat st;
    l->base.address = *at;
    if (at->scheme == NET_UNIX) {
        if (stat(at->host, &st) < 0) return;
        l->path_device = st.st_dev;
        l->path_inode = st.st_ino;
    } else if (getsockname(l->sock.fd, &own.base, &own.size) == 0) {
        l->base.address.port =
            ntohs(own.base.sa_family == AF_INET ? own.v4.sin_port : own.v6.sin6_port);
    }
}

int real_listen(struct node *node, const struct net_address *at, struct listener **ret)
{
    struct real_loop *loop = real_loop_of(node);
    struct resolved resolved;
    int fd = -1;
    int r = resolve(node, at, &resolved);
    if (r < 0) return r == -ERR_RPC_CONNECT_FAILED ? -ERR_RPC_INVALID_ADDR : r;
    r = listen_first(&resolved, &fd);
    if (r < 0) return r;
    struct real_listener *l = new_zero(struct real_listener);
    l->base.node = node;
    sock_init(&l->sock, fd);
    note_real_address(l, at);
    r = loop->real->sock_add(loop, &l->sock);
    if (r < 0) {
        close(fd);
        free(l);
        return r;
    }
    *ret = &l->base;
    return 0;
}

int real_accept(struct listener *base, struct stream **ret)
{
    enum { SHORTAGE_PAUSE_MS = 50 };
    struct real_listener *l = listener_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    struct socket_address peer;

    int r = fiber_interruption();
    if (r < 0) return r;
    for (;;) {
        if (base->is_closed) return -ERR_CANCELED;
        peer.size = sizeof(peer.any);
        int fd = accept4(l->sock.fd, &peer.base, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            real_charge(loop, 0);
            return stream_new(base->node, fd, &peer, ret);
        }
        if (errno == EAGAIN) {
            r = loop->real->sock_wait(loop, &l->sock, POLLIN);
        } else if (is_shortage(errno)) {
            r = fiber_sleep(SHORTAGE_PAUSE_MS * MSEC); /* others will close theirs */
        } else {
            r = fiber_interruption(); /* a connection that ended before it was accepted */
        }
        if (r < 0) return r;
    }
}

void real_listener_stop(struct listener *base)
{
    struct real_listener *l = listener_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    struct stat st;
    if (base->address.scheme == NET_UNIX && stat(base->address.host, &st) == 0 &&
        st.st_dev == l->path_device && st.st_ino == l->path_inode) {
        unlink(base->address.host);
    }
    shutdown(l->sock.fd, SHUT_RDWR);
    loop->real->sock_wake(loop, &l->sock);
}

void real_listener_free(struct listener *base)
{
    struct real_listener *l = listener_of(base);
    struct real_loop *loop = real_loop_of(base->node);
    loop->real->sock_remove(loop, &l->sock);
    close(l->sock.fd);
    free(l);
}
