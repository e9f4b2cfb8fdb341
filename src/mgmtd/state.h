/* state.h - the cluster as the primary knows it, for the length of one term.
 *
 * A state is loaded from the store when a term begins, is changed only through the functions of
 * this module, and is retired when the term ends; who waits inside holds a reference and must look
 * at is_current after every suspension.
 *
 * Durable: nodes (identity, addresses, tags), chains (order, public states, places), tables,
 * configurations. Changes of these run under the writer mutex: transaction first (it checks the
 * term), memory after it. Soft, in memory only: liveness, local states, sizes, disks, sessions; a
 * new primary learns them from heartbeats.
 *
 * Every change of a node, chain or table takes the next routing version as its stamp, and moves the
 * record to the end of the list `changed`, which is therefore in the order of stamps: a delta is
 * its tail.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "fiber/sync.h"
#include "mgmtd/chain_state.h"
#include "mgmtd/events.h"
#include "mgmtd/index.h"
#include "mgmtd/lease.h"
#include "proto/mgmtd.h"

enum record_kind { RECORD_NODE, RECORD_CHAIN, RECORD_TABLE };

struct record {
    struct list link; /* in state->changed */
    uint64_t changed;
    enum record_kind kind;
};

/* What a node's last heartbeat said beyond its record. */
struct node_report {
    struct arena arena;
    struct disk_info_list disks;
    struct local_target_list orphans; /* targets in no chain */
};

struct member_node {
    struct record record;
    struct node_info *info;  /* owned; info->removed: only remembered to be told to watchers */
    uint64_t seq;            /* of the last accepted heartbeat of info->incarnation */
    uint64_t beat;           /* state->beat of the same */
    uint64_t alive_until_ns; /* without another heartbeat */
    struct list targets;     /* member_target.by_node */
    struct node_report *report;
    bool is_disabled;
};

struct member_target {
    uint64_t target_id;
    struct member_chain *chain;
    struct member_node *node; /* who reports it, or did last; NULL: nobody in this term */
    struct list by_node;
    uint64_t incarnation;    /* of node, when it reported */
    uint64_t beat;           /* state->beat of the last heartbeat that listed it */
    uint64_t alive_until_ns; /* the end of the lease of whoever served it last, counted from here */
    uint64_t lease_until_ns; /* as above, but only as far as a lease was really granted */
    uint32_t reported_version; /* chain version that the storage acts on */
    /* leases are for those who know this chain version, which took SERVING away; 0: none */
    uint32_t excluded_version;
    uint32_t rival_node_id; /* another node that claimed it in vain: said once */
    uint8_t local_state;
    bool is_known; /* reported, or its lease ended, in this term; else its chain is left alone */
};

struct member_chain {
    struct record record;
    struct chain_info *info; /* owned; soft fields of members are kept equal to the targets' */
    struct list dirty_link;  /* in state->dirty_chains */
    bool is_place_dirty;     /* a node or disk index differs from the store */
    bool is_used;            /* a member has acted on it: see evaluate.c */
};

struct member_table {
    struct record record;
    struct chain_table *info; /* owned */
};

struct latest_config {
    uint64_t version;           /* 0: none */
    struct bytes content, desc; /* owned, one allocation at content.base */
    bool is_from_service;       /* uploaded by a service, not set by a person */
};

/* A machine's tags. */
struct held_host {
    struct arena arena; /* of tags */
    struct host_tags tags;
};

struct client_order;
struct session {
    struct list link; /* in state->sessions, oldest first */
    struct client_session info;
    struct client_order *order; /* of a caller that waits for its outcome, or NULL */
    struct arena arena;         /* of info */
    uint64_t extended_ns;
};

struct state_options {
    struct node *node;
    struct kv *kv;
    struct lease *lease;
    const struct timing *timing;
    const char *cluster_id;
    uint32_t node_id;
    uint64_t session_timeout_ns;
    bool keeps_preferred_order; /* moves chains towards their preferred order by itself */
};

struct state {
    struct state_options options;
    uint32_t ref_count;
    bool is_current;
    bool has_heard_peers; /* other instances of mgmtd, in this term */
    uint64_t heard_ns;    /* the last heartbeat of anybody */
    bool is_deaf;         /* retired because it hears nobody any more */
    uint64_t term, version;
    uint64_t version_limit; /* reserved in the store: no version above it may be shown */
    uint64_t shown_version; /* watchers were woken for it */
    uint64_t takeover_ns;
    uint64_t beat;              /* number of heartbeats seen */
    struct index nodes, chains; /* by id */
    struct index tables;        /* table id << 32 | version */
    struct map targets;         /* target id -> struct member_target (those in chains) */
    struct list changed;        /* struct record */
    struct list dirty_chains;
    uint64_t expiry_ns; /* nothing ends before */
    struct latest_config configs[NODE_TYPE_MAX];
    struct list sessions;
    struct map sessions_by_id;      /* by the uuid's 16 bytes */
    struct revocation_list revoked; /* in the arena */
    struct arena revoked_arena;
    struct list holds; /* struct hold */
    struct map hosts;  /* name of a machine -> struct held_host */
    struct fiber_mutex writer;
    struct wait_queue watchers; /* woken when shown_version grows, and at the end */
    struct event_log events;
    struct event kick; /* there is something to evaluate or to show */
};

/* An empty state of the lease's term. */
struct state *state_new(const struct state_options *options);
struct state *state_ref(struct state *s);
struct state *state_unref(struct state *s); /* NULL is fine; returns NULL */
CLEANUP_FUNC(struct state *, state_unref)
/* The term is over: wakes everybody. */
void state_retire(struct state *s);
/* True while it may be acted and answered upon: current, and the lease not over. */
bool state_is_valid(const struct state *s);
uint64_t state_now_ns(const struct state *s);
/* Something changed: the evaluator looks soon. */
void state_kick(struct state *s);
/* When an unknown node or target counts as dead if it is not heard from: now + node lease and
 * drift. */
uint64_t state_grace_end_ns(const struct state *s);

/* Begins a change: the writer mutex, on a valid state. -ERR_MGMTD_NOT_PRIMARY, or of the wait.
 * End with fiber_mutex_unlock(&s->writer). */
int state_lock(struct state *s) fiber_fn must_check;
/* Runs @fn in a transaction that checks the term. Goes on, whatever happens to the caller, until
 * the outcome is known or the lease ends; then the state is retired. Called with the writer
 * mutex. fn may run several times. */
int state_write(struct state *s, int (*fn)(struct kv_txn *txn, void *arg),
                void *arg) fiber_fn must_check;

/* Gives the record the next version. */
void state_touch(struct state *s, struct record *record);

struct member_node *state_node(const struct state *s,
                               uint32_t node_id); /* NULL if unknown or removed */
struct member_chain *state_chain(const struct state *s, uint32_t chain_id); /* NULL if unknown */
struct member_target *state_target(const struct state *s, uint64_t target_id);
/* Of the member at @index of a chain; never NULL. */
struct member_target *state_member(const struct state *s, const struct chain_info *info,
                                   uint32_t index) __attribute__((returns_nonnull));
struct member_table *state_latest_table(const struct state *s, uint32_t table_id);

/* Take copies of what they are given and stamp the record. */
struct member_node *state_put_node(struct state *s, const struct node_info *info);
struct member_chain *state_put_chain(struct state *s, const struct chain_info *info);
struct member_table *state_put_table(struct state *s, const struct chain_table *info);
void state_put_config(struct state *s, const struct config_info *config);

void state_set_node_status(struct state *s, struct member_node *node, enum node_status status);
/* A target's local state is now known to be that. */
void state_set_local(struct state *s, struct member_target *target, uint8_t local_state);
/* The chain is evaluated at the next turn. */
void state_mark_dirty(struct state *s, struct member_chain *chain);
/* Members' soft fields from the targets. */
void state_mirror_chain(struct member_chain *chain, const struct state *s);
void chain_to_shape(const struct chain_info *info, struct chain_shape *ret);
