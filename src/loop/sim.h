/* sim.h - the simulated world: machines with disks on a network, one thread, virtual time, one
 * seed.
 *
 * Same seed and same code: same trace. sim_trace_hash() folds every event (time, kind, machine,
 * object, size, CRC of the bytes) and the state of chance into one number, so a test can hold two
 * runs against each other.
 *
 * Machine: a host name, a disk, clocks, a place in the network. A node belongs to one; what can
 * crash, freeze or be cut off is the machine, so give each process that should fail on its own a
 * machine.
 *
 * Crash (power): sim_crash() ends the machine at once: whatever its fibers do from there on fails
 * with -ERR_CANCELED and has no effect; then its nodes' fibers are cancelled and joined. Writes
 * that were not synced are kept, lost or torn, each on its own; names that were not dir_sync()ed
 * may vanish (see sim_disk.h for the exact rules). Peers see resets, or
 * (sim_net_profile.crash_silent_ppm) nothing until they send or probe. Kill (process): sim_kill()
 * is the same, but the disk keeps all that was written, still not durable. sim_restart() gives the
 * machine back with what survived. Boot clocks start anew.
 *
 * Network: streams as TCP has them. Bytes over a cut path stay under way and are tried again; after
 * 15 s the sending end breaks. A stream without traffic notices a cut after seconds, as by
 * keep-alive. Streams inside a machine are never delayed much, cut or lost. Messages may come twice
 * or late (sim_set_framing()).
 *
 * Disk calls take effect at their start or end, by chance; transfers are short now and then; one
 * that the fiber's deadline or cancellation interrupts may have happened or not. Nothing here knows
 * of roles.
 */
#pragma once
#include "loop/loop.h"

struct sim;
struct machine;

struct sim_net_profile {
    uint64_t delay_min_ns, delay_max_ns;
    uint32_t loss_ppm;         /* of segments; a lost one shows as a delay of 200 ms and more */
    uint32_t reset_ppm;        /* of segments written: the stream breaks on both sides */
    uint32_t corrupt_ppm;      /* of segments: a bit flips that no checksum of the network sees */
    uint64_t bytes_per_sec;    /* of each machine's sending side; 0: unlimited */
    uint32_t crash_silent_ppm; /* of crashes: peers are not told by resets */
    /* Of messages between machines, as sim_set_framing() knows them. */
    uint32_t repeat_ppm; /* come a second time, at most repeat_max_ns later */
    uint32_t late_ppm;   /* come late by up to that, after others that were sent later */
    uint64_t repeat_max_ns;
};

/* What the messages on streams look like. A stream repeats nothing; but one request is executed
 * twice when its retry comes over another connection, and late when nobody waits for it any more.
 */
enum sim_message_fault { SIM_REPEAT = 1, SIM_LATE = 2 };
enum { SIM_HEADER_BYTES_MAX = 64 };
struct sim_framing {
    size_t header_bytes;
    /* How many bytes follow this header; -1: it is none, and the stream is left alone. */
    int64_t (*rest)(const void *header);
    /* What may happen to the message: of enum sim_message_fault. */
    unsigned (*faults)(const void *header);
    /* @message is to come as the second: nobody waits for its answer. False: not this one. */
    bool (*mark)(void *message, size_t size);
};

struct sim_disk_profile {
    uint64_t delay_min_ns, delay_max_ns, sync_min_ns, sync_max_ns;
    uint32_t stall_ppm; /* of calls: take stall_ns more, as a disk does that relocates a sector */
    uint64_t stall_ns;
    uint32_t read_error_ppm;  /* EIO */
    uint32_t write_error_ppm; /* EIO of writes (in part done) and syncs (what was not synced may be
                                 lost for good) */
    uint32_t bit_rot_ppm;     /* of reads: a bit in the range goes bad on the disk */
    uint64_t capacity_bytes;  /* 0: 1 TiB */
    bool is_honest; /* false: syncs lie (a mutant of the world, to see that checkers bite) */
};

struct sim_options {
    uint64_t seed;
    struct sim_net_profile net;
    struct sim_disk_profile disk;               /* of machines made from now on */
    bool shuffle_ready;                         /* run ready fibers in a seeded random order */
    uint32_t fiber_count_max;                   /* 0: the scheduler's default */
    void (*trace)(void *arg, const char *line); /* NULL: none; each event as text */
    void *trace_arg;
};

/* No faults: a network of 50-500 us, a disk of 20-200 us and syncs of up to 2 ms, honest; shuffled.
 */
struct sim_options sim_options_default(uint64_t seed);

/* A world and its loop. Every struct node of a simulation is made with node_new(sim_loop(sim),
 * machine, …). */
struct sim *sim_new(const struct sim_options *options);
struct sim *sim_free(struct sim *sim); /* every node freed, every file and stream closed before */
CLEANUP_FUNC(struct sim *, sim_free)
struct loop *sim_loop(struct sim *sim);

struct machine *sim_machine_new(struct sim *sim,
                                const char *host); /* host: its network name; unique */
struct machine *sim_machine_find(struct sim *sim, const char *host); /* NULL if there is none */
const char *sim_machine_host(const struct machine *m);
bool sim_machine_is_up(const struct machine *m);

/* Runs the world until @main_fn (a fiber of a machine-less "world" scope, where tests live)
 * returns; its result. It also ends, with -ERR_TIMEOUT, when the world's clock (sim_now_ns(), which
 * starts at 1 s) passes @limit_ns, and with -ERR_FOUND_BUG when nothing can ever happen again (a
 * deadlock) or fibers run for ever without time passing. Then every fiber is listed on stderr and
 * cancelled; if some do not end even so, the world's memory is given up and sim_free() does
 * nothing. */
int sim_run(struct sim *sim, int (*main_fn)(void *arg), void *arg, uint64_t limit_ns) must_check;
uint64_t sim_now_ns(const struct sim *sim);
uint64_t sim_event_count(const struct sim *sim);
uint64_t sim_trace_hash(const struct sim *sim);
uint64_t sim_random_below(struct sim *sim, uint64_t bound); /* in [0, bound) */

/* ---- faults; from the world's fibers ---- */

/* Afterwards node_stop() returns at once for the machine's nodes, which the caller frees. Not from
 * a fiber of it. */
void sim_crash(struct machine *m) fiber_fn;
void sim_kill(struct machine *m) fiber_fn;
void sim_restart(struct machine *m); /* crashed before, its nodes freed */
void sim_freeze(
    struct machine *m); /* SIGSTOP: fibers do not run, sockets stay open, disks finish */
void sim_thaw(struct machine *m);
/* Cuts bytes from @from to @to (one way). */
void sim_cut(struct machine *from, struct machine *to);
void sim_heal(struct machine *from, struct machine *to);
void sim_heal_all(struct sim *sim);
void sim_set_net_profile(struct sim *sim, const struct sim_net_profile *p);
/* @framing outlives the world. Before the first stream. */
void sim_set_framing(struct sim *sim, const struct sim_framing *framing);
uint64_t sim_repeat_count(const struct sim *sim);
uint64_t sim_late_count(const struct sim *sim);
void sim_set_disk_profile(struct machine *m, const struct sim_disk_profile *p);
void sim_clock_drift(struct machine *m,
                     int32_t ppm); /* of node_now_ns() against the world, from now on */
void sim_clock_jump(struct machine *m, int64_t wall_ns); /* of node_wall_ns() */
/* Flips one bit of a file of the machine, beneath its CRCs. -ERR_META_NOT_FOUND: a hole, nothing is
 * stored there. */
int sim_flip_bit(struct machine *m, const char *path, uint64_t offset_bytes,
                 uint8_t bit) must_check;
uint64_t sim_disk_used_bytes(const struct machine *m);
