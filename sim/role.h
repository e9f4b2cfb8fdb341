/* role.h - a server of a test, as a fiber that runs until it is cancelled: a cluster manager, a
 * metadata service (simulator only) or a storage, with nothing of its own but where it listens and
 * keeps its files.
 *
 * The same code runs on a machine of the simulator and in a process of its own (place.h).
 */
#pragma once
#include "kv/kv.h"

enum role_kind { ROLE_MGMTD, ROLE_STORAGE, ROLE_META };
const char *role_kind_name(enum role_kind kind);

/* What the cluster is called, and the key that its servers share. */
#define ROLE_CLUSTER_ID "sim"
#define ROLE_KEY        "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct role {
    enum role_kind kind;
    uint32_t node_id;
    char listen[64];             /* mgmtd: then known to all; storage: mgmtd tells the others */
    char mgmtd[192];             /* others: where the cluster managers are, with commas between */
    char dir[128];               /* of its files; there before it starts */
    struct kv_mem_store *store;  /* mgmtd, meta: of its records; NULL: an embedded one in @dir */
    uint64_t session_timeout_ns; /* mgmtd: of clients; 0: 60 s */
    struct mgmtd *instance;      /* mgmtd: while it runs */
    /* Storage, in the simulator; 0: as usual. */
    uint32_t disk_count; /* the second one is @dir with "-1" behind it */
    uint32_t resync_concurrency;
    uint64_t resync_bandwidth, capacity_bytes, tombstone_age_ns, scrub_interval_ns;
};

/* mgmtd writes the address that it got into this file of its directory. */
#define ROLE_ADDRESS_FILE "address"

int role_run(struct node *node, struct role *role) fiber_fn must_check;
