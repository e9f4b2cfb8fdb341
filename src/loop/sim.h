/* sim.h - the simulated world: machines with disks on a network, one thread, virtual time, one seed.
 *
 * Same seed and same code: same trace. sim_trace_hash() folds every event (time, kind, machine, bytes) into
 * one number, so a test can hold two runs against each other.
 *
 * Crash: sim_crash(machine) cuts the machine off at once (its I/O has no more effect, its peers see resets or
 * silence as the profile says), then cancels and joins the fibers of its nodes; writes that were not synced
 * are lost or torn at 4 KiB boundaries, independently and at random; names that were not dir_sync()ed may
 * vanish. sim_restart() gives the machine back with what survived.
 */
#pragma once
#include "loop/loop.h"

struct sim;
struct machine;

struct sim_net_profile {
    uint64_t delay_min_ns, delay_max_ns;
    uint32_t loss_ppm;      /* a lost segment of a stream shows as a delay, then a reset past a bound */
    uint32_t reset_ppm;     /* a stream breaks on its own */
    uint64_t bytes_per_sec; /* 0: unlimited */
};

struct sim_disk_profile {
    uint64_t delay_min_ns, delay_max_ns, sync_min_ns, sync_max_ns;
    uint32_t read_error_ppm, write_error_ppm, bit_rot_ppm;
    uint64_t capacity_bytes;
    bool is_honest; /* false: syncs lie (a mutant of the world, to see that checkers bite) */
};

struct sim_options {
    uint64_t seed;
    struct sim_net_profile net;
    struct sim_disk_profile disk;
    bool shuffle_ready;   /* run ready fibers in a seeded random order */
    void (*trace)(void *arg, const char *line); /* NULL: none; each event as text */
    void *trace_arg;
};

/* A world and its loop. Every struct node of a simulation is made with node_new(sim_loop(sim), machine, …). */
struct sim *sim_new(const struct sim_options *options);
struct sim *sim_free(struct sim *sim);
CLEANUP_FUNC(struct sim *, sim_free)
struct loop *sim_loop(struct sim *sim);

struct machine *sim_machine_new(struct sim *sim, const char *host); /* host: its network name */
/* Runs the world until @main_fn (a fiber of a machine-less "world" scope, where tests live) returns. It also
 * ends, with -ERR_TIMEOUT, when virtual time passes @limit_ns, and with -ERR_FOUND_BUG when nothing can ever
 * happen again (a deadlock: every fiber is listed on stderr). */
int sim_run(struct sim *sim, int (*main_fn)(void *arg), void *arg, uint64_t limit_ns) must_check;
uint64_t sim_now_ns(const struct sim *sim);
uint64_t sim_trace_hash(const struct sim *sim);
uint64_t sim_random_below(struct sim *sim, uint64_t bound);

/* From the world's fiber. */
void sim_crash(struct machine *m) fiber_fn;   /* its nodes are stopped and freed by the caller afterwards */
void sim_restart(struct machine *m);
void sim_freeze(struct machine *m);           /* SIGSTOP: fibers do not run, sockets stay open */
void sim_thaw(struct machine *m);
/* Cuts bytes from @from to @to (one way). */
void sim_cut(struct machine *from, struct machine *to);
void sim_heal(struct machine *from, struct machine *to);
void sim_heal_all(struct sim *sim);
void sim_clock_drift(struct machine *m, int32_t ppm);
void sim_clock_jump(struct machine *m, int64_t wall_ns);
void sim_set_disk_profile(struct machine *m, const struct sim_disk_profile *p);
/* Flips one bit of a file of the machine, beneath its CRCs. */
void sim_flip_bit(struct machine *m, const char *path, uint64_t offset_bytes, uint8_t bit);
