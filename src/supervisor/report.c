/* report.c - status of the cluster. */
#include "supervisor/report.h"

#include "base/units.h"
#include <stdio.h>

enum { EXIT_NOT_READY = 3 };

static const char *summary(const struct cluster_state *state)
{
    if (state->is_stopping) return "stopping";
    return state->is_ready ? "running" : "starting";
}

static void print_age(uint64_t since_wall_ns, char *buf, size_t size)
{
    uint64_t now = wall_ns(NULL), age = now > since_wall_ns ? now - since_wall_ns : 0;
    duration_to_text(age / SEC * SEC, buf, size);
}

static void print_table(const struct cluster_options *options, const struct cluster_state *state)
{
    printf("c3fs '%s' in %s: %s, supervisor %d", options->settings.cluster_id, options->dir,
           summary(state), (int)state->supervisor.pid);
    if (state->port_base) /* none of its own: of c3fs join */
        printf(", ports %u-%u", state->port_base, state->port_base + PORT_BLOCK_SIZE - 1);
    putchar('\n');
    if (state->trouble[0]) printf("trouble: %s\n", state->trouble);
    printf("%-16s %8s  %-8s %-16s %8s  %s\n", "NAME", "PID", "STATE", "SINCE", "RESTARTS",
           "LAST END");
    for (uint32_t i = 0; i < state->child_count; i++) {
        const struct child_state *c = &state->children[i];
        char age[64];
        print_age(c->since_wall_ns, age, sizeof age);
        printf("%-16s %8d  %-8s %-16s %8u  %s\n", c->name, (int)c->process.pid, c->state, age,
               c->restart_count, c->last_end);
    }
    if (state->mount[0]) printf("mounted at %s\n", state->mount);
    const struct cluster_settings *set = &options->settings;
    const char *host = set->advertise[0] ? set->advertise : set->listen;
    if (strncmp(host, "127.", 4) == 0 || !state->port_base) return;
    printf("for other machines: c3fs join TCP://%s:%u --key-file FILE --disk DIR, with a copy of "
           "%s/cluster.key\n",
           host, state->port_base, options->dir);
}

static const char *quoted(const char *text, struct arena *arena)
{
    struct toml_value value = { .kind = TOML_STRING, .text = bytes_of_text(text) };
    return toml_to_text(arena, &value); /* TOML's escapes are JSON's */
}

static void print_json(const struct cluster_options *options, const struct cluster_state *state,
                       struct arena *arena)
{
    printf("{\"cluster_id\": %s, \"dir\": %s, \"state\": \"%s\", \"supervisor\": %d, "
           "\"port_base\": %u, \"mount\": %s, \"trouble\": %s, \"children\": [",
           quoted(options->settings.cluster_id, arena), quoted(options->dir, arena), summary(state),
           (int)state->supervisor.pid, state->port_base, quoted(state->mount, arena),
           quoted(state->trouble, arena));
    for (uint32_t i = 0; i < state->child_count; i++) {
        const struct child_state *c = &state->children[i];
        printf("%s{\"name\": %s, \"pid\": %d, \"state\": %s, \"restarts\": %u, \"last_end\": %s}",
               i ? ", " : "", quoted(c->name, arena), (int)c->process.pid, quoted(c->state, arena),
               c->restart_count, quoted(c->last_end, arena));
    }
    puts("]}");
}

int report_print(const struct cluster_options *options, bool as_json)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct cluster_state *state = arena_new(&arena, struct cluster_state);
    const char *error = NULL;
    bool is_there = supervisor_find(options->dir, &arena) &&
                    cluster_state_load(options->dir, &arena, state, &error) >= 0;
    if (!is_there && as_json)
        printf("{\"dir\": %s, \"state\": \"down\"}\n", quoted(options->dir, &arena));
    if (!is_there && !as_json) printf("c3fs in %s: down\n", options->dir);
    if (is_there && as_json) print_json(options, state, &arena);
    if (is_there && !as_json) print_table(options, state);
    return is_there && state->is_ready ? 0 : EXIT_NOT_READY;
}
