/* cmd_top.c - `top`: what every service does now, from the counters that it answers with.
 *
 * Two looks at all counters, an interval apart; everything shown is the difference. A service that
 * was started in between, or does not answer, has no figures. Busy is how long the handlers of its
 * calls ran, waits included; calls that wait by design (the watch of the routing) do not count.
 */
#include "admin/commands.h"

#include "client/names.h"
#include "loop/loop.h"
#include "proto/core.h"
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#define LOOK_NS         (2 * SEC)
#define INTERVAL_MS_MAX 3600000u
enum { INTERVAL_MS_DEFAULT = 1000, NAME_BYTES = 96 };

static const struct argument_spec top_spec[] = {
    { "--interval", "-i", ARG_U32, false, "milliseconds between two looks; default 1000" },
    { "--once", NULL, ARG_FLAG, false, "one interval, then end; so it is without a terminal" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct look {
    struct admin *a;
    uint32_t node_id;
    uint8_t type;
    struct arena arena;
    struct metric_list metrics; /* in order of name */
    uint64_t at_ns;
    int result;
};

struct looks {
    struct look *items;
    uint32_t count;
};

/* What a service did between two looks. */
struct figures {
    double seconds;
    uint64_t call_count, error_count, busy_ns, read_bytes, written_bytes, resync_bytes;
    uint64_t top_busy_ns;
    char top_name[NAME_BYTES]; /* the call that took the most time; "": none */
};

/* ---- looking ---- */

static int look_run(void *arg)
{
    struct look *l = arg;
    struct admin *a = l->a;
    struct empty_record none = { 0 };
    struct core_metrics_reply reply = { 0 };
    struct rpc_options options = { .arena = &l->arena, .timeout_ns = LOOK_NS };
    struct net_address address;
    l->result = routing_address(admin_routing(a), l->node_id, &address);
    if (l->result < 0) return 0;
    struct rpc_target target = { mgmtd_client_pool(a->mgmtd), &address, RPC_CONTROL };
    l->result = core_get_metrics(target, &options, &none, &reply);
    l->metrics = reply.metrics;
    l->at_ns = node_now_ns(a->node);
    return 0;
}

static int compare_looks(const void *x, const void *y)
{
    const struct look *a = x, *b = y;
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    return (a->node_id > b->node_id) - (a->node_id < b->node_id);
}

static void looks_done(struct looks *looks)
{
    for (uint32_t i = 0; i < looks->count; i++)
        arena_done(&looks->items[i].arena);
    free(looks->items);
    *looks = (struct looks){ 0 };
}

/* All servers that the routing has, those that are disabled left out. */
static int look_at_all(struct admin *a, struct looks *ret)
{
    struct routing *routing = admin_routing(a);
    const struct node_info *node;
    size_t at = 0;
    *ret = (struct looks){ xcalloc(routing->nodes.count + 1, sizeof *ret->items), 0 };
    while ((node = map_next(&routing->nodes, &at)))
        if (node->status != NODE_DISABLED)
            ret->items[ret->count++] =
                (struct look){ .a = a, .node_id = node->node_id, .type = node->type };
    qsort(ret->items, ret->count, sizeof *ret->items, compare_looks);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, sched_current());
    scope.local = a->node;
    for (uint32_t i = 0; i < ret->count; i++) {
        int r = fiber_spawn(&scope, "look", look_run, &ret->items[i]);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

/* ---- what changed ---- */

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size >= end_size && !strcmp(name + size - end_size, end);
}

static bool is_wait(const char *name)
{
    return !strncmp(name, "rpc.mgmtd.get_routing.", strlen("rpc.mgmtd.get_routing."));
}

/* A counter "rpc.SERVICE.CALL.calls", .errors or .busy_ns that grew by @grown. */
static void add_call(struct figures *f, const char *name, uint64_t grown)
{
    if (is_wait(name)) return;
    if (ends_with(name, ".calls")) f->call_count += grown;
    if (ends_with(name, ".errors")) f->error_count += grown;
    if (!ends_with(name, ".busy_ns")) return;
    f->busy_ns += grown;
    if (grown <= f->top_busy_ns) return;
    f->top_busy_ns = grown;
    snprintf(f->top_name, sizeof f->top_name, "%.*s",
             (int)(strlen(name) - strlen("rpc.") - strlen(".busy_ns")), name + strlen("rpc."));
}

static void add_counter(struct figures *f, const char *name, uint64_t grown)
{
    if (!strncmp(name, "rpc.", 4)) add_call(f, name, grown);
    if (!strcmp(name, "storage.read_bytes")) f->read_bytes = grown;
    if (!strcmp(name, "storage.written_bytes")) f->written_bytes = grown;
    if (!strcmp(name, "storage.resync_bytes")) f->resync_bytes = grown;
}

/* False when there is nothing to compare: it does not answer, or began anew. */
static bool figures_make(const struct look *before, const struct look *after, struct figures *ret)
{
    *ret = (struct figures){ 0 };
    if (before->result < 0 || after->result < 0 || after->at_ns <= before->at_ns) return false;
    ret->seconds = (double)(after->at_ns - before->at_ns) / SEC;
    uint32_t b = 0;
    for (uint32_t i = 0; i < after->metrics.count; i++) {
        const struct metric *m = &after->metrics.items[i];
        char name[NAME_BYTES];
        while (b < before->metrics.count &&
               bytes_compare(before->metrics.items[b].name, m->name) < 0)
            b++;
        bool is_held =
            b < before->metrics.count && bytes_equal(before->metrics.items[b].name, m->name);
        uint64_t was = is_held ? before->metrics.items[b].value : 0;
        if (m->value < was) return false;
        snprintf(name, sizeof name, "%.*s", (int)m->name.size, (const char *)m->name.base);
        add_counter(ret, name, m->value - was);
    }
    return true;
}

static const struct look *look_find(const struct looks *looks, uint32_t node_id)
{
    for (uint32_t i = 0; i < looks->count; i++)
        if (looks->items[i].node_id == node_id) return &looks->items[i];
    return NULL;
}

/* ---- showing ---- */

static void rate_cell(struct admin *a, struct print_table *t, uint64_t bytes, double seconds)
{
    char text[32];
    uint64_t rate = (uint64_t)((double)bytes / seconds);
    if (a->printer.is_json)
        table_cell(t, "%llu", (unsigned long long)rate);
    else
        table_cell(t, "%s", bytes_to_text(rate, text, sizeof text));
}

static void node_row(struct admin *a, struct print_table *t, const struct look *before,
                     const struct look *after)
{
    struct figures f;
    table_cell(t, "%u", after->node_id);
    table_cell(t, "%s", node_type_name(after->type));
    if (!before || !figures_make(before, after, &f)) {
        for (int i = 0; i < 6; i++)
            table_cell(t, "-");
        table_cell(t, "%s", after->result < 0 ? error_sentence(after->result) : "started anew");
        return;
    }
    double ms = f.call_count ? (double)f.busy_ns / MSEC / (double)f.call_count : 0;
    table_cell(t, "%.0f", (double)f.call_count / f.seconds);
    table_cell(t, "%.0f", (double)f.error_count / f.seconds);
    table_cell(t, "%.2f", ms);
    rate_cell(a, t, f.read_bytes, f.seconds);
    rate_cell(a, t, f.written_bytes, f.seconds);
    rate_cell(a, t, f.resync_bytes, f.seconds);
    table_cell(t, "%s", f.top_name);
}

static void print_figures(struct admin *a, const struct looks *before, const struct looks *after)
{
    static const char *const headers[] = { "Id",     "Type",      "Calls/s",  "Errors/s",  "CallMs",
                                           "Read/s", "Written/s", "Resync/s", "MostTimeIn" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < after->count; i++)
        node_row(a, &t, look_find(before, after->items[i].node_id), &after->items[i]);
    table_end(&t);
    fflush(a->printer.out);
}

static void screen_begin(struct admin *a)
{
    char when[32];
    fprintf(a->printer.out, "\x1b[H\x1b[J%s  %s  q: leave\n\n", a->settings->cluster_id,
            time_to_text(node_wall_ns(a->node), when, sizeof when));
}

/* ---- the screen that goes on ---- */

/* A terminal whose keys come one by one and are not shown. */
struct keys {
    bool is_terminal;
    struct termios before;
};

static void keys_begin(struct keys *k)
{
    *k = (struct keys){ .is_terminal = tcgetattr(STDIN_FILENO, &k->before) == 0 };
    if (!k->is_terminal) return;
    struct termios raw = k->before;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    setvbuf(stdin, NULL, _IONBF, 0);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void keys_end(struct keys *k)
{
    if (k->is_terminal) tcsetattr(STDIN_FILENO, TCSANOW, &k->before);
}

/* Until the interval is over: 0; or a key that leaves was pressed: 1. Other keys look at once. */
static int keys_wait(struct admin *a, const struct keys *k, uint64_t interval_ns)
{
    enum { CONTROL_C = 3, CONTROL_D = 4, ESCAPE = 27 };
    if (!k->is_terminal) return fiber_sleep(interval_ns);
    FIBER_TIMEOUT(interval_ns);
    int r = fd_wait(a->node, STDIN_FILENO, POLLIN);
    if (r < 0) return r == -ERR_TIMEOUT ? 0 : r;
    int key = getc(stdin);
    return key == 'q' || key == 'Q' || key == CONTROL_C || key == CONTROL_D || key == ESCAPE ||
           key == EOF;
}

static int run_screen(struct admin *a, uint64_t interval_ns)
{
    cleanup_(looks_done) struct looks before = { 0 };
    cleanup_(keys_end) struct keys keys;
    keys_begin(&keys);
    int r = look_at_all(a, &before);
    while (r >= 0 && (r = keys_wait(a, &keys, interval_ns)) == 0) {
        cleanup_(looks_done) struct looks after = { 0 };
        r = look_at_all(a, &after);
        if (r < 0) break;
        screen_begin(a);
        print_figures(a, &before, &after);
        struct looks old = before;
        before = after;
        after = old;
    }
    return MIN_OF(r, 0);
}

static int run_top(struct admin *a, const struct arguments *args)
{
    uint64_t interval_ms = argument_number(args, "--interval", INTERVAL_MS_DEFAULT);
    bool is_screen =
        !argument_flag(args, "--once") && !a->printer.is_json && isatty(fileno(a->printer.out));
    if (interval_ms == 0 || interval_ms > INTERVAL_MS_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "--interval must be from 1 to %u ms, not %llu",
                          INTERVAL_MS_MAX, (unsigned long long)interval_ms);
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    if (is_screen) return run_screen(a, interval_ms * MSEC);
    cleanup_(looks_done) struct looks before = { 0 };
    cleanup_(looks_done) struct looks after = { 0 };
    r = look_at_all(a, &before);
    if (r >= 0) r = fiber_sleep(interval_ms * MSEC);
    if (r >= 0) r = look_at_all(a, &after);
    if (r >= 0) print_figures(a, &before, &after);
    return MIN_OF(r, 0);
}

const struct command_spec top_commands[] = {
    { "top", run_top, top_spec,
      "Shows what every service does now: calls, errors, how long a call takes, bytes read, "
      "written "
      "and resynced.\n"
      "On a terminal it goes on until q is pressed; otherwise it shows one interval.\n"
      "  top\n  top --once --interval 5000\n  top --json" },
    { NULL, NULL, NULL, NULL },
};
