/* host_net.c - ports that are to be listened at, and cluster managers that are to be reached. */
#include "doctor/host_internal.h"

#include "base/units.h"
#include "loop/net.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int try_port(uint32_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* past connections do not count */
    bool is_free = bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
    int error = is_free ? 0 : errno;
    close(fd);
    return error;
}

static int connect_to(const struct addrinfo *to, uint64_t timeout_ns)
{
    int error = 0;
    socklen_t size = sizeof error;
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) error = errno;
    if (error == EINPROGRESS) {
        struct pollfd ready = { .fd = fd, .events = POLLOUT };
        bool is_over = poll(&ready, 1, (int)(timeout_ns / MSEC)) == 1;
        error = ETIMEDOUT;
        if (is_over && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
    close(fd);
    return error;
}

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * SEC + (uint64_t)at.tv_nsec;
}

/* The first of the name's addresses that answers decides, or the last one's error. */
static void try_address(struct host_address *a, uint64_t timeout_ns)
{
    struct net_address address;
    struct addrinfo *all = NULL, hints = { .ai_socktype = SOCK_STREAM };
    char port[8];
    a->error = EINVAL;
    if (net_address_parse(a->text, &address) < 0 || address.scheme == NET_UNIX) return;
    snprintf(port, sizeof port, "%u", address.port);
    a->error = EADDRNOTAVAIL; /* the name is unknown */
    if (getaddrinfo(address.host, port, &hints, &all) != 0) return;
    uint64_t begin_ns = now_ns();
    for (const struct addrinfo *i = all; i && a->error; i = i->ai_next)
        a->error = connect_to(i, timeout_ns);
    a->took_ns = now_ns() - begin_ns;
    freeaddrinfo(all);
}

void host_look_at_network(const struct host_question *q, struct arena *arena, struct host_facts *f)
{
    f->ports = arena_array(arena, struct host_port, q->port_count + 1u);
    f->port_count = q->port_count;
    for (uint32_t i = 0; i < q->port_count; i++)
        f->ports[i] = (struct host_port){ (uint32_t)q->ports[i], try_port((uint32_t)q->ports[i]) };
    f->addresses = arena_array(arena, struct host_address, q->address_count + 1u);
    f->address_count = q->address_count;
    for (uint32_t i = 0; i < q->address_count; i++) {
        f->addresses[i] = (struct host_address){ .text = q->addresses[i] };
        try_address(&f->addresses[i], q->timeout_ns);
    }
}
