/* units_quarantine.c - see units_quarantine.h. Superseded pinned records are few: they are searched
 * one by one. */
#include "storage/units_quarantine.h"
#include "base/arena.h"
#include "base/check.h"
#include "loop/fault.h"

struct quarantined {
    struct list node;
    uint64_t lsn;
    uint32_t count;
    struct extent_disk extents[];
};

void quarantine_init(struct quarantine *q, struct units *units)
{
    *q = (struct quarantine){ .units = units };
    list_init(&q->waiting);
    list_init(&q->superseded);
}

void quarantine_done(struct quarantine *q)
{
    check(list_empty(&q->superseded));
    while (!list_empty(&q->waiting)) {
        free(list_entry(list_pop_front(&q->waiting), struct quarantined, node));
    }
}

void quarantine_supersede(struct quarantine *q, struct record *record)
{
    check(!record->is_superseded);
    record->is_superseded = true;
    if (record->pin_count > 0) list_push_back(&q->superseded, &record->node);
}

static bool covers(const struct record *record, uint32_t unit)
{
    for (uint32_t i = 0; i < record->head.extent_count; i++) {
        const struct extent_disk *e = &record->extents[i];
        if (unit - e->unit < e->count) return true;
    }
    return false;
}

/* A superseded record whose readers may still read @unit. */
static struct record *find_reader(struct quarantine *q, uint32_t unit)
{
    if (MUTANT(UNIT_REUSED_WHILE_PINNED)) return NULL;
    list_for_each (it, &q->superseded) {
        struct record *record = list_entry(it, struct record, node);
        if (covers(record, unit)) return record;
    }
    return NULL;
}

static void defer(struct record *record, uint32_t unit)
{
    if (record->deferred_count > 0) {
        struct extent_disk *last = &record->deferred[record->deferred_count - 1];
        if (last->unit + last->count == unit && unit % UNIT_FILE_UNITS != 0 &&
            last->count < UINT16_MAX) {
            last->count++;
            return;
        }
    }
    record->deferred =
        xrealloc(record->deferred, (record->deferred_count + 1) * sizeof(struct extent_disk));
    record->deferred[record->deferred_count++] = (struct extent_disk){ .unit = unit, .count = 1 };
}

/* Frees what no reader can see, and leaves the rest to the readers. */
static void release(struct quarantine *q, const struct extent_disk *extents, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list_empty(&q->superseded)) {
            units_give(q->units, extents[i].unit, extents[i].count);
            continue;
        }
        for (uint32_t n = 0; n < extents[i].count; n++) {
            struct record *reader = find_reader(q, extents[i].unit + n);
            if (reader) {
                defer(reader, extents[i].unit + n);
            } else {
                units_give(q->units, extents[i].unit + n, 1);
            }
        }
    }
}

void quarantine_add(struct quarantine *q, uint64_t lsn, const struct extent_disk *extents,
                    uint32_t count)
{
    if (count == 0) return;
    if (lsn == 0 || MUTANT(UNIT_REUSED_BEFORE_DURABLE)) return release(q, extents, count);
    struct quarantined *item = xmalloc(sizeof(*item) + count * sizeof(*extents));
    item->lsn = lsn;
    item->count = count;
    memcpy(item->extents, extents, count * sizeof(*extents));
    for (uint32_t i = 0; i < count; i++) {
        q->waiting_unit_count += extents[i].count;
    }
    list_push_back(&q->waiting, &item->node);
}

void quarantine_durable(struct quarantine *q, uint64_t lsn)
{
    while (!list_empty(&q->waiting)) {
        struct quarantined *item = list_entry(list_first(&q->waiting), struct quarantined, node);
        if (item->lsn > lsn) return;
        list_remove(&item->node);
        for (uint32_t i = 0; i < item->count; i++) {
            q->waiting_unit_count -= item->extents[i].count;
        }
        release(q, item->extents, item->count);
        free(item);
    }
}

void record_pin(struct record *record)
{
    record_ref(record);
    record->pin_count++;
}

void record_unpin(struct quarantine *q, struct record *record)
{
    check(record->pin_count > 0);
    if (--record->pin_count == 0 && record->is_superseded) {
        list_remove(&record->node);
        struct extent_disk *deferred cleanup_(freep) = TAKE_PTR(record->deferred);
        uint32_t count = record->deferred_count;
        record->deferred_count = 0;
        release(q, deferred, count);
    }
    record_unref(record);
}
