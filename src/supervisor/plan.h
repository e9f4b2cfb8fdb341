/* plan.h - which processes make up the cluster that was asked for, and their files.
 *
 * Stages start one after the other: a stage is over when its tasks have ended well, its services
 * run, and what it mounts is mounted. At the end services stop in order of their rank: the cluster
 * managers before the storages, or they would see these end one by one and leave chains to the last
 * one, though all replicas are equal.
 */
#pragma once
#include "supervisor/options.h"

enum {
    PLAN_CHILD_COUNT_MAX = STORAGE_COUNT_MAX + META_COUNT_MAX + MGMTD_COUNT_MAX + 8,
    PORT_BLOCK_SIZE = 100
};
enum stop_rank { RANK_MOUNT, RANK_MGMTD, RANK_SERVICE, RANK_COUNT };

struct child_plan {
    const char *name;         /* "storage-1001" */
    char **argv;              /* ends with NULL; argv[0] is the path of the binary */
    const char **environment; /* "KEY=value", added to the supervisor's; ends with NULL */
    const char *log_path;
    const char *mount; /* what it mounts; NULL: nothing */
    /* Of a task: made when it has ended well, and then it never runs again. */
    const char *done_path;
    uint32_t stage;
    enum stop_rank rank;
    bool is_task; /* ends by itself */
};

struct plan {
    struct child_plan children[PLAN_CHILD_COUNT_MAX];
    uint32_t count, stage_count;
    const char *mount; /* NULL: none */
    uint16_t port_base;
};

/* Chooses the block of ports, unless @keep_port_base says which one is ours already, and writes
 * etc/ and the cluster's key. All memory is the arena's. */
int plan_make(const struct cluster_options *options, const char *binary, uint16_t keep_port_base,
              struct arena *arena, struct plan *ret, const char **ret_error) must_check;
/* The first block from @base on whose @count ports are free at @host; 0 when none is. */
uint16_t port_block_find(uint16_t base, uint32_t count, const char *host);
/* Can be listened at; a host that is no IPv4 address counts as all of them. */
bool port_is_free(uint16_t port, const char *host);
