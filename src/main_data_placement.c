/* main_data_placement.c - data_placement: how the replicas of chains are laid over disks.
 *
 * The flags, the name of the result's directory and the line that names it are those of 3FS's tool
 * of that name; the solver is ours (src/placement), so that flags of its solver have no effect.
 */
#include "main_placement.h"

#include "main_tool.h"
#include "placement/incidence.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char tool[] = "data_placement";

static const struct argument_spec spec[] = {
    { "--chain_table_type", "-type", ARG_TEXT, false, "CR (replicas) or EC (stripes); needed" },
    { "--num_nodes", "-v", ARG_U32, false, "nodes; needed" },
    { "--num_targets_per_disk", "-r", ARG_U32, false, "chosen if absent" },
    { "--min_targets_per_disk", "-min_r", ARG_U32, false, "the least to choose; 1" },
    { "--replication_factor", "-k,--group_size", ARG_U32, false, "disks of a group; 3" },
    { "--num_groups", "-b", ARG_U32, false, "follows from the others; checked if given with -r" },
    { "--relax_lb", "-lb", ARG_U32, false, "how far pairs may stay below the mean; 1" },
    { "--relax_ub", "-ub", ARG_U32, false, "how far pairs may go above it; 0" },
    { "--auto_relax", "-relax", ARG_FLAG, false, "widen these two when there is no such design" },
    { "--bibd_only", "-bibd", ARG_FLAG, false, "only a design where all pairs meet equally often" },
    { "--output_path", "-o", ARG_TEXT, false, "output" },
    { "--existing_incidence_matrix", "-m", ARG_TEXT, false,
      "a matrix for fewer nodes: move as little of it as can be" },
    { "--verify", NULL, ARG_TEXT, false, "check this matrix and say how balanced it is" },
    { "--seed", NULL, ARG_U64, false, "another one gives another design; 1" },
    { "--verbose", "-V", ARG_FLAG, false, "show the search's progress line by line" },
    { "--qlinearize", "-ql", ARG_FLAG, false, "accepted, without effect" },
    { "--pyomo_solver", "-pyomo", ARG_TEXT, false, "accepted, without effect" },
    { "--solver_threads", "-j", ARG_U32, false, "accepted, without effect" },
    { "--init_timelimit", "-t", ARG_U32, false, "accepted, without effect" },
    { "--max_timelimit", "-T", ARG_U32, false, "accepted, without effect" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct placement_task {
    bool is_ec;
    uint32_t v, k, r, lambda, lb, ub;
    uint32_t moved; /* replicas, when there was a matrix */
    bool is_extension;
};

/* ---- progress ---- */

struct display {
    bool is_terminal, is_verbose;
};

static void tell(void *arg, uint64_t done, uint64_t total, uint32_t least, uint32_t most)
{
    const struct display *d = arg;
    if (!d->is_verbose && !d->is_terminal) return;
    fprintf(stderr, "%ssearching: %3u %%, pairs meet %u to %u times%s",
            d->is_verbose ? "" : "\r\033[K", (unsigned)(done * 100 / total), least, most,
            d->is_verbose ? "\n" : "");
    if (!d->is_verbose && done == total) fputs("\r\033[K", stderr);
}

/* ---- sizes ---- */

/* The first number of targets that divides evenly and lets every pair meet; else the largest that
 * divides evenly. 0: none does. */
static uint32_t choose_targets(uint32_t v, uint32_t k, uint32_t least, bool is_bibd)
{
    uint32_t largest = 0;
    for (uint32_t r = MAX_OF(least, is_bibd ? k : 1u); r <= DESIGN_TARGETS_PER_DISK_MAX; r++) {
        if (v * r % k) continue;
        largest = r;
        bool is_exact = v > 1 && r * (k - 1) % (v - 1) == 0;
        if (r * (k - 1) >= v - 1 && (!is_bibd || is_exact)) return r;
    }
    return is_bibd ? 0 : largest;
}

static int choose_sizes(struct placement_task *t, const struct arguments *args)
{
    const char *type = argument_text(args, "--chain_table_type", "");
    t->is_ec = strcmp(type, "EC") == 0;
    if (!t->is_ec && strcmp(type, "CR") != 0)
        return tool_fail(tool, "--chain_table_type must be CR or EC, not '%s'", type);
    t->v = (uint32_t)argument_number(args, "--num_nodes", 0);
    t->k = (uint32_t)argument_number(args, "--replication_factor", 3);
    if (t->v < 1 || t->v > DESIGN_NODE_COUNT_MAX)
        return tool_fail(tool, "--num_nodes must be from 1 to %d", DESIGN_NODE_COUNT_MAX);
    if (t->k < 1 || t->k > DESIGN_GROUP_SIZE_MAX)
        return tool_fail(tool, "--replication_factor must be from 1 to %d", DESIGN_GROUP_SIZE_MAX);
    if (t->k > t->v) {
        fprintf(stderr,
                "%s: warning: %u node%s can keep %u replica%s of data, not %u: what is lost "
                "with a node is lost%s\n",
                tool, t->v, t->v == 1 ? "" : "s", t->v, t->v == 1 ? "" : "s", t->k,
                t->v == 1 ? "" : " when both are");
        t->k = t->v;
    }
    bool is_bibd = argument_flag(args, "--bibd_only");
    t->r = (uint32_t)argument_number(args, "--num_targets_per_disk", 0);
    if (argument(args, "--num_targets_per_disk")->is_set) {
        if (!design_is_possible(t->v, t->k, t->r))
            return tool_fail(tool, "--num_targets_per_disk must be from 1 to %d",
                             DESIGN_TARGETS_PER_DISK_MAX);
        if (t->v * t->r % t->k)
            fprintf(stderr,
                    "%s: warning: %u x %u targets do not make groups of %u: %u stay unused\n", tool,
                    t->v, t->r, t->k, t->v * t->r % t->k);
    } else {
        uint32_t least = (uint32_t)argument_number(args, "--min_targets_per_disk", 1);
        t->r = choose_targets(t->v, t->k, least, is_bibd);
        if (!t->r)
            return tool_fail(tool,
                             "no number of targets from %u to %d divides %u nodes into "
                             "groups of %u%s",
                             least, DESIGN_TARGETS_PER_DISK_MAX, t->v, t->k,
                             is_bibd ? " with all pairs meeting equally often" : "");
        if (t->v > 1 && t->r * (t->k - 1) < t->v - 1)
            fprintf(stderr,
                    "%s: a disk has at most %d targets, too few to meet all %u others: "
                    "%u are taken, and some pairs never meet\n",
                    tool, DESIGN_TARGETS_PER_DISK_MAX, t->v - 1, t->r);
    }
    uint32_t groups = t->v * t->r / t->k;
    if (argument(args, "--num_groups")->is_set &&
        argument_number(args, "--num_groups", 0) != groups)
        return tool_fail(tool,
                         "--num_groups: %u nodes with %u targets in groups of %u make %u "
                         "groups",
                         t->v, t->r, t->k, groups);
    uint32_t factor = t->is_ec ? t->k - 1 : 1;
    t->lambda = t->v > 1 ? (t->r * factor + t->v - 2) / (t->v - 1) : 0;
    t->lb = (uint32_t)argument_number(args, "--relax_lb", 1);
    t->ub = (uint32_t)argument_number(args, "--relax_ub", 0);
    return 0;
}

/* ---- the result ---- */

static bool is_within(const struct placement_task *t, const struct design_balance *b)
{
    bool is_even = t->v * t->r % t->k == 0;
    return b->most <= t->lambda + t->ub && (!is_even || b->least + t->lb >= t->lambda);
}

/* The two bounds grow in turn, the upper first, until the design keeps them. */
static int check_balance(struct placement_task *t, const struct arguments *args,
                         const struct design_balance *b)
{
    uint32_t lb = t->lb, ub = t->ub;
    if (argument_flag(args, "--bibd_only") && b->least != b->most)
        return tool_fail(tool,
                         "no design was found in which all pairs meet equally often: they "
                         "meet %u to %u times",
                         b->least, b->most);
    for (uint32_t i = 0; !is_within(t, b); i++) {
        if (!argument_flag(args, "--auto_relax"))
            return tool_fail(tool,
                             "pairs meet %u to %u times, outside of %u - lb %u to %u + ub %u; "
                             "-relax widens the bounds",
                             b->least, b->most, t->lambda, lb, t->lambda, ub);
        t->lb = lb + (i + 1) / 2;
        t->ub = ub + (i + 2) / 2;
    }
    return 0;
}

static void print_balance(const struct design_balance *b)
{
    printf("pairs meet %u to %u times; counting allows no better than %u to %u%s%s\n", b->least,
           b->most, b->least_bound, b->most_bound, b->excluded ? ", and no design has that: " : "",
           b->excluded ? b->excluded : "");
}

/* Of a failed disk, how many targets' worth each other disk reads. */
static char *traffic_text(const struct placement_task *t, const struct design *d,
                          struct arena *arena)
{
    enum { LINE_BYTES_MAX = 40 };
    size_t v = d->node_count, capacity = v * v * LINE_BYTES_MAX + 64, n = 0;
    uint32_t *met = arena_array(arena, uint32_t, v * v);
    char *text = arena_alloc(arena, capacity);
    for (uint32_t g = 0; g < d->group_count; g++) {
        const uint32_t *group = d->members + (size_t)g * d->group_size;
        for (uint32_t i = 0; i < d->group_size; i++)
            for (uint32_t j = 0; j < d->group_size; j++)
                met[group[i] * v + group[j]]++;
    }
    double factor = t->k < 2 ? 0 : t->is_ec ? 1 : 1.0 / (t->k - 1);
    n += (size_t)snprintf(text, capacity, "Disk,Peer,Traffic\n");
    for (uint32_t x = 0; x < v; x++)
        for (uint32_t y = 0; y < v; y++)
            if (x != y)
                n += (size_t)snprintf(text + n, capacity - n, "%u,%u,%g\n", x + 1, y + 1,
                                      met[x * v + y] * factor);
    return text;
}

static int save(struct arena *arena, const struct placement_task *t, const struct arguments *args,
                const struct design *d, const struct design_balance *b)
{
    const char *dir = arena_printf(arena, "%s/%s-v_%u-b_%u-r_%u-k_%u-λ_%u-lb_%u-ub_%u",
                                   argument_text(args, "--output_path", "output"),
                                   t->is_extension ? "RebalanceTrafficModel" : "DataPlacementModel",
                                   t->v, d->group_count, t->r, t->k, t->lambda, t->lb, t->ub);
    const char *comment = arena_printf(
        arena, "every pair of disks is in %u to %u groups; no design has less than %u to %u",
        b->least, b->most, b->least_bound, b->most_bound);
    int r = tool_write(arena, tool, dir, "incidence_matrix.pickle",
                       incidence_to_text(d, comment, arena));
    if (!r) r = tool_write(arena, tool, dir, "peer_traffic_map.csv", traffic_text(t, d, arena));
    if (r) return r;
    printf("nodes %u, groups %u, targets per disk %u, group size %u\n", t->v, d->group_count, t->r,
           t->k);
    print_balance(b);
    if (t->is_extension) printf("replicas that move: %u\n", t->moved);
    printf("saved solution to: %s\n", dir);
    return 0;
}

static int read_matrix(struct arena *arena, const char *path, struct design *ret)
{
    struct bytes text;
    const char *error = NULL;
    int r = tool_read(arena, tool, path, &text);
    if (!r && incidence_parse(arena, text, ret, &error) < 0)
        r = tool_fail(tool, "%s: %s", path, error);
    return r;
}

static int verify(struct arena *arena, const char *path)
{
    struct design d;
    int r = read_matrix(arena, path, &d);
    if (r) return r;
    design_sort_groups(&d);
    const char *wrong = design_verify(&d, arena);
    if (wrong) return tool_fail(tool, "%s: %s", path, wrong);
    struct design_balance b = design_balance(&d);
    uint32_t *heads = design_heads(&d, arena), *counts = arena_array(arena, uint32_t, d.node_count);
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t g = 0; g < d.group_count; g++)
        counts[d.members[(size_t)g * d.group_size + heads[g]]]++;
    for (uint32_t x = 0; x < d.node_count; x++) {
        least = MIN_OF(least, counts[x]);
        most = MAX_OF(most, counts[x]);
    }
    printf("disks %u, groups %u, size %u: every disk in %u groups, head of %u to %u\n",
           d.node_count, d.group_count, d.group_size, d.targets_per_disk, least, most);
    print_balance(&b);
    return 0;
}

static int solve(struct arena *arena, const struct arguments *args)
{
    struct placement_task t = { 0 };
    struct design d, before;
    struct display display = { .is_terminal = isatty(STDERR_FILENO),
                               .is_verbose = argument_flag(args, "--verbose") };
    struct design_progress progress = { tell, &display };
    uint64_t seed = argument_number(args, "--seed", 1);
    const char *existing = argument_text(args, "--existing_incidence_matrix", NULL);
    int r = choose_sizes(&t, args);
    if (!r && existing) r = read_matrix(arena, existing, &before);
    if (r) return r;
    if (existing) {
        t.is_extension = true;
        if (before.group_size != t.k)
            return tool_fail(tool, "%s has groups of %u, not %u", existing, before.group_size, t.k);
        if (design_extend(arena, &before, t.v, t.r, seed, &progress, &d, &t.moved) < 0)
            return tool_fail(tool,
                             "%s (%u disks, %u groups) cannot grow to %u disks with %u "
                             "targets each",
                             existing, before.node_count, before.group_count, t.v, t.r);
    } else {
        design_make(arena, t.v, t.k, t.r, seed, &progress, &d);
    }
    const char *wrong = design_verify(&d, arena);
    if (wrong) return tool_fail(tool, "%s", wrong);
    struct design_balance b = design_balance(&d);
    r = check_balance(&t, args, &b);
    return r ? r : save(arena, &t, args, &d, &b);
}

int data_placement_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(
        &arena, tool, "data_placement - which disks hold the replicas of which group of targets",
        "examples:\n  data_placement -type CR -v 5 -k 3 -min_r 6 -relax\n"
        "  data_placement -type CR -v 10 -k 3 -m "
        "output/DataPlacementModel-.../incidence_matrix.pickle"
        " -relax\n  data_placement --verify "
        "output/DataPlacementModel-.../incidence_matrix.pickle\n",
        spec, argc, argv, &args);
    if (r >= 0) return r;
    const char *verified = argument_text(&args, "--verify", NULL);
    return verified ? verify(&arena, verified) : solve(&arena, &args);
}
