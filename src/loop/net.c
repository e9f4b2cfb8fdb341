/* net.c - front door of streams: address text, whole transfers, life of listeners. */
#include "loop/net.h"
#include "base/check.h"
#include "loop/backend.h"
#include "loop/iov.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *prefix;
    enum net_scheme scheme;
} schemes[] = {
    { "TCP://", NET_TCP },     { "RDMA://", NET_RDMA }, { "IPoIB://", NET_IPOIB },
    { "LOCAL://", NET_LOCAL }, { "UNIX://", NET_UNIX },
};

/* A decimal number of 1 to 5 digits up to 65535 and nothing else. */
static bool parse_port(const char *text, uint16_t *ret)
{
    uint32_t port = 0;
    size_t count = 0;
    for (; isdigit((unsigned char)text[count]) && count < 6; count++) {
        port = port * 10 + (uint32_t)(text[count] - '0');
    }
    if (count == 0 || count > 5 || text[count] || port > UINT16_MAX) return false;
    *ret = (uint16_t)port;
    return true;
}

/* An IPv6 address, with a zone ("fe80::1%eth0") or without. */
static bool is_ipv6(const char *host)
{
    char plain[INET6_ADDRSTRLEN + 1];
    size_t size = strcspn(host, "%");
    if (size >= sizeof(plain) || (host[size] && !host[size + 1])) return false;
    memcpy(plain, host, size);
    plain[size] = 0;
    struct in6_addr address;
    return inet_pton(AF_INET6, plain, &address) == 1;
}

static bool is_host_name(const char *host)
{
    if (!host[0] || host[0] == '-' || host[0] == '.') return false;
    for (const char *p = host; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("-._", *p)) return false;
    }
    return true;
}

static bool copy_host(struct net_address *a, const char *text, size_t size)
{
    if (size == 0 || size >= sizeof(a->host)) return false;
    memcpy(a->host, text, size);
    a->host[size] = 0;
    return true;
}

/* "host:port" or "[v6]:port"; the port is optional where the scheme needs none. */
static bool parse_host_and_port(const char *text, struct net_address *a)
{
    bool is_bracketed = text[0] == '[';
    const char *end;
    if (is_bracketed) {
        text++;
        end = strchr(text, ']');
        if (!end || !copy_host(a, text, (size_t)(end - text)) || !is_ipv6(a->host)) return false;
        end++;
    } else {
        end = text + strcspn(text, ":");
        if (!copy_host(a, text, (size_t)(end - text)) || !is_host_name(a->host)) return false;
    }
    if (*end == 0 && a->scheme == NET_LOCAL) return true;
    return *end == ':' && parse_port(end + 1, &a->port);
}

int net_address_parse(const char *text, struct net_address *ret)
{
    struct net_address a = { .scheme = NET_TCP };
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t size = strlen(schemes[i].prefix);
        if (strncasecmp(text, schemes[i].prefix, size) != 0) continue;
        a.scheme = schemes[i].scheme;
        text += size;
        break;
    }
    bool is_good = a.scheme == NET_UNIX ? text[0] == '/' && copy_host(&a, text, strlen(text))
                                        : parse_host_and_port(text, &a);
    if (!is_good) return -ERR_RPC_INVALID_ADDR;
    *ret = a;
    return 0;
}

const char *net_address_to_text(const struct net_address *a, char *buf, size_t size)
{
    const char *prefix = "?://";
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (schemes[i].scheme == a->scheme) prefix = schemes[i].prefix;
    }
    if (a->scheme == NET_UNIX) {
        snprintf(buf, size, "%s%s", prefix, a->host);
    } else if (strchr(a->host, ':')) {
        snprintf(buf, size, "%s[%s]:%u", prefix, a->host, a->port);
    } else {
        snprintf(buf, size, "%s%s:%u", prefix, a->host, a->port);
    }
    return buf;
}

/* ---- listeners ---- */

int net_listen(struct node *node, const struct net_address *at, struct listener **ret)
{
    return node->loop->ops->listen(node, at, ret);
}

const struct net_address *listener_address(const struct listener *l)
{
    return &l->address;
}

static void listener_free_if_unused(struct listener *l)
{
    if (l->is_closed && l->accepting_count == 0) l->node->loop->ops->listener_free(l);
}

int listener_accept(struct listener *l, struct stream **ret)
{
    if (l->is_closed) return -ERR_CANCELED;
    l->accepting_count++;
    int r = l->node->loop->ops->accept(l, ret);
    l->accepting_count--;
    listener_free_if_unused(l);
    return r;
}

struct listener *listener_close(struct listener *l)
{
    if (!l) return NULL;
    check(!l->is_closed);
    l->is_closed = true;
    l->node->loop->ops->listener_stop(l);
    listener_free_if_unused(l);
    return NULL;
}

/* ---- streams ---- */

int net_connect(struct node *node, const struct net_address *to, struct stream **ret)
{
    return node->loop->ops->connect(node, to, ret);
}

ssize_t stream_readv(struct stream *s, const struct iovec *iov, int count)
{
    struct iov_cursor cursor;
    const struct iovec *window;

    if (s->is_shut) return -ERR_RPC_SOCKET_CLOSED;
    iov_cursor_advance(iov_cursor_init(&cursor, iov, count), 0);
    check(!iov_cursor_at_end(&cursor)); /* 0 would read as the end of the stream */
    int window_count = iov_cursor_window(&cursor, &window);
    check(!s->is_reading);
    s->is_reading = true;
    ssize_t n = s->node->loop->ops->stream_readv(s, window, window_count);
    s->is_reading = false;
    return n;
}

ssize_t stream_read(struct stream *s, void *buf, size_t size)
{
    return stream_readv(s, &(struct iovec){ buf, size }, 1);
}

int stream_read_full(struct stream *s, void *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = stream_read(s, (char *)buf + done, size - done);
        if (n < 0) return (int)n;
        if (n == 0) return -ERR_RPC_SOCKET_CLOSED;
        done += (size_t)n;
    }
    return 0;
}

int stream_writev(struct stream *s, const struct iovec *iov, int count)
{
    struct iov_cursor cursor;
    int r = 0;

    check(!s->is_writing);
    s->is_writing = true;
    iov_cursor_advance(iov_cursor_init(&cursor, iov, count), 0);
    while (!iov_cursor_at_end(&cursor)) {
        const struct iovec *window;
        int window_count = iov_cursor_window(&cursor, &window);
        ssize_t n = s->is_shut ? -ERR_RPC_SOCKET_CLOSED
                               : s->node->loop->ops->stream_writev(s, window, window_count);
        if (n < 0) {
            r = (int)n;
            break;
        }
        iov_cursor_advance(&cursor, (size_t)n);
    }
    s->is_writing = false;
    return r;
}

void stream_shutdown(struct stream *s)
{
    if (s->is_shut) return;
    s->is_shut = true;
    s->node->loop->ops->stream_shutdown(s);
}

struct stream *stream_close(struct stream *s)
{
    if (!s) return NULL;
    check(!s->is_reading && !s->is_writing);
    s->node->loop->ops->stream_close(s);
    return NULL;
}

const char *stream_peer(const struct stream *s)
{
    return s->peer;
}

int stream_peer_credentials(const struct stream *s, int *ret_pid, unsigned *ret_uid)
{
    return s->node->loop->ops->stream_peer_credentials(s, ret_pid, ret_uid);
}
