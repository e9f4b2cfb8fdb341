/* journal_internal.h - the fields of a journal; for journal.c and journal_replay.c only. */
#pragma once
#include "fiber/sync.h"
#include "storage/journal.h"
#include "storage/journal_batch.h"

/* A batch is closed when the next entry would make it larger than this. */
enum { BATCH_BYTES_FULL = 4 << 20 };

struct journal {
    struct journal_options options; /* path is owned */
    struct file *files[2];
    uint64_t allocated_bytes[2];
    struct batch *filling;    /* NULL until journal_replay() */
    struct list sealed;       /* batches, the first of which may be under way */
    uint64_t waiting_bytes;   /* of sealed ones */
    uint64_t epoch_first_lsn; /* of the epoch being filled */
    uint64_t last_lsn, durable_lsn;
    uint64_t told_data_lsn; /* of the last batch that was read or sealed */
    bool is_urgent;         /* somebody waits for what is appended */
    int failure;
    uint64_t batch_count;
    struct wait_queue asked, written;
};
