/* fault.h - named places in product code where rules may fail, delay or suspend; and mutants.
 *
 * FAULT("storage.stage.before_sync") is the only hook in product code. Without rules it costs one
 * load. A mutant is a rule of the protocol taken out on purpose, chosen at run time by the
 * simulator only, to prove that its checkers bite; every mutant has a row in MUTANT_TABLE.
 */
#pragma once
#include "loop/node.h"

enum fault_kind { FAULT_FAIL, FAULT_DELAY, FAULT_SUSPEND };

struct fault_rule {
    const char *point; /* copied */
    enum fault_kind kind;
    int error;           /* FAULT_FAIL: what the point returns */
    uint64_t delay_ns;   /* FAULT_DELAY */
    uint32_t skip_count; /* hits that pass before the first that counts */
    uint32_t hit_count;  /* hits that count; 0: all */
};

struct fault_table *fault_table_new(void);
struct fault_table *fault_table_free(struct fault_table *t);
void fault_add(struct node *node, const struct fault_rule *rule);
void fault_clear(struct node *node);                          /* all rules; wakes the suspended */
void fault_clear_point(struct node *node, const char *point); /* the same, of one point */
/* Calls @fn for every point that has a rule or was hit since there is a table, in order of
 * appearance. */
void fault_each(const struct node *node,
                void (*fn)(void *arg, const char *point, uint32_t hits,
                           const struct fault_rule *rules, uint32_t rule_count),
                void *arg);
void fault_resume(struct node *node, const char *point); /* wakes fibers suspended there */
uint32_t fault_hits(const struct node *node, const char *point);

/* 0, or the error of a matching rule; may wait. */
int fault_hit(struct node *node, const char *point) fiber_fn must_check;
#define FAULT(point)                                                                               \
    ({                                                                                             \
        struct node *fault_node_ = node_self();                                                    \
        fault_node_ && fault_node_->faults ? fault_hit(fault_node_, point) : 0;                    \
    })

/* M(symbol, "name for --mutant", "the rule that it breaks") */
#define MUTANT_TABLE(M)                                                                            \
    M(SKIP_DATA_SYNC, "skip-data-sync", "data is durable before its update is acknowledged")       \
    M(SKIP_INDEX_SYNC, "skip-index-sync",                                                          \
      "the pending record is durable before it is acknowledged")                                   \
    M(UNIT_REUSED_WHILE_PINNED, "unit-reused-while-pinned", "a unit waits for its last reader")    \
    M(UNIT_REUSED_BEFORE_DURABLE, "unit-reused-before-durable",                                    \
      "a unit waits until the entry that freed it is durable")                                     \
    M(DATA_NOT_DOUBTED, "data-not-doubted",                                                        \
      "a record whose data may be missing is verified at start")                                   \
    M(DOUBTED_NOT_SYNCED, "doubted-not-synced", "data found at start is synced before it counts")  \
    M(REPLACED_BEFORE_DATA, "replaced-before-data",                                                \
      "a pending record gives way only to one whose data is durable")                              \
    M(COMMIT_BEFORE_DATA, "commit-before-data", "an update is committed when its data is durable") \
    M(CHECKPOINT_BEFORE_DATA, "checkpoint-before-data",                                            \
      "a checkpoint counts when the data of its records is durable")                               \
    M(SKIP_FORWARD, "skip-forward", "an update is on every member before it is acknowledged")      \
    M(NO_CHUNK_LOCK, "no-chunk-lock", "one update of a chunk runs at a time")                      \
    M(STALE_READ_ALLOWED, "stale-read-allowed",                                                    \
      "a read is answered only under a lease or a round")                                          \
    M(LEASE_KEPT_WHILE_LEAVING, "lease-kept-while-leaving",                                        \
      "a target that has reported itself gone reads by rounds only")                               \
    M(LEASE_CHECKED_BEFORE_READ, "lease-checked-before-read",                                      \
      "chain version and lease are checked after the data is in memory")                           \
    M(READ_COMMITTED_BESIDE_PENDING, "read-committed-beside-pending",                              \
      "beside a pending update the tail decides what is committed")                                \
    M(COMMIT_BEFORE_STAGE, "commit-before-stage", "a member commits after its successor has")      \
    M(FORWARD_BEFORE_SYNC, "forward-before-sync",                                                  \
      "an update is durable before it is forwarded or acknowledged")                               \
    M(IDENTITY_NOT_COMPARED, "identity-not-compared", "a version belongs to one update")           \
    M(ORPHAN_NOT_ROLLED_FORWARD, "orphan-not-rolled-forward",                                      \
      "a pending update that was left is forwarded before it is committed")                        \
    M(PENDING_REMOVE_BECOMES_WRITE, "pending-remove-becomes-write",                                \
      "a pending removal stays a removal")                                                         \
    M(RESYNC_SKIPS_BUCKET, "resync-skips-bucket", "a resync compares all buckets")                 \
    M(OLDER_REPLACEMENT, "older-replacement-applied",                                              \
      "a replacement that is older than what the receiver has is refused")                         \
    M(FLOOR_FORGOTTEN, "floor-forgotten", "writes of an older generation are refused")             \
    M(RETRY_UNDER_NEW_IDENTITY, "retry-under-new-identity", "a retry is the same update")          \
    M(TOMBSTONE_DROPPED_EARLY, "tombstone-dropped-early",                                          \
      "a removed chunk's version is remembered: what is made anew is above it")                    \
    M(IDENTITIES_NOT_COPIED, "identities-not-copied",                                              \
      "a target that is filled knows which updates were executed")                                 \
    M(IDENTITIES_NOT_CLEARED, "identities-not-cleared",                                            \
      "a target that is filled forgets the updates that only it has executed")                     \
    M(SYNCING_LEFT_OUT, "syncing-left-out", "new updates reach the member that is being filled")   \
    M(EMPTY_DISK_TRUSTED, "empty-disk-trusted",                                                    \
      "a new disk under an old id serves only after it was filled")                                \
    M(TERM_NOT_CHECKED, "term-not-checked", "a write of the primary checks its term")              \
    M(LEASE_FROM_REPLY, "lease-counted-from-reply",                                                \
      "the primary's lease counts from before its renewal")                                        \
    M(NODE_LEASE_FROM_REPLY, "node-lease-counted-from-reply",                                      \
      "a node's lease counts from the sending of its heartbeat")                                   \
    M(ROUTING_BACKWARDS, "routing-accepted-backwards", "routing never goes back")                  \
    M(LENGTH_SHRUNK_BY_HINT, "length-shrunk-by-hint", "a writer's hint only raises a length")      \
    M(IDEMPOTENCY_LOST, "idempotency-record-lost", "a change keeps its answer for retries")        \
    M(SESSION_PRUNED_EARLY, "session-pruned-early", "an open file's session lives as its client")  \
    M(OPEN_FILE_COLLECTED, "open-file-collected", "what somebody has open is not collected")       \
    M(KV_RANGE_NOT_CHECKED, "kv-range-not-checked", "a range that was read is compared at commit")
#define MUTANT_ENUM(sym, name, text) MUTANT_##sym,
enum mutant { MUTANT_TABLE(MUTANT_ENUM) MUTANT_MAX };
#undef MUTANT_ENUM

/* True only in a simulator run that chose this mutant. */
bool mutant_is_active(const struct node *node, enum mutant mutant);
void mutant_activate(struct node *node, enum mutant mutant);
int mutant_parse(const char *name); /* -1 if unknown */
const char *mutant_name(enum mutant mutant);
const char *mutant_rule(enum mutant mutant);
#define MUTANT(sym)                                                                                \
    ({                                                                                             \
        struct node *mutant_node_ = node_self();                                                   \
        (mutant_node_ && mutant_node_->faults) ? mutant_is_active(mutant_node_, MUTANT_##sym)      \
                                               : false;                                            \
    })
