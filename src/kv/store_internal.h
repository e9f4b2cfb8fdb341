/* store_internal.h - between store.c (life, snapshots, commits), store_view.c (reading, comparing)
 * and checkpoint.c (the base catches up). */
#pragma once
#include "fiber/sync.h"
#include "kv/base.h"
#include "kv/journal.h"
#include "kv/recent.h"
#include "kv/store.h"

/* A reader of the base that snapshots share. */
struct shared_reader {
    struct list node; /* of store.readers, oldest first */
    struct base_reader *reader;
    uint64_t base_version;
    uint32_t ref_count;
};

struct store_snapshot {
    struct list node;           /* of store.snapshots, oldest first */
    struct store *store;        /* NULL: the store was closed */
    struct shared_reader *base; /* NULL: ended by age */
    uint64_t version;
    uint64_t begin_ns;
    enum kv_view view;
};

/* What the base does not have yet, counted generously. */
struct backlog {
    uint64_t keys, bytes;
};

struct store {
    struct node *node;
    struct base *base;
    struct journal *journal;
    struct recent recent;
    struct list readers;   /* of shared_reader, those whose snapshots need recent */
    struct list snapshots; /* of store_snapshot */
    struct shared_reader *newest_reader;
    uint64_t version;           /* newest, applied to recent */
    uint64_t durable_version;   /* in the journal or the base */
    uint64_t rotated_version;   /* last in the file that was rotated away */
    struct backlog backlog;     /* since the last rotation */
    struct backlog in_progress; /* before it */
    bool has_failed;
    bool is_full;          /* the base took no more */
    bool is_near_full;     /* said so in the log */
    bool has_work;         /* something was committed since the last checkpoint began */
    bool wants_checkpoint; /* now, not when it is due */
    bool wants_rotate;     /* the flusher is to rotate the journal at the end of its group */
    struct wait_queue flusher, checkpointer;
    struct wait_queue durable; /* durable_version has grown, or the store failed */
    struct wait_queue room;    /* a checkpoint ended, or the store failed */
    struct wait_queue rotated;
    struct wait_queue failed;
    struct scope scope; /* flusher, checkpointer, reaper */
};

void store_fail(struct store *store, int r, const char *what);
/* Opens a reader of the base as it is now for the snapshots to come. */
int store_renew_reader(struct store *store) must_check;
void shared_reader_put(struct shared_reader *shared);
/* What recent holds at or below this is in every reader of the base that needs it. */
uint64_t store_trim_version(const struct store *store);

/* ---- checkpoint.c ---- */

/* Fiber: checkpoints when they are due, and drops what recent need not hold. */
int store_checkpoint_fiber(void *arg) fiber_fn;
/* Asks for one now. */
void store_want_checkpoint(struct store *store);
/* One step of everything up to @version, which is durable, into the base, and what follows from it.
 */
int store_checkpoint_to(struct store *store, uint64_t version) fiber_fn must_check;

/* ---- store_view.c ---- */

/* The pairs of a range at one version: recent above a reader of the base, merged. */
struct view {
    const struct store *store;
    struct base_reader *reader;
    uint64_t version;
    struct bytes begin, end;
    bool is_reverse;
    struct kv_map_entry *entry; /* next of recent, NULL: none left */
    struct kv_pair pair;        /* next of the base */
    bool has_pair;
};

/* 1 and the value (borrowed), 0 when absent, or an error. */
int view_get(const struct store *store, struct base_reader *reader, uint64_t version,
             struct bytes key, struct bytes *ret) must_check;
/* store, reader, version, begin, end, is_reverse are set. */
int view_start(struct view *view) must_check;
/* 1 and the next pair (borrowed), 0 at the end, or an error. Recent must not have changed since the
 * start. */
int view_next(struct view *view, struct kv_pair *ret) must_check;
/* The digest of what a check is about, at a version. */
int view_digest(const struct store *store, struct base_reader *reader, uint64_t version,
                const struct kv_check *item, const struct kv_digest_key *key,
                uint64_t *ret) must_check;
