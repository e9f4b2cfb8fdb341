/* chain_table.c - numbers of targets and chains, and the files that name them. */
#include "placement/chain_table.h"

#include "base/check.h"
#include "base/error.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_ID_MAX = 999999, DISK_COUNT_MAX = 998 };
static const uint64_t TARGET_OF_PREFIX = 100000000000, TARGET_OF_NODE = 100000;
static const uint64_t CHAIN_OF_PREFIX = 100000000, CHAIN_OF_DISK = 100000;

struct text {
    char *base;
    size_t size, capacity;
};

static void add(struct text *t, const char *fmt, ...) printf_(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
    enum { LINE_BYTES_MAX = 4096 };
    if (t->capacity - t->size < LINE_BYTES_MAX) {
        t->capacity = t->capacity * 2 + LINE_BYTES_MAX;
        t->base = xrealloc(t->base, t->capacity);
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->base + t->size, t->capacity - t->size, fmt, args);
    va_end(args);
    check(n >= 0 && n < LINE_BYTES_MAX);
    t->size += (size_t)n;
}

static char *take(struct text *t, struct arena *arena)
{
    char *text = arena_text(arena, bytes_of(t->base, t->size));
    free(t->base);
    return text;
}

struct maker {
    const struct design *d;
    const struct chain_table_options *o;
    const uint32_t *heads;
    uint32_t *slots; /* of each place of the design: which of its disk's targets it is */
    const char *chunk_option;
    struct text create, remove, chains, table;
};

/* ---- bounds ---- */

static int refuse(struct arena *arena, const char **ret_error, const char *text)
{
    *ret_error = arena_printf(arena, "%s", text);
    return -ERR_INVALID_ARG;
}

static int check_numbers(struct arena *arena, const struct design *d,
                         const struct chain_table_options *o, const char **ret_error)
{
    uint64_t last_target = (o->target_id_prefix + 1) * TARGET_OF_PREFIX;
    uint64_t chains = (uint64_t)d->group_count * (o->is_ec ? d->group_size : 1);
    uint64_t last_chain =
        o->chain_id_prefix * CHAIN_OF_PREFIX + o->disks_per_node * CHAIN_OF_DISK + chains;
    if (o->target_id_prefix < 1 || o->target_id_prefix > 99999999 || last_target > INT64_MAX)
        return refuse(arena, ret_error, "--target_id_prefix must be from 1 to 92233718");
    if (chains > DESIGN_GROUP_COUNT_MAX)
        return refuse(arena, ret_error,
                      arena_printf(arena,
                                   "%" PRIu64 " chains on each disk index are more than "
                                   "their five digits can tell apart",
                                   chains));
    if (o->chain_id_prefix < 1 || o->chain_id_prefix > 42 || last_chain > UINT32_MAX)
        return refuse(arena, ret_error,
                      "--chain_id_prefix: chain numbers must fit 32 bits: it must be from 1 to 42, "
                      "less with many disks");
    return 0;
}

static int check_options(struct arena *arena, const struct design *d,
                         const struct chain_table_options *o, const char **ret_error)
{
    if (o->node_id_begin < 1 || o->node_id_end < o->node_id_begin || o->node_id_end > NODE_ID_MAX)
        return refuse(arena, ret_error,
                      "--node_id_begin and --node_id_end must be from 1 to 999999, in this order");
    uint32_t nodes = o->node_id_end - o->node_id_begin + 1;
    if (nodes != d->node_count)
        return refuse(arena, ret_error,
                      arena_printf(arena, "nodes %u to %u are %u, but the matrix is for %u",
                                   o->node_id_begin, o->node_id_end, nodes, d->node_count));
    if (o->disks_per_node < 1 || o->disks_per_node > DISK_COUNT_MAX)
        return refuse(arena, ret_error, "--num_disks_per_node must be from 1 to 998");
    if (o->targets_per_disk != d->targets_per_disk)
        return refuse(arena, ret_error,
                      arena_printf(arena, "--num_targets_per_disk is %u, but the matrix has %u",
                                   o->targets_per_disk, d->targets_per_disk));
    if ((uint64_t)d->group_count * d->group_size != (uint64_t)nodes * d->targets_per_disk)
        return refuse(arena, ret_error,
                      arena_printf(arena,
                                   "the matrix uses %u targets of %u: not all disks are "
                                   "full, so it makes no table",
                                   d->group_count * d->group_size, nodes * d->targets_per_disk));
    return check_numbers(arena, d, o, ret_error);
}

/* ---- lines ---- */

static uint64_t target_id(const struct maker *m, uint32_t disk, size_t place)
{
    uint64_t node_id = m->o->node_id_begin + m->d->members[place];
    return m->o->target_id_prefix * TARGET_OF_PREFIX + node_id * TARGET_OF_NODE + (disk + 1) * 100 +
           m->slots[place] + 1;
}

static void add_target(struct maker *m, uint32_t disk, size_t place, uint64_t chain)
{
    uint32_t node_id = m->o->node_id_begin + m->d->members[place];
    uint64_t target = target_id(m, disk, place);
    add(&m->create,
        "create-target --node-id %u --disk-index %u --target-id %" PRIu64 " --chain-id %" PRIu64
        " %s --use-new-chunk-engine\n",
        node_id, disk, target, chain, m->chunk_option);
    add(&m->remove,
        "offline-target --node-id %u --target-id %" PRIu64 "\nremove-target --node-id %u "
        "--target-id %" PRIu64 "\n",
        node_id, target, node_id, target);
}

/* @first is the place of the chain's head in its group, @count how many of the group follow. */
static void add_chain(struct maker *m, uint32_t disk, uint64_t number, size_t group, uint32_t first,
                      uint32_t count)
{
    uint32_t k = m->d->group_size;
    uint64_t chain = m->o->chain_id_prefix * CHAIN_OF_PREFIX + (disk + 1) * CHAIN_OF_DISK + number;
    add(&m->chains, "%" PRIu64, chain);
    for (uint32_t i = 0; i < count; i++) {
        size_t place = group * k + (first + i) % k;
        add(&m->chains, ",%" PRIu64, target_id(m, disk, place));
        add_target(m, disk, place, chain);
    }
    add(&m->chains, "\n");
    add(&m->table, "%" PRIu64 "\n", chain);
}

static void add_disk(struct maker *m, uint32_t disk)
{
    uint32_t k = m->d->group_size;
    for (uint32_t g = 0; g < m->d->group_count; g++) {
        if (!m->o->is_ec) {
            add_chain(m, disk, g + 1, g, m->heads[g], k);
            continue;
        }
        for (uint32_t i = 0; i < k; i++)
            add_chain(m, disk, (uint64_t)g * k + i + 1, g, i, 1);
    }
}

int chain_table_make(struct arena *arena, const struct design *d,
                     const struct chain_table_options *options, struct chain_table_files *ret,
                     const char **ret_error)
{
    int r = check_options(arena, d, options, ret_error);
    if (r < 0) return r;
    struct maker m = { .d = d, .o = options, .heads = design_heads(d, arena), .chunk_option = "" };
    size_t places = (size_t)d->group_count * d->group_size;
    m.slots = arena_array(arena, uint32_t, places);
    uint32_t *used = arena_array(arena, uint32_t, d->node_count);
    for (size_t i = 0; i < places; i++)
        m.slots[i] = used[d->members[i]]++;
    if (options->chunk_size_count) m.chunk_option = "--chunk-size";
    for (uint32_t i = 0; i < options->chunk_size_count; i++)
        m.chunk_option =
            arena_printf(arena, "%s %" PRIu64, m.chunk_option, options->chunk_sizes[i]);
    add(&m.chains, "ChainId");
    for (uint32_t i = 0; i < (options->is_ec ? 1 : d->group_size); i++)
        add(&m.chains, ",TargetId");
    add(&m.chains, "\n");
    add(&m.table, "ChainId\n");
    for (uint32_t disk = 0; disk < options->disks_per_node; disk++)
        add_disk(&m, disk);
    *ret = (struct chain_table_files){
        .create_targets = take(&m.create, arena),
        .remove_targets = take(&m.remove, arena),
        .chains = take(&m.chains, arena),
        .table = take(&m.table, arena),
        .target_count = (uint32_t)places * options->disks_per_node,
        .chain_count =
            d->group_count * (options->is_ec ? d->group_size : 1) * options->disks_per_node,
    };
    return 0;
}
