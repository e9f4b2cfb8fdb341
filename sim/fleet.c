/* fleet.c - a run: build the cluster, let clients work while things break, check, take it down. */
#include "sim/fleet.h"
#include "base/check.h"
#include "cluster/cluster_init.h"
#include "meta/meta.h"
#include "mgmtd/mgmtd.h"
#include "sim/fleet_life.h"
#include <stdarg.h>
#include <stdio.h>

#define FLEET_LIMIT_NS (3600 * SEC)
#define JOIN_LIMIT_NS  (900 * SEC)
#define MAKE_LIMIT_NS  (60 * SEC)

struct fleet_options fleet_options_default(uint64_t seed)
{
    return (struct fleet_options){ .seed = seed,
                                   .client_count = 3,
                                   .ops_per_client = 150,
                                   .op_pause_max_ns = 100 * MSEC,
                                   .shared_percent = 30,
                                   .register_percent = 15,
                                   .fault_gap_ns_max = SEC,
                                   .mutant = -1 };
}

int fleet_fail(struct fleet *f, const char *fmt, ...)
{
    if (f->why[0]) return -ERR_FOUND_BUG;
    int n = snprintf(f->why, sizeof f->why, "%.3f s: ", (double)fleet_now_ns(f) / 1e9);
    va_list va;
    va_start(va, fmt);
    vsnprintf(f->why + n, sizeof f->why - (size_t)n, fmt, va);
    va_end(va);
    return -ERR_FOUND_BUG;
}

uint64_t fleet_now_ns(const struct fleet *f)
{
    return place_now_ns(&f->place);
}

uint64_t fleet_random(struct fleet *f, uint64_t bound)
{
    return sim_random_under(&f->random, bound);
}

/* ---- work ---- */

static int do_steps(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    int r = 0;
    for (uint32_t i = 0; i < f->options.ops_per_client && r == 0 && !f->why[0]; i++) {
        uint64_t dice = fleet_random(f, 100);
        bool is_shared = dice < f->options.shared_percent;
        bool is_register = !is_shared && dice >= 100u - f->options.register_percent;
        r = is_shared     ? fleet_shared_step(c)
            : is_register ? fleet_register_step(c)
                          : fleet_tree_step(c);
        if (is_shared && r == -ERR_CANCELED) f->ledger.is_doubtful = true;
        if (r == 0) r = fiber_sleep(fleet_random(f, f->options.op_pause_max_ns + 1));
    }
    return r < 0 ? r : fleet_tree_end(c);
}

static int begin_shared(struct fleet_client *c, void *arg)
{
    int r = fleet_shared_begin(c);
    return r < 0 ? r : fleet_registers_begin(c);
}

static int client_fiber(void *arg)
{
    struct fleet_client *c = arg;
    int r = fleet_client_join(c);
    if (r >= 0) r = fleet_tree_begin(c);
    if (r >= 0) r = do_steps(c);
    if (r == -ERR_CANCELED) return 0;
    if (r < 0) (void)fleet_fail(c->fleet, "%s: its work ended with %s", c->name, error_name(r));
    c->is_done = true;
    return 0;
}

int fleet_client_work(struct fleet_client *c)
{
    return fiber_spawn(&c->scope, "work", client_fiber, c);
}

static int start_work(struct fleet *f)
{
    int r = fleet_visit(&f->admin, begin_shared, NULL);
    for (uint32_t i = 0; i < f->options.client_count && r >= 0; i++) {
        fleet_client_start(&f->clients[i]);
        r = fleet_client_work(&f->clients[i]);
    }
    return r;
}

static int join_work(struct fleet *f)
{
    uint64_t end_ns = fleet_now_ns(f) + JOIN_LIMIT_NS;
    for (uint32_t i = 0; i < f->options.client_count; i++) {
        while (!f->clients[i].is_done) {
            if (f->why[0]) return -ERR_FOUND_BUG;
            if (fleet_now_ns(f) > end_ns)
                return fleet_fail(f, "client %u does not come to its end", i);
            int r = fiber_sleep(10 * MSEC);
            if (r < 0) return r;
        }
    }
    return 0;
}

/* ---- the run ---- */

static int make_file_system(struct fleet_client *c, void *arg)
{
    struct fleet *f = c->fleet;
    struct user_info owner = { 0 };
    struct layout root = { .table_id = FLEET_TABLE,
                           .chunk_size = FLEET_CHUNK_BYTES,
                           .stripe = FLEET_STRIPE };
    uint8_t key[AUTH_KEY_BYTES];
    struct cluster_identity identity;
    struct cluster_init_options init = { .cluster_id = ROLE_CLUSTER_ID, .key = key };
    int r = auth_cluster_key_parse(ROLE_KEY, key);
    if (r >= 0) r = kv_mem_open(c->node, f->place.store, &f->kv);
    if (r >= 0) r = cluster_init(c->node, f->kv, &init, &identity, NULL);
    return r < 0 ? r : meta_init_file_system(c->node, f->kv, &root, &owner);
}

static int join_admin(struct fleet_client *c, void *arg)
{
    return fleet_client_join(c);
}

static int build(struct fleet *f)
{
    for (uint32_t i = 0; i < FLEET_SERVER_COUNT; i++)
        fleet_start(f, &f->servers[i]);
    fleet_client_start(&f->admin);
    int r = f->why[0] ? -ERR_FOUND_BUG : fleet_visit(&f->admin, make_file_system, NULL);
    if (r >= 0) r = fleet_visit(&f->admin, join_admin, NULL);
    if (r >= 0) r = fleet_visit(&f->admin, fleet_make_chains, NULL);
    if (r >= 0) r = fleet_wait_whole(f, MAKE_LIMIT_NS);
    if (r < 0) return fleet_fail(f, "cannot build the cluster: %s", error_name(r));
    return 0;
}

static int close_kv(struct fleet_client *c, void *arg)
{
    c->fleet->kv = kv_close(c->fleet->kv);
    return 0;
}

static void demolish(struct fleet *f)
{
    FIBER_SHIELD();
    scope_done(&f->watch);
    for (uint32_t i = 0; i < f->options.client_count; i++)
        fleet_client_end(&f->clients[i], false);
    int r = f->kv ? fleet_visit(&f->admin, close_kv, NULL) : 0;
    check(r == 0);
    fleet_client_end(&f->admin, false);
    for (uint32_t i = FLEET_SERVER_COUNT; i-- > 0;) {
        if (f->servers[i].is_up) fleet_end(f, &f->servers[i], ENDING_STOP);
    }
}

static int run_all(struct fleet *f)
{
    int r = fleet_watch_start(f);
    if (r >= 0) r = build(f);
    if (r >= 0) r = start_work(f);
    if (r >= 0) r = fleet_make_trouble(f, fleet_now_ns(f) + f->options.trouble_ns);
    if (r >= 0) r = join_work(f);
    return r >= 0 ? fleet_check(f) : r;
}

static int fleet_main(void *arg)
{
    struct fleet *f = arg;
    int r = run_all(f);
    f->is_over = true;
    f->counts.virtual_ns = fleet_now_ns(f);
    fleet_heal(f);
    demolish(f);
    return f->why[0] ? -ERR_FOUND_BUG : r;
}

static void trace_line(void *arg, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void prepare(struct fleet *f)
{
    static const struct {
        enum role_kind kind;
        uint32_t first_id, count;
    } roles[] = { { ROLE_MGMTD, 1, FLEET_MGMTD_COUNT },
                  { ROLE_META, 101, FLEET_META_COUNT },
                  { ROLE_STORAGE, FLEET_STORAGE_ID, FLEET_STORAGE_COUNT } };
    uint32_t at = 0;
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        for (uint32_t j = 0; j < roles[i].count; j++)
            fleet_process_init(f, &f->servers[at++], roles[i].kind, roles[i].first_id + j);
    }
    for (uint32_t i = 0; i < f->options.client_count; i++)
        fleet_client_init(f, &f->clients[i], i);
    fleet_client_init(f, &f->admin, FLEET_CLIENT_COUNT_MAX);
}

static int prepared_main(void *arg)
{
    prepare(arg);
    return fleet_main(arg);
}

int fleet_run(struct fleet *f, const struct fleet_options *options)
{
    check(options->client_count <= FLEET_CLIENT_COUNT_MAX);
    *f = (struct fleet){ .options = *options };
    f->place = (struct place){ .prepare = fleet_node_prepare, .ended = fleet_node_ended, .arg = f };
    sim_random_init(&f->random, options->seed ^ 0x666c656574); /* not what the simulator draws */
    struct sim_options so = sim_options_default(options->seed);
    if (options->is_tracing) so.trace = trace_line;
    int r = place_sim_run(&f->place, &so, prepared_main, f, FLEET_LIMIT_NS);
    if (r < 0 && !f->why[0])
        snprintf(f->why, sizeof f->why, "the run ended with %s", error_name(r));
    f->trace_hash = sim_trace_hash(f->place.sim);
    f->counts.events = sim_event_count(f->place.sim);
    f->counts.repeats = sim_repeat_count(f->place.sim);
    f->counts.late = sim_late_count(f->place.sim);
    place_sim_done(&f->place);
    fleet_free_parts(f);
    fleet_registers_free(f);
    return f->why[0] ? -ERR_FOUND_BUG : 0;
}
