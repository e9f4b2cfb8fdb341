/* cmd_events.c - `events`: what happened in the cluster, as its managers recorded it. */
#include "admin/commands.h"

#include "client/names.h"
#include <strings.h>

#define FOLLOW_NS (500 * MSEC)
enum { COUNT_DEFAULT = 50 };

static const struct argument_spec events_spec[] = {
    { "--count", "-c", ARG_U32, false, "the latest so many that fit, 1 to 1000; default 50" },
    { "--node-id", "-n", ARG_U32, false, "only those of a node" },
    { "--chain-id", NULL, ARG_U32, false, "only those of a chain" },
    { "--kind", "-k", ARG_TEXT, false, "only MANAGER, NODE, CHAIN, TABLE or CONFIG" },
    { "--follow", "-f", ARG_FLAG, false, "goes on with what comes, until it is interrupted" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct filter {
    uint32_t node_id, chain_id; /* 0: all */
    int kind;                   /* -1: all */
};

static int filter_make(struct admin *a, const struct arguments *args, struct filter *ret)
{
    const char *kind = argument_text(args, "--kind", NULL);
    *ret = (struct filter){ (uint32_t)argument_number(args, "--node-id", 0),
                            (uint32_t)argument_number(args, "--chain-id", 0), -1 };
    for (uint8_t k = 0; kind && k < EVENT_KIND_MAX; k++)
        if (!strcasecmp(event_kind_name(k), kind)) ret->kind = k;
    if (kind && ret->kind < 0)
        return admin_fail(a, -ERR_INVALID_ARG,
                          "--kind: '%s' is none of MANAGER, NODE, CHAIN, TABLE, CONFIG", kind);
    return 0;
}

static bool fits(const struct filter *f, const struct cluster_event *e)
{
    return (!f->node_id || f->node_id == e->node_id) &&
           (!f->chain_id || f->chain_id == e->chain_id) && (f->kind < 0 || f->kind == e->kind);
}

static int fetch(struct admin *a, uint64_t after, uint32_t count, struct cluster_event_list *ret)
{
    struct list_events_request q = { .after = after, .count = count };
    struct list_events_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_events), &q, &rep);
    if (r >= 0) *ret = rep.events;
    return r;
}

static void event_cells(struct print_table *t, const struct cluster_event *e)
{
    char when[32];
    table_cell(t, "%llu", (unsigned long long)e->seq);
    table_cell(t, "%s", time_to_text(e->wall_ns, when, sizeof when));
    table_cell(t, "%s", event_kind_name(e->kind));
    table_cell(t, "%.*s", (int)e->what.size, (const char *)e->what.base);
}

/* The latest @count of @events that fit; the seq of the last of all. */
static uint64_t print_latest(struct admin *a, const struct cluster_event_list *events,
                             const struct filter *f, uint32_t count)
{
    static const char *const headers[] = { "Seq", "Time", "Kind", "Event" };
    uint32_t first = events->count, left = count;
    while (first > 0 && left > 0)
        left -= fits(f, &events->items[--first]);
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = first; i < events->count; i++)
        if (fits(f, &events->items[i])) event_cells(&t, &events->items[i]);
    table_end(&t);
    return events->count ? events->items[events->count - 1].seq : 0;
}

/* With --json a line is an object. */
static void print_one(struct admin *a, const struct cluster_event *e)
{
    struct print_table t;
    char when[32];
    if (a->printer.is_json) {
        block_begin(&t, &a->printer);
        block_row(&t, "Seq", "%llu", (unsigned long long)e->seq);
        block_row(&t, "Time", "%s", time_to_text(e->wall_ns, when, sizeof when));
        block_row(&t, "Kind", "%s", event_kind_name(e->kind));
        block_row(&t, "Event", "%.*s", (int)e->what.size, (const char *)e->what.base);
        table_end(&t);
    } else {
        fprintf(a->printer.out, "%llu  %s  %s  %.*s\n", (unsigned long long)e->seq,
                time_to_text(e->wall_ns, when, sizeof when), event_kind_name(e->kind),
                (int)e->what.size, (const char *)e->what.base);
    }
    fflush(a->printer.out);
}

static int follow(struct admin *a, const struct filter *f, uint64_t last)
{
    for (;;) {
        struct cluster_event_list events = { 0 };
        int r = fiber_sleep(FOLLOW_NS);
        if (r >= 0) r = fetch(a, last, last ? EVENT_LIST_MAX : 1, &events);
        if (r < 0) return r;
        for (uint32_t i = 0; i < events.count; i++) {
            if (fits(f, &events.items[i])) print_one(a, &events.items[i]);
            last = events.items[i].seq;
        }
    }
}

static int run_events(struct admin *a, const struct arguments *args)
{
    struct filter filter;
    struct cluster_event_list events = { 0 };
    uint64_t count = argument_number(args, "--count", COUNT_DEFAULT);
    if (count == 0 || count > EVENT_LIST_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "--count must be from 1 to %d, not %llu",
                          EVENT_LIST_MAX, (unsigned long long)count);
    int r = filter_make(a, args, &filter);
    if (r >= 0) r = fetch(a, 0, EVENT_LIST_MAX, &events);
    if (r < 0) return r;
    uint64_t last = print_latest(a, &events, &filter, (uint32_t)count);
    fflush(a->printer.out);
    return argument_flag(args, "--follow") ? follow(a, &filter, last) : 0;
}

const struct command_spec event_commands[] = {
    { "events", run_events, events_spec,
      "Shows what happened in the cluster: nodes that came and went, chains that changed, who "
      "led.\n"
      "The latest 10000 are kept in the store; filters look at the latest 1000.\n"
      "  events --count 20\n  events --node-id 1003\n  events --kind CHAIN --follow" },
    { NULL, NULL, NULL, NULL },
};
