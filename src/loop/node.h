/* node.h - one running instance of a role and everything that hangs off it; there are no mutable
 * globals.
 *
 * A process may run several nodes on one loop (`c3fs up --one-process`), and the simulator runs a
 * whole cluster of them on one. A node is what can crash: node_stop() ends all its fibers, and in
 * the simulator sim_crash() takes its machine's unsynced bytes with it.
 */
#pragma once
#include "base/arena.h"
#include "base/log.h"
#include "base/metrics.h"
#include "fiber/fiber.h"

struct loop;
struct machine; /* simulator only: where the node runs */
struct fault_table;

enum config_source {
    CONFIG_PUSHED, /* by the cluster manager, for all nodes of a type */
    CONFIG_BY_HAND /* by an administrator, for the life of this process */
};

/* What became of the last configuration that came. */
struct config_update {
    uint64_t wall_ns; /* 0: none came */
    enum config_source source;
    int result;
    char error[256]; /* "" after a success */
};

struct node {
    struct loop *loop;
    struct machine *machine; /* NULL on a real back end */
    const char *name;        /* "storage-1001"; owned */
    char host[65];           /* name of the machine it runs on */
    uint32_t pid;            /* of its process; 0 in the simulator */
    struct log log;
    struct metrics *metrics;
    struct fault_table *faults;
    bool allows_faults; /* by the admin tool, on a live process */
    struct scope scope; /* root of all fibers of the node; its local is the node */
    /* Takes over a configuration, or refuses all of it: one line in *ret_error (arena), and in the
     * log. NULL: there is nothing to configure. Set by whoever runs the node's role. */
    int (*take_config)(void *arg, struct node *node, struct bytes toml, enum config_source source,
                       struct arena *arena, const char **ret_error);
    /* What would become of a configuration, at the next start or (@is_hot) now: 1 when a setting
     * would change, 0 when none, or an error with *ret_error (arena). Changes nothing. */
    int (*try_config)(void *arg, struct bytes toml, bool is_hot, struct arena *arena,
                      const char **ret_error);
    /* The settings as TOML without secrets (arena), or NULL. */
    const char *(*show_config)(void *arg, struct arena *arena);
    void *config_arg; /* of these */
    /* Whether the role can do its work now, with one line that says so or what is missing (arena).
     * Set by the role itself while it serves; NULL: it runs, more is not known. */
    bool (*check_health)(void *arg, struct arena *arena, const char **ret_text) fiber_fn;
    /* How much of what it keeps is not whole yet; NULL: it keeps nothing. */
    uint32_t (*count_unsettled)(void *arg);
    void *health_arg; /* of both */
    /* What of its file all nodes of its type may share, to be uploaded; NULL: nothing. Borrowed. */
    const char *config_template;
    bool config_is_dirty; /* it runs with settings that were given by hand */
    struct config_update last_config_update;
};

/* @name is copied. @machine is NULL on real loops. Never fails. */
struct node *node_new(struct loop *loop, struct machine *machine, const char *name);
/* Cancels and joins every fiber of the node. */
void node_stop(struct node *node) fiber_fn;
struct node *node_free(struct node *node); /* stopped before; NULL is fine; returns NULL */
CLEANUP_FUNC(struct node *, node_free)

/* The node of the running fiber. */
struct node *node_self(void);
/* False after a simulated crash: nothing that the node's fibers still do may have an effect. What
 * lies outside of machines (kv/mem.c) asks; on real back ends it is always true. */
bool node_is_up(const struct node *node);

/* ---- clocks: TIME_NEVER never occurs ---- */

/* CLOCK_BOOTTIME; may drift in the simulator; only for intervals. */
uint64_t node_now_ns(struct node *node);
/* CLOCK_REALTIME; may jump; only for timestamps that people see. */
uint64_t node_wall_ns(struct node *node);

/* ---- randomness ---- */

/* Secure on real back ends, seeded in the simulator. */
void node_random_bytes(struct node *node, void *buf, size_t size);
uint64_t node_random_u64(struct node *node);
uint64_t node_random_below(struct node *node, uint64_t bound); /* uniform in [0, bound) */

/* ---- fault points and mutants (see fault.h) ---- */
