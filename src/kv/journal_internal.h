/* journal_internal.h - between journal.c and journal_replay.c. */
#pragma once
#include "kv/journal.h"
#include "kv/journal_format.h"
#include "loop/file.h"

struct journal_reading {
    struct node *node;
    uint64_t next_version; /* to be replayed */
    uint64_t epoch;        /* greatest that was seen */
    journal_replay replay;
    void *arg;
};
int journal_read_files(struct journal_reading *reading,
                       struct file *const files[JOURNAL_FILES]) fiber_fn must_check;
