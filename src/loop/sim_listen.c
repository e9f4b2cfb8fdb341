/* sim_listen.c - listeners of the simulated network, and connecting to them.
 *
 * A connect is a question that takes a path delay, is answered by the state of the other machine at
 * that moment, and an answer that takes another delay. No answer (a dead path, a machine that is
 * down and silent, a full backlog) is asked again with growing pauses, until the fiber's deadline
 * or ATTEMPTS_MAX.
 */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include <errno.h>
#include <stdio.h>

enum { BACKLOG_MAX = 128, ATTEMPTS_MAX = 5, PORT_DYNAMIC_FIRST = 32768 };
static const uint64_t ask_again_ns = 1 * SEC;

/* A fiber in listener_accept(). */
struct accept_wait {
    struct list link;
    struct fiber *fiber;
};

static bool is_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strcmp(host, "::1") || !strncmp(host, "127.", 4);
}

static bool is_any(const char *host)
{
    return !host[0] || !strcmp(host, "0.0.0.0") || !strcmp(host, "::") || !strcmp(host, "*");
}

/* The loop knows sockets; what rides on other transports is above it. */
static bool is_socket(const struct net_address *a)
{
    return a->scheme == NET_TCP || a->scheme == NET_IPOIB || a->scheme == NET_UNIX;
}

static struct sim_listener *listener_find(struct machine *m, const struct net_address *a)
{
    list_for_each (it, &m->listeners) {
        struct sim_listener *l = list_entry(it, struct sim_listener, link);
        const struct net_address *b = &l->base.address;
        if ((a->scheme == NET_UNIX) != (b->scheme == NET_UNIX)) continue;
        if (a->scheme == NET_UNIX ? !strcmp(a->host, b->host) : a->port == b->port) return l;
    }
    return NULL;
}

static uint16_t port_pick(struct machine *m)
{
    struct net_address a = { .scheme = NET_TCP };
    do {
        m->port_last =
            m->port_last == UINT16_MAX ? PORT_DYNAMIC_FIRST : (uint16_t)(m->port_last + 1);
        a.port = m->port_last;
    } while (listener_find(m, &a));
    return m->port_last;
}

int sim_listen(struct node *node, const struct net_address *at, struct listener **ret)
{
    struct machine *m = node->machine;
    if (!m->is_up) return -ERR_CANCELED;
    if (!is_socket(at)) return -ERR_RPC_INVALID_ADDR;
    bool is_own = at->scheme == NET_UNIX || is_any(at->host) || is_loopback(at->host) ||
                  !strcmp(at->host, m->host);
    if (!is_own) return error_from_errno(EADDRNOTAVAIL);
    if ((at->scheme == NET_UNIX || at->port) && listener_find(m, at)) return -ERR_RPC_LISTEN_FAILED;
    struct sim_listener *l = new_zero(struct sim_listener);
    l->base.node = node;
    l->base.address = *at;
    if (at->scheme != NET_UNIX && !at->port) l->base.address.port = port_pick(m);
    l->machine = m;
    l->boot = m->boot;
    list_init(&l->backlog);
    list_init(&l->waits);
    list_push_back(&m->listeners, &l->link);
    sim_trace(m->sim, "listen", m, l->base.address.port, 0, 0);
    *ret = &l->base;
    return 0;
}

static void listener_wake(struct sim_listener *l)
{
    list_for_each (it, &l->waits)
        fiber_wake(list_entry(it, struct accept_wait, link)->fiber);
}

static void backlog_close(struct sim_listener *l)
{
    struct list *it;
    while ((it = list_pop_front(&l->backlog)))
        sim_end_close(list_entry(it, struct sim_end, backlog_link));
    l->backlog_count = 0;
}

static void listener_down(struct sim_listener *l)
{
    list_remove(&l->link);
    backlog_close(l);
    listener_wake(l);
}

void sim_listener_stop(struct listener *listener)
{
    listener_down(container_of(listener, struct sim_listener, base));
}

void sim_listener_free(struct listener *listener)
{
    free(container_of(listener, struct sim_listener, base));
}

void sim_listener_crash(struct machine *m)
{
    list_for_each_safe (it, &m->listeners)
        listener_down(list_entry(it, struct sim_listener, link));
}

/* ---- accepting ---- */

static struct stream *stream_new(struct node *node, struct sim_end *end, const char *host,
                                 uint16_t port)
{
    struct sim_stream *s = new_zero(struct sim_stream);
    s->base.node = node;
    s->end = end;
    end->pid = sim_node_pid(node);
    if (end->link->is_unix) {
        snprintf(s->base.peer, sizeof s->base.peer, "unix:%s", host);
    } else {
        snprintf(s->base.peer, sizeof s->base.peer, "%s:%u", host, port);
    }
    return &s->base;
}

int sim_accept(struct listener *listener, struct stream **ret)
{
    struct sim_listener *l = container_of(listener, struct sim_listener, base);
    int r = fiber_interruption();
    while (r == 0) {
        if (listener->is_closed || !sim_machine_is_at(l->machine, l->boot)) return -ERR_CANCELED;
        if (!list_empty(&l->backlog)) break;
        struct accept_wait wait = { .fiber = fiber_self() };
        list_push_back(&l->waits, &wait.link);
        r = sim_wait_on(l->machine, "accept");
        list_remove(&wait.link);
    }
    if (r < 0) return r;
    struct sim_end *end = list_entry(l->backlog.next, struct sim_end, backlog_link);
    struct sim_end *client = &end->link->ends[!end->side];
    list_remove(&end->backlog_link);
    l->backlog_count--;
    sim_trace(l->machine->sim, "accept", l->machine, end->link->id, 0, 0);
    const char *host = end->link->is_unix ? "" : client->machine->host;
    *ret = stream_new(listener->node, end, host, end->link->client_port);
    return 0;
}

/* ---- connecting ---- */

struct connect_op {
    struct sim_op op;
    struct machine *to;
    const struct net_address *address;
    struct sim_end *end; /* of the client, when it was answered well */
};

enum { NO_ANSWER = 1 };

/* The question arrives. */
static ssize_t connect_perform(struct sim_op *op)
{
    struct connect_op *c = container_of(op, struct connect_op, op);
    struct machine *m = op->machine, *to = c->to;
    if (sim_path_is_dead(m, to) || sim_path_is_dead(to, m)) return NO_ANSWER;
    struct sim_listener *l = to->is_up ? listener_find(to, c->address) : NULL;
    bool is_refused = !l || (m != to && is_loopback(l->base.address.host));
    sim_trace(m->sim, is_refused ? "connect.refused" : "connect", m, to->id, c->address->port, 0);
    if (is_refused) return -ERR_RPC_CONNECT_FAILED;
    if (l->backlog_count >= BACKLOG_MAX) return NO_ANSWER;
    struct sim_link *link = sim_link_new(m, to, c->address->scheme == NET_UNIX);
    link->client_port = port_pick(m);
    list_push_back(&l->backlog, &link->ends[1].backlog_link);
    l->backlog_count++;
    listener_wake(l);
    c->end = &link->ends[0];
    return 0;
}

static int connect_once(struct connect_op *c, struct machine *m)
{
    c->op = (struct sim_op){ .perform = connect_perform, .flags = SIM_OP_AT_END };
    int r = (int)sim_op_run(&c->op, m, sim_path_delay_ns(m, c->to), "connect");
    if (r == NO_ANSWER) return r;
    int back = r == 0 || r == -ERR_RPC_CONNECT_FAILED
                   ? sim_op_sleep(m, sim_path_delay_ns(c->to, m), "connect")
                   : r;
    if (back < 0 && c->end) sim_end_close(c->end);
    return back < 0 ? back : r;
}

static struct machine *connect_target(struct node *node, const struct net_address *to)
{
    bool is_self = to->scheme == NET_UNIX || is_any(to->host) || is_loopback(to->host);
    return is_self ? node->machine : sim_machine_find(node->machine->sim, to->host);
}

int sim_connect(struct node *node, const struct net_address *to, struct stream **ret)
{
    struct machine *m = node->machine;
    struct connect_op c = { .to = connect_target(node, to), .address = to };
    int r = NO_ANSWER;
    if (!is_socket(to)) return -ERR_RPC_INVALID_ADDR;
    if (!c.to) return -ERR_RPC_CONNECT_FAILED;
    for (int i = 0; i < ATTEMPTS_MAX && r == NO_ANSWER; i++) {
        r = connect_once(&c, m);
        if (r != NO_ANSWER) break;
        int s = sim_op_sleep(m, ask_again_ns << i, "connect");
        if (s < 0) return s;
    }
    if (r == NO_ANSWER) return -ERR_RPC_CONNECT_FAILED;
    if (r < 0) return r;
    *ret = stream_new(node, c.end, to->host, to->port);
    return 0;
}
