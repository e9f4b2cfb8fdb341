/* journal.h - committed transactions in order, durable before they are in the base.
 *
 *   append, append, …  →  flush (one write, one sync)  →  durable
 *   rotate: what follows goes to the other file; release: what was rotated away is in the base
 *
 * Records of one flush are one group. Appending never suspends; at most one fiber flushes. After an
 * error of flush the journal is good for nothing but closing: what was not synced may be there or
 * not at the next open.
 */
#pragma once
#include "kv/kv_engine.h"

struct journal;

/* One replayed transaction; @commit has only writes, borrowed. */
typedef int (*journal_replay)(void *arg, uint64_t version, const struct kv_commit *commit);

/* Reads what is there and calls @replay for each version above @base_version, in order. Then call
 * kv_journal_start() once all of it is in the base. -ERR_DATA_CORRUPTION: synced transactions are
 * missing. */
int kv_journal_open(struct node *node, const char *dir, uint64_t base_version,
                    journal_replay replay, void *arg, struct journal **ret) fiber_fn must_check;
struct journal *journal_close(struct journal *j); /* does not flush; NULL is fine; returns NULL */
CLEANUP_FUNC(struct journal *, journal_close)
/* Everything up to @version is in the base: the journal begins anew behind it. */
void kv_journal_start(struct journal *j, uint64_t version);

/* Bytes that @commit takes. */
size_t journal_size_of(const struct kv_commit *commit);
bool journal_has_room(const struct journal *j, size_t size);
/* There is room. @version is the next. */
void kv_journal_append(struct journal *j, uint64_t version, const struct kv_commit *commit);
bool journal_has_pending(const struct journal *j);
/* Makes durable what was appended before the call; *ret_version: the last of it. */
int journal_flush(struct journal *j, uint64_t *ret_version) fiber_fn must_check;

/* How full the file in use is, 0 to 100, what is pending included. */
uint32_t journal_used_percent(const struct journal *j);
/* Not during a flush, and not before the other file was released. */
void journal_rotate(struct journal *j);
void journal_release(struct journal *j);
