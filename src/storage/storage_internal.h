/* storage_internal.h - the running storage role: its disks, targets and ties to others; private to
 * src/storage.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "storage/chunk_store.h"
#include "storage/pace.h"
#include "storage/repair.h"
#include "storage/storage.h"
#include "storage/target.h"

struct disk {
    uint32_t index;
    const char *path;          /* of the settings */
    struct chunk_store *store; /* NULL: could not be opened */
    int error;                 /* why it is not usable; 0: it is */
    struct store_space space;  /* as of the last look */
    bool is_reopening;         /* a replaced one is being taken into use */
};

struct storage {
    struct node *node;
    const struct storage_settings *settings;
    struct mgmtd_client *mgmtd;
    struct routing *routing; /* the mgmtd client's */
    struct rpc_pool *peers;  /* the same */
    struct rpc_server *server;
    struct buffer_pool *pool; /* the server's */
    struct disk *disks;
    uint32_t disk_count;
    struct list targets;                /* target, in order of target id */
    struct map by_chain;                /* u32 chain id -> target */
    struct scope scope;                 /* background fibers */
    struct fiber_semaphore read_memory; /* bytes that running reads may hold of the pool */
    struct fiber_semaphore sync_slots;  /* chunks that all resyncs together move at a time */
    struct pace sync_pace;              /* of what they send */
    struct repairs repairs;
    uint8_t *zeros; /* ZERO_BYTES, page-aligned: what a chunk does not have */
    struct auth_keys keys;
    uint64_t life; /* random, not 0: tells this process from those before it */
    bool is_stopping;
    bool must_apply_again; /* a target could not take its version, and asks for another try */
};

enum { ZERO_BYTES = 256 << 10 };

/* The first address of a node, for one call. */
int storage_peer(struct storage *s, uint32_t node_id, enum rpc_class class,
                 struct net_address *address, struct rpc_target *ret) must_check;
/* NULL when no target of the chain (of the id) is here. */
struct target *storage_find_chain(struct storage *s, uint32_t chain_id);
struct target *storage_find_target(struct storage *s, uint64_t target_id);
/* The disk of @t has failed (chunk_store_failure()): all its targets go offline. */
void storage_check_disk(struct storage *s, struct disk *disk);
/* Opens a disk and loads its targets; what is wrong with it is logged and in disk->error. An error
 * only when the process should not go on. */
int storage_open_disk(struct storage *s, struct disk *disk) fiber_fn must_check;
/* Takes what is at the place of a failed disk into use. -ERR_BUSY: its targets are still used. */
int storage_reopen_disk(struct storage *s, struct disk *disk) fiber_fn must_check;
/* For heartbeats and space_info; lists in @arena. */
void storage_list_disks(struct storage *s, struct arena *arena, struct disk_info_list *ret);
/* A cell of the node's metrics, by name. */
void storage_count(struct storage *s, const char *name, uint64_t amount);

/* What a chunk's record says, for the wire. */
void chunk_meta_fill(struct chunk_meta *meta, const struct chunk_state *state);
static inline bool update_id_equal(const struct update_id *a, const struct update_id *b)
{
    return uuid_equal(a->client, b->client) && a->channel == b->channel && a->seq == b->seq;
}
/* The committed version, 0 for what is absent or removed. */
static inline uint64_t chunk_live_version(const struct chunk_state *state)
{
    return state->is_tombstone ? 0 : state->version;
}
/* The order of contents of one chunk. */
static inline int pair_compare(uint32_t chain_version_a, uint64_t version_a,
                               uint32_t chain_version_b, uint64_t version_b)
{
    if (chain_version_a != chain_version_b) return chain_version_a < chain_version_b ? -1 : 1;
    return (version_a > version_b) - (version_a < version_b);
}

/* handover.c: returns when the chains can do without this node, within a few seconds; an error when
 * it was in vain, -ERR_PRIMARY_MGMTD_NOT_FOUND when no manager is there at all. */
int storage_hand_over(struct storage *s) fiber_fn must_check;
extern const struct storage_handlers storage_handlers; /* service.c; self is the struct storage */
/* targets.c: making and removing targets, applying routing. */
int targets_load(struct storage *s, struct disk *disk) must_check;
int targets_watch_routing(void *storage) fiber_fn;
/* A target has to ask its peers again: the routing is applied again in a moment. */
void targets_apply_again(struct storage *s);
/* *ret_why: what is in the way (@arena), or left alone. */
int targets_create(struct storage *s, const struct create_target_request *req, struct arena *arena,
                   const char **ret_why) fiber_fn must_check;
int targets_offline(struct storage *s, const struct target_request *req) fiber_fn must_check;
int targets_remove(struct storage *s, const struct target_request *req) fiber_fn must_check;
