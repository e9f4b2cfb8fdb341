/* sim_net.c - streams of the simulated network, with the semantics of TCP.
 *
 * A link has two ends and a pipe towards each. What is written becomes segments that arrive in
 * order, each after its delay; a lost segment is a longer delay. Bytes count against the sender's
 * window until the receiver has read them and the sender can know it.
 *
 * Stalls: a segment that would arrive over a dead path stays in flight, and its pipe is stalled:
 * retried with growing pauses until both directions work, or until GIVE_UP_NS have passed: then the
 * sender's end breaks, and only that. The other end learns of it when it sends something, or by the
 * probes (keep-alive) that a cut or a silent crash starts on idle links. A segment or probe that
 * reaches an end without an owner is answered by a reset.
 */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include <stdio.h>

enum {
    WINDOW_BYTES = 256 * 1024,
    SEGMENT_MAX_BYTES = 64 * 1024,
    SPLIT_ONE_IN = 16, /* transfers that are cut short at a random byte */
    YIELD_ONE_IN = 4,  /* calls that could be done at once and give up their turn first */
    LOSSES_IN_ROW_MAX = 6,
};
static const uint64_t retry_min_ns = 200 * MSEC, retry_max_ns = 3 * SEC, give_up_ns = 15 * SEC;
static const uint64_t probe_min_ns = 1 * SEC, probe_max_ns = 5 * SEC;

struct sim_segment {
    struct list link;
    uint64_t arrive_ns;
    uint32_t size, used;
    bool is_end;
    uint8_t data[];
};

static struct sim_end *other_of(struct sim_end *end)
{
    return &end->link->ends[!end->side];
}

/* Nobody would take bytes that arrive here. */
static bool end_is_deaf(const struct sim_end *end)
{
    return !end->is_owned || end->is_broken || !sim_machine_is_at(end->machine, end->boot);
}

static uint64_t end_object(const struct sim_end *end)
{
    return (uint64_t)end->link->id * 2 + end->side;
}

static void segments_free(struct list *segments)
{
    struct list *it;
    while ((it = list_pop_front(segments)))
        free(list_entry(it, struct sim_segment, link));
}

static void end_wake(struct sim_end *end)
{
    if (end->reader) fiber_wake(end->reader);
    if (end->writer) fiber_wake(end->writer);
}

/* ---- breaking ---- */

static void end_break(struct sim_end *end, const char *kind)
{
    struct sim *sim = end->link->sim;
    if (end_is_deaf(end)) return;
    sim_trace(sim, kind, end->machine, end_object(end), end->received_bytes, 0);
    end->is_broken = true;
    end->keeps_data = sim_random_one_in(&sim->random, 2);
    segments_free(&end->in_flight);
    end_wake(end);
}

/* Sends a reset to @end; it may overtake data. */
static void reset_send(struct sim_end *end)
{
    struct sim *sim = end->link->sim;
    uint64_t delay = sim_path_delay_ns(other_of(end)->machine, end->machine);
    if (!end_is_deaf(end)) sim_event_set(sim, &end->reset, sim->now_ns + delay);
}

/* ---- stalls ---- */

static void pipe_stall(struct sim_end *to, uint64_t first_pause_ns)
{
    struct sim *sim = to->link->sim;
    if (to->stalled_since_ns) return;
    to->stalled_since_ns = sim->now_ns;
    to->retry_after_ns = retry_min_ns;
    sim_event_set(sim, &to->retry, sim->now_ns + first_pause_ns);
}

static void reset_event(struct sim_event *event)
{
    struct sim_end *end = container_of(event, struct sim_end, reset);
    struct sim_end *from = other_of(end);
    if (sim_path_is_dead(from->machine, end->machine)) {
        pipe_stall(from, retry_min_ns); /* lost: found out by the next probe */
    } else {
        end_break(end, "net.reset");
    }
}

/* What is in flight reached an end without an owner; the answer is a reset. */
static void pipe_refuse(struct sim_end *to)
{
    struct sim_end *from = other_of(to);
    segments_free(&to->in_flight);
    to->stalled_since_ns = 0;
    reset_send(from);
}

static void segment_corrupt(struct sim_end *to, struct sim_segment *s)
{
    struct sim *sim = to->link->sim;
    if (other_of(to)->machine == to->machine || !s->size) return;
    if (!sim_random_ppm(&sim->random, sim->options.net.corrupt_ppm)) return;
    uint64_t bit = sim_random_under(&sim->random, (uint64_t)s->size * 8);
    s->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void segment_arrive(struct sim_end *to, struct sim_segment *s)
{
    struct iovec piece = { s->data, s->size };
    segment_corrupt(to, s);
    sim_trace(to->link->sim, s->is_end ? "net.end" : "net.data", to->machine, end_object(to),
              s->size, sim_crc_iov(&piece, 1, s->size));
    list_remove(&s->link);
    if (s->is_end) {
        to->has_ended = true;
        free(s);
    } else {
        to->received_bytes += s->size;
        list_push_back(&to->received, &s->link);
    }
    if (to->reader) fiber_wake(to->reader);
}

/* Hands over what is due, as far as the path allows. */
static void pipe_deliver(struct sim_end *to)
{
    struct sim *sim = to->link->sim;
    struct sim_end *from = other_of(to);
    while (!list_empty(&to->in_flight)) {
        struct sim_segment *s = list_entry(to->in_flight.next, struct sim_segment, link);
        if (s->arrive_ns > sim->now_ns) {
            sim_event_set(sim, &to->arrival, s->arrive_ns);
            return;
        }
        if (sim_path_is_dead(from->machine, to->machine)) {
            pipe_stall(to, retry_min_ns);
            return;
        }
        bool is_back_dead = sim_path_is_dead(to->machine, from->machine);
        if (is_back_dead) pipe_stall(to, retry_min_ns);
        if (!end_is_deaf(to)) {
            segment_arrive(to, s);
        } else if (!is_back_dead) {
            pipe_refuse(to);
            return;
        } else {
            return;
        }
    }
}

static void arrival_event(struct sim_event *event)
{
    pipe_deliver(container_of(event, struct sim_end, arrival));
}

static void window_open(struct sim_end *to, uint64_t bytes)
{
    struct sim_end *from = other_of(to);
    to->window_used -= bytes;
    if (from->writer) fiber_wake(from->writer);
}

static void retry_event(struct sim_event *event)
{
    struct sim_end *to = container_of(event, struct sim_end, retry), *from = other_of(to);
    struct sim *sim = to->link->sim;
    /* A sender that closed or shut down still delivers what it had sent before. */
    bool is_sender_gone = !sim_machine_is_at(from->machine, from->boot) ||
                          (end_is_deaf(from) && list_empty(&to->in_flight));
    if (is_sender_gone) {
        segments_free(&to->in_flight);
        to->stalled_since_ns = 0;
        return;
    }
    bool is_dead = sim_path_is_dead(from->machine, to->machine);
    bool is_back_dead = sim_path_is_dead(to->machine, from->machine);
    if (!is_dead && !is_back_dead && end_is_deaf(to)) {
        pipe_refuse(to);
        return;
    }
    if (!is_dead) pipe_deliver(to);
    if (!is_dead && !is_back_dead) {
        to->stalled_since_ns = 0;
        window_open(to, to->unacknowledged);
        to->unacknowledged = 0;
    } else if (sim->now_ns - to->stalled_since_ns >= give_up_ns) {
        segments_free(&to->in_flight);
        to->stalled_since_ns = 0;
        end_break(from, "net.giveup");
    } else {
        to->retry_after_ns = MIN_OF(to->retry_after_ns * 2, retry_max_ns);
        uint64_t jitter = sim_random_under(&sim->random, retry_min_ns);
        sim_event_set(sim, &to->retry, sim->now_ns + to->retry_after_ns + jitter);
    }
}

static void link_probe(struct sim_end *end)
{
    struct sim *sim = end->link->sim;
    pipe_stall(end, sim_random_between(&sim->random, probe_min_ns, probe_max_ns));
    pipe_stall(other_of(end), sim_random_between(&sim->random, probe_min_ns, probe_max_ns));
}

static void machine_probe(struct machine *a, const struct machine *b)
{
    list_for_each (it, &a->ends) {
        struct sim_end *end = list_entry(it, struct sim_end, machine_link);
        if (other_of(end)->machine == b) link_probe(end);
    }
}

void sim_net_probe(struct machine *a, struct machine *b)
{
    machine_probe(a, b);
    machine_probe(b, a); /* links that the first has closed already */
}

void sim_net_crash(struct machine *m)
{
    list_for_each (it, &m->ends) {
        struct sim_end *end = list_entry(it, struct sim_end, machine_link);
        struct sim_end *peer = other_of(end);
        /* What the network card had is on its way, the rest is lost. */
        while (!list_empty(&peer->in_flight) && sim_random_one_in(&m->sim->random, 2)) {
            struct list *last = peer->in_flight.prev;
            list_remove(last);
            free(list_entry(last, struct sim_segment, link));
        }
        if (peer->machine == m) continue;
        if (m->is_silent) {
            link_probe(end);
        } else {
            reset_send(peer);
        }
    }
}

/* ---- links ---- */

static void due_event(struct sim_event *event);

static void end_init(struct sim_link *link, uint8_t side, struct machine *m)
{
    struct sim_end *end = &link->ends[side];
    end->link = link;
    end->side = side;
    end->machine = m;
    end->boot = m->boot;
    end->is_owned = true;
    list_init(&end->in_flight);
    list_init(&end->received);
    list_init(&end->backlog_link);
    end->arrival.fn = arrival_event;
    end->retry.fn = retry_event;
    end->reset.fn = reset_event;
    sim_follower_init(&end->follower, due_event);
    list_push_back(&m->ends, &end->machine_link);
}

struct sim_link *sim_link_new(struct machine *a, struct machine *b, bool is_unix)
{
    struct sim_link *link = new_zero(struct sim_link);
    link->sim = a->sim;
    link->id = ++a->sim->link_count;
    link->is_unix = is_unix;
    end_init(link, 0, a);
    end_init(link, 1, b);
    return link;
}

static void link_free(struct sim_link *link)
{
    for (int i = 0; i < 2; i++) {
        struct sim_end *end = &link->ends[i];
        segments_free(&end->in_flight);
        segments_free(&end->received);
        sim_event_clear(link->sim, &end->arrival);
        sim_event_clear(link->sim, &end->retry);
        sim_event_clear(link->sim, &end->reset);
        sim_follower_done(&end->follower, link->sim);
    }
    free(link);
}

/* ---- sending ---- */

static uint64_t segment_arrival_ns(struct sim_end *from, struct sim_end *to, size_t size)
{
    struct sim *sim = from->link->sim;
    const struct sim_net_profile *p = &sim->options.net;
    uint64_t at = sim->now_ns;
    if (from->machine != to->machine) {
        if (p->bytes_per_sec) {
            at = MAX_OF(at, from->machine->sent_until_ns) + size * SEC / p->bytes_per_sec;
            from->machine->sent_until_ns = at;
        }
        for (int i = 0; i < LOSSES_IN_ROW_MAX && sim_random_ppm(&sim->random, p->loss_ppm); i++)
            at += retry_min_ns << i;
    }
    at += sim_path_delay_ns(from->machine, to->machine);
    to->last_arrival_ns = MAX_OF(at, to->last_arrival_ns);
    return to->last_arrival_ns;
}

static struct sim_segment *segment_new(size_t size)
{
    struct sim_segment *s = xmalloc(sizeof *s + size);
    *s = (struct sim_segment){ .size = (uint32_t)size };
    return s;
}

static void segment_send(struct sim_end *from, struct sim_segment *s)
{
    struct sim_end *to = other_of(from);
    bool was_empty = list_empty(&to->in_flight);
    s->arrive_ns = segment_arrival_ns(from, to, s->size);
    list_push_back(&to->in_flight, &s->link);
    to->window_used += s->size;
    if (was_empty) sim_event_set(from->link->sim, &to->arrival, s->arrive_ns);
}

/* Sends what is due of messages that come twice or late. */
static void pipe_send_due(struct sim_end *to, uint64_t until_ns)
{
    struct sim *sim = to->link->sim;
    const uint8_t *message;
    uint64_t due_ns;
    size_t size;
    while ((message = sim_follower_next(&to->follower, sim, until_ns, &due_ns, &size))) {
        struct sim_segment *s = segment_new(size);
        memcpy(s->data, message, size);
        to->last_arrival_ns = MAX_OF(to->last_arrival_ns, due_ns);
        segment_send(other_of(to), s);
        sim_follower_took(&to->follower);
    }
}

static void due_event(struct sim_event *event)
{
    struct sim_end *to = container_of(event, struct sim_end, follower.due);
    const struct sim_end *from = other_of(to);
    if (end_is_deaf(from))
        sim_follower_drop(&to->follower);
    else
        pipe_send_due(to, to->link->sim->now_ns);
}

/* The last thing that the owner does: tells the other end. Unread bytes make it a reset, as in TCP.
 */
static void end_finish(struct sim_end *end)
{
    if (!sim_machine_is_at(end->machine, end->boot) || end->is_broken) return;
    if (end->received_bytes) {
        reset_send(other_of(end));
        return;
    }
    pipe_send_due(other_of(end), UINT64_MAX);
    struct sim_segment *last = segment_new(0);
    last->is_end = true;
    segment_send(end, last);
}

void sim_end_close(struct sim_end *end)
{
    check(!end->reader);
    check(!end->writer);
    sim_trace(end->link->sim, "net.close", end->machine, end_object(end), end->received_bytes, 0);
    end_finish(end);
    end->is_owned = false;
    list_remove(&end->machine_link);
    if (!other_of(end)->is_owned) link_free(end->link);
}

/* ---- operations ---- */

static struct sim_end *end_of(const struct stream *s)
{
    return ((const struct sim_stream *)s)->end; /* its first member */
}

/* The state of an end that a call looks at first. */
static int end_state(const struct sim_end *end)
{
    if (!sim_machine_is_at(end->machine, end->boot)) return -ERR_CANCELED;
    if (!end->is_broken) return 0;
    return end->keeps_data && end->received_bytes ? 0 : -ERR_RPC_SOCKET_CLOSED;
}

/* How much of @size a call transfers. */
static size_t transfer_size(struct sim *sim, size_t size)
{
    if (size > 1 && sim_random_one_in(&sim->random, SPLIT_ONE_IN))
        return 1 + (size_t)sim_random_under(&sim->random, size - 1);
    return size;
}

static size_t iov_size(const struct iovec *iov, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

/* Moves received bytes into @iov. */
static size_t end_take(struct sim_end *end, const struct iovec *iov, int count, size_t size)
{
    size_t done = 0, used = 0;
    for (int i = 0; i < count && done < size && end->received_bytes;) {
        struct sim_segment *s = list_entry(end->received.next, struct sim_segment, link);
        size_t n = MIN_OF(iov[i].iov_len - used, (size_t)(s->size - s->used));
        n = MIN_OF(n, size - done);
        memcpy((uint8_t *)iov[i].iov_base + used, s->data + s->used, n);
        done += n;
        used += n;
        s->used += (uint32_t)n;
        end->received_bytes -= n;
        if (s->used == s->size) {
            list_remove(&s->link);
            free(s);
        }
        if (used == iov[i].iov_len) {
            used = 0;
            i++;
        }
    }
    return done;
}

ssize_t sim_stream_readv(struct stream *stream, const struct iovec *iov, int count)
{
    struct sim_end *end = end_of(stream);
    struct sim *sim = end->link->sim;
    int r = fiber_interruption();
    if (r < 0) return r;
    if (sim_random_one_in(&sim->random, YIELD_ONE_IN)) fiber_yield();
    for (;;) {
        r = end_state(end);
        if (r < 0) return r;
        if (end->received_bytes) break;
        if (end->has_ended) return 0;
        end->reader = fiber_self();
        r = sim_wait_on(end->machine, "stream read");
        end->reader = NULL;
        if (r < 0) return r;
    }
    size_t n = end_take(end, iov, count, transfer_size(sim, iov_size(iov, count)));
    if (sim_path_is_dead(end->machine, other_of(end)->machine)) {
        end->unacknowledged += n;
        pipe_stall(end, retry_min_ns);
    } else {
        window_open(end, n);
    }
    return (ssize_t)n;
}

static void iov_copy(uint8_t *to, const struct iovec *iov, size_t size)
{
    for (; size; iov++) {
        size_t n = MIN_OF(size, iov->iov_len);
        if (n) memcpy(to, iov->iov_base, n);
        to += n;
        size -= n;
    }
}

static void end_send(struct sim_end *end, const struct iovec *iov, size_t size)
{
    struct sim_end *to = other_of(end);
    struct sim_segment *s = segment_new(size);
    iov_copy(s->data, iov, size);
    if (end->machine != to->machine) {
        s->size = (uint32_t)sim_follower_pass(&to->follower, end->link->sim, s->data, size);
        if (s->size)
            segment_send(end, s);
        else
            free(s);
        pipe_send_due(to, end->link->sim->now_ns);
    } else {
        segment_send(end, s);
    }
}

ssize_t sim_stream_writev(struct stream *stream, const struct iovec *iov, int count)
{
    struct sim_end *end = end_of(stream), *to = other_of(end);
    struct sim *sim = end->link->sim;
    int r = fiber_interruption();
    if (r < 0) return r;
    if (sim_random_one_in(&sim->random, YIELD_ONE_IN)) fiber_yield();
    for (;;) {
        r = end->is_broken ? -ERR_RPC_SOCKET_CLOSED : 0;
        if (!sim_machine_is_at(end->machine, end->boot)) r = -ERR_CANCELED;
        if (r < 0) return r;
        if (to->window_used < WINDOW_BYTES) break;
        end->writer = fiber_self();
        r = sim_wait_on(end->machine, "stream write");
        end->writer = NULL;
        if (r < 0) return r;
    }
    if (end->machine != to->machine && sim_random_ppm(&sim->random, sim->options.net.reset_ppm)) {
        reset_send(end);
        reset_send(to);
    }
    size_t size = MIN_OF(iov_size(iov, count), (size_t)SEGMENT_MAX_BYTES);
    size = transfer_size(sim, MIN_OF(size, (size_t)(WINDOW_BYTES - to->window_used)));
    end_send(end, iov, size);
    return (ssize_t)size;
}

void sim_stream_shutdown(struct stream *stream)
{
    struct sim_end *end = end_of(stream);
    end_finish(end);
    end->is_broken = true;
    end->keeps_data = false;
    end_wake(end);
}

void sim_stream_close(struct stream *stream)
{
    struct sim_stream *s = container_of(stream, struct sim_stream, base);
    sim_end_close(s->end);
    free(s);
}

int sim_stream_peer_credentials(const struct stream *stream, int *ret_pid, unsigned *ret_uid)
{
    struct sim_end *end = end_of(stream);
    if (!end->link->is_unix) return -ERR_NOT_SUPPORTED;
    *ret_pid = (int)other_of(end)->pid;
    *ret_uid = 0;
    return 0;
}
