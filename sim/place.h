/* place.h - where the processes of a test live, so that one test source runs on all of them: as
 * machines of the simulator, or as processes of this host, each on a real back end of the loop.
 *
 * In the simulator an end is a power cut: what the disk had not synced is lost or torn. Real
 * processes get kill -9; what they wrote stays in the kernel. They listen on 127.0.0.1 at ports
 * that the kernel picks, keep their files in a temporary directory, and end with the test.
 * A test program that uses real processes gives its arguments to place_child_main() first: it is
 * started again for each of them.
 */
#pragma once
#include "loop/loop.h"
#include "loop/sim.h"
#include "sim/role.h"

enum ending {
    ENDING_STOP,  /* SIGTERM: it may clean up */
    ENDING_KILL,  /* kill -9 */
    ENDING_POWER, /* the machine's power; on a real back end the same as the above */
};

struct place;
struct process {
    struct place *place;
    struct role role;
    char name[32];
    bool is_up; /* started, and not ended by the test */
    uint32_t start_count;
    /* In the simulator. */
    struct machine *machine;
    struct node *node; /* NULL: not up */
    struct scope main;
    bool is_running; /* role_run() has not returned */
    int result;      /* of it */
    /* On a real back end. */
    int pid;
};

struct place {
    enum loop_backend backend; /* LOOP_AUTO: the simulator */
    struct loop *loop;
    struct sim *sim;                    /* NULL on a real back end */
    struct kv_mem_store *store;         /* simulator: the records of the cluster managers */
    char dir[64];                       /* real: of all files */
    struct node *node;                  /* real: of the test itself */
    void (*prepare)(struct process *p); /* simulator: the node was made; may be NULL */
    void (*ended)(struct process *p);   /* simulator: the node is about to go; may be NULL */
    void *arg;
};

/* ---- both ---- */

uint64_t place_now_ns(const struct place *p);
/* A node of the test's own process (in the simulator on @machine), for a client. */
struct node *place_node_new(struct place *p, struct machine *machine, const char *name);
/* Describes a process that is not started yet; its role's listen and dir are filled in. */
void process_init(struct process *p, struct place *place, enum role_kind kind, uint32_t node_id);
/* A manager that has returned from this has an address in role.listen. */
int process_start(struct process *p) fiber_fn must_check;
/* Returns when it has ended. An error: it did not end as it should. */
int process_end(struct process *p, enum ending how) fiber_fn must_check;
/* Has it ended without being told to? */
bool process_has_failed(struct process *p);

/* ---- the simulator ---- */

int place_sim_run(struct place *p, const struct sim_options *options, int (*main_fn)(void *arg),
                  void *arg, uint64_t limit_ns) must_check;
/* After place_sim_run(), when nobody looks at the world any more. */
void place_sim_done(struct place *p);

/* ---- a real back end ---- */

/* Runs main_fn(arg) on the loop of this process. -ERR_SYSTEM codes of the probe when the back end
 * is not allowed here. The directory stays, and is named, when main_fn fails. */
int place_real_run(struct place *p, enum loop_backend backend, int (*main_fn)(void *arg),
                   void *arg) must_check;
/* -1: these are not the arguments of a child. Else its exit status. */
int place_child_main(int argc, char **argv);
