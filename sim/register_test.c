/* register_test.c - the tools of the proofs on the smallest server that they fit: registers behind
 * a log.
 *
 * One machine appends each write to a log, syncs it, and answers; clients with short deadlines
 * write and read; the machine crashes, freezes and is cut off. The honest server must be
 * linearizable for every seed, and each of a few planted bugs must be found, or the tools are worth
 * nothing.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "fiber/sync.h"
#include "loop/file.h"
#include "loop/net.h"
#include "loop/sim.h"
#include "sim/linearizability.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { REGISTER_COUNT = 2, CLIENT_COUNT = 8, SEED_COUNT = 40, FAULT_COUNT = 25 };
#define LOG_BYTES GIB

enum bug {
    BUG_NONE,
    BUG_NO_SYNC,       /* answers before the log is durable */
    BUG_SYNC_LIES,     /* of the world: the disk does not do what it says */
    BUG_EARLY_VISIBLE, /* readers see a write before it is durable */
    BUG_NO_CHECKSUM,   /* replays torn records */
    BUG_COUNT
};

struct record {
    uint64_t object;
    uint32_t number, crc;
    uint8_t padding[8000]; /* so that a record can be torn before its value */
    uint64_t value;
};

struct message { /* both ways */
    uint64_t object, value;
    uint32_t is_write, pad;
};

struct world {
    struct sim *sim;
    enum bug bug;
    struct machine *server, *client;
    struct node *server_node, *client_node;
    struct history *history;
    uint64_t last_value, answers;
};

struct server {
    struct world *world;
    struct file *log;
    struct fiber_mutex lock;
    uint32_t record_count;
    uint64_t registers[REGISTER_COUNT];
};

static const struct net_address server_port = { .scheme = NET_TCP, .port = 7000, .host = "server" };

/* ---- the server ---- */

static uint32_t record_crc(const struct record *r)
{
    uint32_t crc = crc32c(0, r, offsetof(struct record, crc));
    return crc32c(crc, r->padding, sizeof *r - offsetof(struct record, padding));
}

static int log_replay(struct server *s)
{
    struct record r;
    for (;; s->record_count++) {
        ssize_t n = file_read(s->log, &r, sizeof r, (uint64_t)s->record_count * sizeof r);
        if (n < 0) return (int)n;
        bool is_good =
            n == (ssize_t)sizeof r && r.number == s->record_count + 1 && r.object < REGISTER_COUNT;
        if (s->world->bug != BUG_NO_CHECKSUM) is_good = is_good && r.crc == record_crc(&r);
        if (!is_good) break;
        s->registers[r.object] = r.value;
    }
    /* What was torn must not come back behind what is written now. */
    int result = file_truncate(s->log, (uint64_t)s->record_count * sizeof r);
    if (result >= 0) result = file_truncate(s->log, LOG_BYTES);
    return result < 0 ? result : file_sync(s->log);
}

static int server_write(struct server *s, const struct message *m)
{
    struct record r = { .object = m->object, .value = m->value, .number = s->record_count + 1 };
    memset(r.padding, (int)m->value, sizeof r.padding);
    r.crc = record_crc(&r);
    if (s->world->bug == BUG_EARLY_VISIBLE) s->registers[m->object] = m->value;
    int result = file_write(s->log, &r, sizeof r, (uint64_t)s->record_count * sizeof r);
    if (result >= 0 && s->world->bug != BUG_NO_SYNC) result = file_sync(s->log);
    if (result < 0) return result;
    s->record_count++;
    s->registers[m->object] = m->value;
    return 0;
}

static int server_handle(struct server *s, struct message *m)
{
    if (m->object >= REGISTER_COUNT) return -ERR_INVALID_ARG;
    if (!m->is_write) {
        m->value = s->registers[m->object];
        return 0;
    }
    int r = fiber_mutex_lock(&s->lock);
    if (r < 0) return r;
    r = server_write(s, m);
    fiber_mutex_unlock(&s->lock);
    return r;
}

struct connection {
    struct server *server;
    struct stream *stream;
};

static int connection_main(void *arg)
{
    struct connection *c = arg;
    struct message m;
    int r = 0;
    while (r >= 0) {
        r = stream_read_full(c->stream, &m, sizeof m);
        if (r >= 0) r = server_handle(c->server, &m);
        if (r >= 0) r = stream_writev(c->stream, &(struct iovec){ &m, sizeof m }, 1);
    }
    stream_close(c->stream);
    free(c);
    return 0;
}

static int server_main(void *arg)
{
    struct server s = { .world = arg };
    struct node *node = s.world->server_node;
    struct listener *l cleanup_(listener_closep) = NULL;
    fiber_mutex_init(&s.lock);
    int r = file_open(node, "/log", O_RDWR | O_CREAT, 0644, &s.log);
    if (r < 0) return r;
    struct scope connections;
    scope_init(&connections, NULL);
    r = dir_sync(node, "/");
    if (r >= 0) r = log_replay(&s);
    if (r >= 0) r = net_listen(node, &server_port, &l);
    while (r >= 0) {
        struct connection *c = new_zero(struct connection);
        c->server = &s;
        r = listener_accept(l, &c->stream);
        if (r < 0) {
            free(c);
        } else if (fiber_spawn(&connections, "connection", connection_main, c) < 0) {
            stream_close(c->stream);
            free(c);
        }
    }
    scope_done(&connections);
    file_close(s.log);
    return r;
}

static void server_start(struct world *w)
{
    w->server_node = node_new(sim_loop(w->sim), w->server, "server");
    check(fiber_spawn(&w->server_node->scope, "server", server_main, w) == 0);
}

/* ---- clients ---- */

static int client_once(struct world *w, struct stream **stream, uint32_t client)
{
    bool is_write = node_random_below(w->client_node, 2);
    struct message m = { .object = node_random_below(w->client_node, REGISTER_COUNT),
                         .is_write = is_write };
    if (is_write) m.value = ++w->last_value;
    FIBER_TIMEOUT(300 * MSEC);
    int r = *stream ? 0 : net_connect(w->client_node, &server_port, stream);
    if (r < 0) return r; /* not begun */
    size_t op = history_invoke(w->history, sim_now_ns(w->sim), client, m.object,
                               is_write ? HISTORY_WRITE : HISTORY_READ, m.value);
    r = stream_writev(*stream, &(struct iovec){ &m, sizeof m }, 1);
    if (r >= 0) r = stream_read_full(*stream, &m, sizeof m);
    if (r < 0) return r; /* unknown */
    history_complete(w->history, sim_now_ns(w->sim), op, m.value);
    w->answers++;
    return 0;
}

static int client_main(void *arg)
{
    struct world *w = arg;
    uint32_t client = (uint32_t)node_random_below(w->client_node, 1000000);
    struct stream *stream = NULL;
    while (!fiber_is_cancelled()) {
        if (client_once(w, &stream, client) < 0) stream = stream_close(stream);
        if (fiber_sleep(node_random_below(w->client_node, 4 * MSEC)) < 0) break;
    }
    stream_close(stream);
    return 0;
}

/* ---- the world ---- */

static void fault(struct world *w)
{
    switch (sim_random_below(w->sim, 4)) {
    case 0: sim_cut(w->server, w->client); break;
    case 1: sim_heal_all(w->sim); break;
    case 2:
        sim_freeze(w->server);
        check(fiber_sleep(sim_random_below(w->sim, 1 * SEC)) == 0);
        sim_thaw(w->server);
        break;
    default:
        sim_crash(w->server);
        node_stop(w->server_node);
        node_free(w->server_node);
        sim_restart(w->server);
        server_start(w);
        break;
    }
}

static int world_main(void *arg)
{
    struct world *w = arg;
    server_start(w);
    for (int i = 0; i < CLIENT_COUNT; i++)
        check(fiber_spawn(&w->client_node->scope, "client", client_main, w) == 0);
    for (int i = 0; i < FAULT_COUNT; i++) {
        check(fiber_sleep(sim_random_below(w->sim, 200 * MSEC)) == 0);
        fault(w);
    }
    sim_heal_all(w->sim);
    check(fiber_sleep(4 * SEC) == 0);
    node_stop(w->client_node);
    node_stop(w->server_node);
    w->client_node = node_free(w->client_node);
    w->server_node = node_free(w->server_node);
    return 0;
}

static int run(uint64_t seed, enum bug bug, uint64_t *answers)
{
    struct sim_options options = sim_options_default(seed);
    options.disk.is_honest = bug != BUG_SYNC_LIES;
    struct world w = { .sim = sim_new(&options), .bug = bug, .history = history_new() };
    char why[300];
    w.server = sim_machine_new(w.sim, "server");
    w.client = sim_machine_new(w.sim, "client");
    w.client_node = node_new(sim_loop(w.sim), w.client, "client");
    int r = sim_run(w.sim, world_main, &w, 1000 * SEC);
    assert_int_equal(r, 0);
    r = history_check(w.history, why, sizeof why);
    if (r < 0 && bug == BUG_NONE) print_message("seed %llu: %s\n", (unsigned long long)seed, why);
    *answers += w.answers;
    history_free(w.history);
    sim_free(w.sim);
    return r;
}

static void the_server_is_linearizable(void **state)
{
    uint64_t answers = 0;
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++)
        assert_int_equal(run(seed, BUG_NONE, &answers), 0);
    print_message("%llu answers\n", (unsigned long long)answers);
    assert_true(answers > 1000 * SEED_COUNT);
}

static void every_planted_bug_is_found(void **state)
{
    for (int bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        uint64_t found = 0, answers = 0;
        for (uint64_t seed = 1; seed <= SEED_COUNT && !found; seed++) {
            int r = run(seed, (enum bug)bug, &answers);
            assert_true(r == 0 || r == -ERR_FOUND_BUG);
            if (r < 0) found = seed;
        }
        print_message("bug %d: found with seed %llu\n", bug, (unsigned long long)found);
        assert_true(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_is_linearizable),
        cmocka_unit_test(every_planted_bug_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
