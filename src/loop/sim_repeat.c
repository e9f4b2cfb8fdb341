/* sim_repeat.c - faults of whole messages: one that comes twice, one that comes late.
 *
 * A stream carries bytes and repeats none. But a server may still work on a request whose
 * connection has died, when the retry reaches it over another one; and it may come to work on one
 * long after its caller has given up. To those behind the streams both look like messages that came
 * twice or late, so that is what is done to them here: what is written is followed from message to
 * message (sim_framing says where they end); of some a copy comes once more after a while, others
 * come after messages that were sent later.
 *
 * What waits here dies with the sending end, unless that was closed in order: then it comes before
 * the end of the stream does.
 */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"

/* A message, all or the first @taken bytes of it. */
struct sim_copy {
    struct list link; /* in follower->copies, by due_ns */
    uint64_t due_ns;
    bool is_late; /* the message itself */
    size_t size, taken;
    uint8_t bytes[];
};

void sim_follower_init(struct sim_follower *f, void (*due)(struct sim_event *event))
{
    list_init(&f->copies);
    f->due.fn = due;
}

void sim_follower_done(struct sim_follower *f, struct sim *sim)
{
    sim_event_clear(sim, &f->due);
    sim_follower_drop(f);
    free(f->taking);
    f->taking = NULL;
}

void sim_follower_drop(struct sim_follower *f)
{
    struct list *it;
    while ((it = list_pop_front(&f->copies)))
        free(list_entry(it, struct sim_copy, link));
}

static void copy_keep(struct sim_follower *f, struct sim *sim)
{
    struct sim_copy *copy = f->taking;
    f->taking = NULL;
    if (!copy->is_late && !sim->framing->mark(copy->bytes, copy->size)) {
        free(copy);
        return;
    }
    *(copy->is_late ? &sim->late_count : &sim->repeat_count) += 1;
    struct list *before = &f->copies;
    list_for_each (it, &f->copies) {
        before = it;
        if (list_entry(it, struct sim_copy, link)->due_ns > copy->due_ns) break;
        before = &f->copies;
    }
    list_push_back(before, &copy->link);
    sim_event_set(sim, &f->due, list_entry(f->copies.next, struct sim_copy, link)->due_ns);
}

/* The header of a message is complete: what is to become of it? */
static void message_begin(struct sim_follower *f, struct sim *sim, bool may_be_late)
{
    const struct sim_net_profile *p = &sim->options.net;
    int64_t rest = sim->framing->rest(f->header);
    if (rest < 0) {
        f->is_lost = true;
        return;
    }
    f->rest_bytes = (uint64_t)rest;
    unsigned faults = p->repeat_ppm || p->late_ppm ? sim->framing->faults(f->header) : 0;
    bool is_late = faults & SIM_LATE && may_be_late && sim_random_ppm(&sim->random, p->late_ppm);
    bool is_twice = !is_late && faults & SIM_REPEAT && sim_random_ppm(&sim->random, p->repeat_ppm);
    if (!is_late && !is_twice) return;
    size_t size = sim->framing->header_bytes + (size_t)rest;
    struct sim_copy *copy = xmalloc(sizeof *copy + size);
    *copy = (struct sim_copy){ .size = size, .is_late = is_late };
    /* Often soon, while the first is still being worked on. */
    uint64_t max_ns = sim_random_one_in(&sim->random, 2) ? p->repeat_max_ns / 64 : p->repeat_max_ns;
    copy->due_ns = sim->now_ns + sim_random_under(&sim->random, max_ns + 1);
    list_init(&copy->link);
    memcpy(copy->bytes, f->header, sim->framing->header_bytes);
    copy->taken = sim->framing->header_bytes;
    f->taking = copy;
}

size_t sim_follower_pass(struct sim_follower *f, struct sim *sim, uint8_t *bytes, size_t size)
{
    if (!sim->framing) return size;
    size_t kept = 0;
    for (size_t at = 0; at < size;) {
        size_t begin = at;
        if (f->is_lost) {
            at = size;
        } else if (f->header_bytes < sim->framing->header_bytes) {
            bool is_whole = f->header_bytes == 0;
            size_t n = MIN_OF(size - at, sim->framing->header_bytes - f->header_bytes);
            memcpy(f->header + f->header_bytes, bytes + at, n);
            f->header_bytes += n;
            at += n;
            if (f->header_bytes == sim->framing->header_bytes) message_begin(f, sim, is_whole);
        } else {
            size_t n = (size_t)MIN_OF((uint64_t)(size - at), f->rest_bytes);
            if (f->taking) {
                memcpy(f->taking->bytes + f->taking->taken, bytes + at, n);
                f->taking->taken += n;
            }
            f->rest_bytes -= n;
            at += n;
        }
        bool is_kept = !f->taking || !f->taking->is_late;
        if (is_kept) {
            memmove(bytes + kept, bytes + begin, at - begin);
            kept += at - begin;
        }
        if (f->header_bytes == sim->framing->header_bytes && f->rest_bytes == 0) {
            f->header_bytes = 0;
            if (f->taking) copy_keep(f, sim);
        }
    }
    return kept;
}

const uint8_t *sim_follower_next(struct sim_follower *f, struct sim *sim, uint64_t until_ns,
                                 uint64_t *ret_due_ns, size_t *ret_size)
{
    if (list_empty(&f->copies) || f->is_lost) return NULL;
    const struct sim_copy *copy = list_entry(f->copies.next, struct sim_copy, link);
    if (copy->due_ns > until_ns) {
        sim_event_set(sim, &f->due, copy->due_ns);
        return NULL;
    }
    if (f->header_bytes) return NULL; /* in the middle of another: the next write looks again */
    *ret_due_ns = copy->due_ns;
    *ret_size = copy->size;
    return copy->bytes;
}

void sim_follower_took(struct sim_follower *f)
{
    free(list_entry(list_pop_front(&f->copies), struct sim_copy, link));
}

void sim_set_framing(struct sim *sim, const struct sim_framing *framing)
{
    check(framing->header_bytes <= SIM_HEADER_BYTES_MAX);
    sim->framing = framing;
}

uint64_t sim_repeat_count(const struct sim *sim)
{
    return sim->repeat_count;
}

uint64_t sim_late_count(const struct sim *sim)
{
    return sim->late_count;
}
