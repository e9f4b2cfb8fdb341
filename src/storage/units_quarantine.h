/* units_quarantine.h - units on their way back to the free list.
 *
 *   in use ──► superseded by an entry that is not durable yet ──► pinned by a reader still ──► free
 *
 * A unit is free only when the entry that took it out of use is durable (else a crash would bring
 * back a record whose units hold somebody else's bytes) and no pinned record covers it. Records of
 * one chunk share units, so a pin holds back exactly the units that its record covers, whichever
 * update gave them up.
 */
#pragma once
#include "storage/record.h"
#include "storage/units.h"

struct quarantine {
    struct units *units;    /* borrowed */
    struct list waiting;    /* struct quarantined, in order of lsn */
    struct list superseded; /* records that are pinned but no longer current */
    uint64_t waiting_unit_count;
};

void quarantine_init(struct quarantine *q, struct units *units);
/* Nothing is pinned any more. What still waits is forgotten: the next start derives it. */
void quarantine_done(struct quarantine *q);
/* The record is no longer the committed or pending one. Called before its units are added. */
void quarantine_supersede(struct quarantine *q, struct record *record);
/* These units are out of use once @lsn is durable; now, when it is 0. */
void quarantine_add(struct quarantine *q, uint64_t lsn, const struct extent_disk *extents,
                    uint32_t count);
void quarantine_durable(struct quarantine *q, uint64_t lsn);

/* A reader of the record's units; also counts the record itself. */
void record_pin(struct record *record);
void record_unpin(struct quarantine *q, struct record *record);
