/* resolve.c - getaddrinfo() on a helper thread. The job owns itself: whichever of the fiber and the
 * thread is last frees it, so that a fiber need not wait for a dead name server.
 */
#include "loop/resolve.h"
#include "base/arena.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct resolve_job {
    struct job job;
    struct net_address address;
    struct resolved resolved;
    int result;
    bool is_done, is_abandoned;
    struct fiber *fiber;
};

static int look_up(const struct net_address *address, int flags, struct resolved *ret)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
    struct addrinfo *list;
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    if (getaddrinfo(address->host, port, &hints, &list) != 0) return -ERR_RPC_CONNECT_FAILED;
    ret->count = 0;
    for (const struct addrinfo *it = list; it && ret->count < RESOLVED_MAX; it = it->ai_next) {
        if (it->ai_family != AF_INET && it->ai_family != AF_INET6) continue;
        struct socket_address *a = &ret->addresses[ret->count++];
        memcpy(&a->any, it->ai_addr, it->ai_addrlen);
        a->size = it->ai_addrlen;
    }
    freeaddrinfo(list);
    return ret->count > 0 ? 0 : -ERR_RPC_CONNECT_FAILED;
}

static int64_t run_look_up(void *arg)
{
    struct resolve_job *job = arg;
    job->result = look_up(&job->address, 0, &job->resolved);
    return 0;
}

static void look_up_done(struct inbox_node *node)
{
    struct resolve_job *job = container_of(node, struct resolve_job, job.done);
    job->is_done = true;
    if (job->is_abandoned) {
        free(job);
    } else {
        fiber_wake(job->fiber);
    }
}

static int look_up_on_pool(struct node *node, const struct net_address *address,
                           struct resolved *ret)
{
    struct resolve_job *job = new_zero(struct resolve_job);
    job->job.done.fn = look_up_done;
    job->job.fn = run_look_up;
    job->job.arg = job;
    job->address = *address;
    job->fiber = fiber_self();
    pool_start(&real_loop_of(node)->blocking_pool, &job->job);
    int r = 0;
    while (r >= 0 && !job->is_done) {
        r = fiber_suspend("name look-up");
    }
    if (!job->is_done) {
        job->is_abandoned = true;
        return r;
    }
    r = job->result;
    if (r >= 0) *ret = job->resolved;
    free(job);
    return r;
}

static int resolve_path(const struct net_address *address, struct resolved *ret)
{
    struct socket_address *a = &ret->addresses[0];
    size_t size = strlen(address->host);
    if (size >= sizeof(a->local.sun_path)) return -ERR_RPC_INVALID_ADDR;
    a->local.sun_family = AF_UNIX;
    memcpy(a->local.sun_path, address->host, size + 1);
    a->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    ret->count = 1;
    return 0;
}

int resolve(struct node *node, const struct net_address *address, struct resolved *ret)
{
    switch (address->scheme) {
    case NET_UNIX: return resolve_path(address, ret);
    case NET_TCP:
    case NET_IPOIB: break;
    case NET_RDMA:
    case NET_LOCAL:
    case NET_SCHEME_MAX: return -ERR_RPC_INVALID_ADDR;
    }
    if (look_up(address, AI_NUMERICHOST, ret) == 0) return 0;
    return look_up_on_pool(node, address, ret);
}

void socket_address_to_text(const struct socket_address *a, char *buf, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->base.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
        snprintf(buf, size, "%s:%u", host, ntohs(a->v4.sin_port));
    } else if (a->base.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
        snprintf(buf, size, "[%s]:%u", host, ntohs(a->v6.sin6_port));
    } else {
        snprintf(buf, size, "unix:%s", a->size > sizeof(sa_family_t) ? a->local.sun_path : "");
    }
}
