/* events.c - notes in memory, a ring in the store. */
#include "mgmtd/events.h"

#include "cluster/schema.h"
#include "mgmtd/state.h"
#include <stdarg.h>

#define GATHER_NS (100 * MSEC)
#define TRY_NS    (1 * SEC)
#define LIST_NS   (5 * SEC)
enum { NOTE_COUNT_MAX = 2000, BATCH_COUNT_MAX = 200, WHAT_BYTES_MAX = 1024 };

struct note {
    struct list link;
    struct cluster_event event; /* the text lies behind it */
    char what[];
};

void event_log_init(struct event_log *log)
{
    *log = (struct event_log){ 0 };
    list_init(&log->notes);
    event_init(&log->noted);
}

/* The first @count. */
static void drop_notes(struct event_log *log, uint32_t count)
{
    list_for_each_safe (it, &log->notes) {
        if (count-- == 0) break;
        struct note *note = list_entry(it, struct note, link);
        list_remove(&note->link);
        log->note_count--;
        free(note);
    }
}

void event_log_done(struct event_log *log)
{
    drop_notes(log, log->note_count);
}

void events_note(struct state *s, enum event_kind kind, uint32_t node_id, uint32_t chain_id,
                 const char *fmt, ...)
{
    struct event_log *log = &s->events;
    if (log->note_count == NOTE_COUNT_MAX) {
        log->lost_count++;
        return;
    }
    char what[WHAT_BYTES_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    size_t size = strlen(what);
    struct note *note = xmalloc(sizeof *note + size);
    memcpy(note->what, what, size);
    note->event = (struct cluster_event){ .wall_ns = node_wall_ns(s->options.node),
                                          .term = s->term,
                                          .kind = (uint8_t)kind,
                                          .node_id = node_id,
                                          .chain_id = chain_id,
                                          .what = bytes_of(note->what, size) };
    list_push_back(&log->notes, &note->link);
    log->note_count++;
    event_set(&log->noted, 0);
}

/* ---- storing ---- */

struct batch {
    struct state *s;
    uint64_t lost_count, last_seq;
    uint32_t note_count; /* stored */
};

static int batch_in(struct kv_txn *txn, void *arg)
{
    struct batch *b = arg;
    struct state *s = b->s;
    int r = lease_check_in(s->options.lease, s->term, txn);
    uint64_t seq = s->events.last_seq;
    uint32_t count = 0;
    if (r >= 0 && b->lost_count) {
        char text[80];
        snprintf(text, sizeof text, "%" PRIu64 " events were not recorded", b->lost_count);
        struct cluster_event lost = { .seq = ++seq,
                                      .wall_ns = node_wall_ns(s->options.node),
                                      .term = s->term,
                                      .kind = EVENT_LOST,
                                      .what = bytes_of_text(text) };
        r = schema_set_event(txn, &lost);
    }
    list_for_each (it, &s->events.notes) {
        if (r < 0 || count == BATCH_COUNT_MAX) break;
        struct cluster_event event = list_entry(it, struct note, link)->event;
        event.seq = ++seq;
        r = schema_set_event(txn, &event);
        count++;
    }
    b->last_seq = seq;
    b->note_count = count;
    return r;
}

/* The same notes with the same numbers until it is known that they are there: nobody else takes
 * notes off the front. */
static int store_batch(struct state *s)
{
    struct batch batch = { .s = s, .lost_count = s->events.lost_count };
    FIBER_TIMEOUT(TRY_NS);
    int r = kv_transact(s->options.kv, KV_RETRY_MAYBE_COMMITTED, batch_in, &batch);
    if (r < 0) return r;
    s->events.last_seq = batch.last_seq;
    s->events.lost_count -= batch.lost_count;
    drop_notes(&s->events, batch.note_count);
    return 0;
}

struct list_op {
    struct arena *arena;
    uint64_t after;
    uint32_t limit;
    struct cluster_event_list *ret;
};

static int list_in(struct kv_txn *txn, void *arg)
{
    const struct list_op *op = arg;
    return schema_list_events(txn, op->arena, op->after, op->limit, op->ret);
}

/* Nobody else writes events in this term. */
static int find_last(struct state *s)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct cluster_event_list last;
    struct list_op op = { &arena, 0, 1, &last };
    FIBER_TIMEOUT(TRY_NS);
    int r = kv_read_only(s->options.kv, list_in, &op);
    if (r < 0) return r;
    s->events.last_seq = last.count ? last.items[0].seq : 0;
    return 0;
}

int events_run(void *state)
{
    struct state *s = state;
    bool is_found = false;
    while (s->is_current) {
        int r = s->events.note_count ? 0 : event_wait(&s->events.noted, "events");
        event_reset(&s->events.noted);
        if (r >= 0) r = fiber_sleep(GATHER_NS);
        if (r < 0) return r;
        if (!is_found) {
            r = find_last(s);
            is_found = r >= 0;
        }
        if (r >= 0) r = store_batch(s);
        if (r == -ERR_CANCELED || r == -ERR_MGMTD_NOT_PRIMARY) return r;
        if (r < 0 && fiber_sleep(TRY_NS) < 0) return -ERR_CANCELED;
    }
    return 0;
}

int events_list(struct state *s, struct arena *arena, const struct list_events_request *request,
                struct cluster_event_list *ret)
{
    uint32_t limit = request->count;
    if (limit == 0 || limit > EVENT_LIST_MAX) limit = EVENT_LIST_MAX;
    struct list_op op = { arena, request->after, limit, ret };
    if (request->after == UINT64_MAX) {
        *ret = (struct cluster_event_list){ 0 };
        return 0;
    }
    FIBER_TIMEOUT(LIST_NS);
    int r = kv_read_only(s->options.kv, list_in, &op);
    return MIN_OF(r, 0);
}
