/* target.h - one replica of a chain on this node: what it is in the chain, and what it may do now.
 *
 * The routing says what mgmtd has decided; a target acts on a chain version only after it has made
 * it durable (target_apply), so that it never goes back, also across restarts.
 *
 * Local states, as reported to mgmtd:
 *   UPTODATE  has all the chain has committed: SERVING, or SYNCING and filled
 *   ONLINE    alive, to be filled by resync (SYNCING), or waiting for that, or last server
 *   OFFLINE   cannot be used: its disk failed, an operator said so, or it is empty where the chain
 *             expects data
 *
 * The members of a chain are its SERVING targets and the SYNCING one, which are first in order.
 */
#pragma once
#include "client/routing.h"
#include "proto/storage.h"
#include "storage/chunk_lock.h"
#include "storage/chunk_store.h"
#include "storage/confirm.h"
#include "storage/recover.h"
#include "storage/refusals.h"
#include "storage/resync.h"

struct storage;
struct disk;

struct member {
    uint64_t target_id;
    uint32_t node_id;
    enum public_state public_state;
};

struct target {
    struct list link; /* of the storage's targets, in order of target id */
    struct storage *storage;
    struct disk *disk;
    struct chunk_store *store; /* the disk's */
    uint64_t target_id;
    uint32_t chain_id;

    uint32_t chain_version; /* 0: no routing was applied yet */
    enum public_state public_state;
    enum local_state local_state;
    struct member all[CHAIN_TARGET_COUNT_MAX]; /* in chain order */
    uint32_t all_count;
    uint32_t member_count;  /* of all[]: SERVING and SYNCING */
    uint32_t serving_count; /* of all[]: SERVING */
    uint32_t self_at;       /* in all[]; all_count when not in the chain */
    /* Chain version from which on it has been a member, without a gap that this process knows of.
     */
    uint32_t member_since;

    bool is_stopped;   /* by offline_target, until the process restarts */
    bool is_too_empty; /* never seen a chain that has a history and calls it up to date */
    bool is_unsound;   /* has something that it must be filled over: target_withdraw() */
    bool is_going;     /* being removed */
    bool
        /* reported OFFLINE, and serves until the chain goes on without it: handover.c */
        is_leaving;
    bool needs_round; /* answers no read before one round of confirm.h */
    uint32_t user_count;
    struct wait_queue changed; /* chain version, role or local state has changed; user left */
    struct list attempts;      /* running forwards: see forward.c */

    struct chunk_locks locks;
    struct confirm confirm;
    struct recover recover;
    struct refusals refusals;
    struct sync_sender sync_sender;
    struct sync_receiver sync_receiver;
};

struct target *target_new(struct storage *storage, struct disk *disk,
                          const struct store_target *stored);
/* Nobody uses it and its fibers have ended. NULL is fine; returns NULL. */
struct target *target_free(struct target *t);

/* A user keeps the target from being removed. */
void target_use(struct target *t);
struct target *target_unuse(struct target *t); /* returns NULL */
CLEANUP_FUNC(struct target *, target_unuse)

/* Takes over what @chain says when it is newer than what the target acts on. */
void target_apply(struct target *t, const struct chain_info *chain) fiber_fn;
/* Takes over where the members are from @chain of the version that the target acts on: mgmtd learns
 * that from reports, without a new version. */
void target_locate_members(struct target *t, const struct chain_info *chain);
/* Logs, tells mgmtd, wakes whoever waits. */
void target_set_local_state(struct target *t, enum local_state state, const char *why);
/* Goes offline until its chain has gone on without it, and then comes back through a resync. Others
 * must be serving. */
void target_withdraw(struct target *t, const char *why);
/* The disk has failed: the target goes offline, and stays so. */
void target_fail(struct target *t, int error);

/* ---- the role; valid until the next suspension ---- */

static inline const struct member *target_self(const struct target *t)
{
    return t->self_at < t->all_count ? &t->all[t->self_at] : NULL;
}
static inline bool target_is_member(const struct target *t)
{
    return t->self_at < t->member_count && t->local_state != LOCAL_OFFLINE;
}
/* Has everything and may be asked. */
static inline bool target_is_serving(const struct target *t)
{
    return t->self_at < t->serving_count && t->local_state == LOCAL_UPTODATE;
}
static inline bool target_is_head(const struct target *t)
{
    return t->self_at == 0 && target_is_serving(t);
}
static inline bool target_is_tail(const struct target *t)
{
    return t->self_at + 1 == t->serving_count;
}
/* The next member, to which updates are forwarded; NULL for the last. */
static inline const struct member *target_successor(const struct target *t)
{
    return t->self_at + 1 < t->member_count ? &t->all[t->self_at + 1] : NULL;
}
/* The last serving one, which decides what is committed. Only while target_is_serving(). */
static inline const struct member *target_tail(const struct target *t)
{
    return &t->all[t->serving_count - 1];
}
/* The only member left of a chain of several targets: acts only under a lease. */
static inline bool target_is_alone(const struct target *t)
{
    return t->member_count == 1 && t->all_count > 1;
}

/* 0, -ERR_CHAIN_VERSION_MISMATCH, -ERR_TARGET_OFFLINE or -ERR_TARGET_STATE_INVALID. */
int target_check_member(const struct target *t, uint32_t chain_version) must_check;
int target_check_serving(const struct target *t, uint32_t chain_version) must_check;
