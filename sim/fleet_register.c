/* fleet_register.c - one file that all clients write and read at the same places: each of its
 * blocks is a register, and the history of all of them must be linearizable.
 *
 * A write is tried once by the client library, which repeats it under one identity; when that gives
 * up, or the client dies, its effect may come at any later moment, or never.
 */
#include "sim/block.h"
#include "sim/fleet_file.h"
#include "sim/linearizability.h"
#include <stdlib.h>
#include <sys/stat.h>

#define REPAIR_LIMIT_NS (10 * SEC)

enum {
    CHUNK_COUNT = 3,
    BLOCKS_PER_CHUNK = FLEET_CHUNK_BYTES / BLOCK_BYTES,
    BLOCKS_USED = 4, /* of each chunk: those at its end, so that there are holes, too */
    FIRST_BLOCK = BLOCKS_PER_CHUNK - BLOCKS_USED
};

/* Blocks of one chunk. */
struct piece {
    uint64_t first; /* block of the file */
    uint32_t count;
};

static struct piece any_piece(struct fleet *f)
{
    uint64_t chunk = fleet_random(f, CHUNK_COUNT);
    uint64_t at = fleet_random(f, BLOCKS_USED);
    return (struct piece){ .first = chunk * BLOCKS_PER_CHUNK + FIRST_BLOCK + at,
                           .count = 1 + (uint32_t)fleet_random(f, BLOCKS_USED - at) };
}

/* Its layout is the fleet's: the lists in it are where the file is. */
static struct inode inode_of(struct fleet *f)
{
    struct inode inode = f->registers->inode;
    inode.layout.chains.items = f->registers->chains;
    return inode;
}

static void invoke(struct fleet_client *c, struct piece p, enum history_kind kind, uint64_t value,
                   size_t *ret_ops)
{
    struct fleet *f = c->fleet;
    for (uint32_t i = 0; i < p.count; i++)
        ret_ops[i] =
            history_invoke(f->history, fleet_now_ns(f), c->index, p.first + i, kind, value);
}

static int step_write(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    struct piece p = any_piece(f);
    size_t ops[BLOCKS_USED];
    uint64_t value = ++f->last_value;
    uint8_t *data = xmalloc((size_t)p.count * BLOCK_BYTES);
    for (uint32_t i = 0; i < p.count; i++)
        block_fill(data + (size_t)i * BLOCK_BYTES, value);
    struct inode inode = inode_of(f);
    invoke(c, p, HISTORY_WRITE, value, ops);
    int r = file_write_chunks(c->storage, mgmtd_client_routing(c->mgmtd), &inode, data,
                              (size_t)p.count * BLOCK_BYTES, p.first * BLOCK_BYTES);
    free(data);
    if (fiber_is_cancelled()) return -ERR_CANCELED; /* it may not know what it did */
    for (uint32_t i = 0; i < p.count; i++) {
        if (r >= 0) history_complete(f->history, fleet_now_ns(f), ops[i], value);
        if (r == -ERR_NO_SPACE) history_fail(f->history, ops[i]);
    }
    f->counts.done += r >= 0;
    f->counts.unknown += r < 0;
    return 0;
}

static int read_piece(struct fleet_client *c, struct piece p, const struct read_options *options)
{
    struct fleet *f = c->fleet;
    size_t ops[BLOCKS_USED], size = (size_t)p.count * BLOCK_BYTES;
    uint8_t *data = xmalloc(size);
    struct inode inode = inode_of(f);
    invoke(c, p, HISTORY_READ, 0, ops);
    ssize_t n = file_read_chunks(c->storage, mgmtd_client_routing(c->mgmtd), &inode, inode.length,
                                 data, size, p.first * BLOCK_BYTES, options);
    bool is_whole = n == (ssize_t)size && !fiber_is_cancelled();
    for (uint32_t i = 0; i < p.count; i++) {
        int64_t value = is_whole ? block_parse(data + (size_t)i * BLOCK_BYTES) : 0;
        if (value < 0)
            (void)fleet_fail(f, "%s: block %" PRIu64 " of the shared file is torn", c->name,
                             p.first + i);
        if (is_whole && value >= 0)
            history_complete(f->history, fleet_now_ns(f), ops[i], (uint64_t)value);
        else
            history_fail(f->history, ops[i]);
    }
    free(data);
    if (fiber_is_cancelled()) return -ERR_CANCELED;
    f->counts.done += is_whole;
    f->counts.unknown += !is_whole;
    return is_whole ? 0 : MIN_OF((int)n, 0);
}

int fleet_register_step(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    struct read_options options = { .choice = TARGET_SPREAD };
    if (fleet_random(f, 2)) return step_write(c);
    int r = read_piece(c, any_piece(f), &options);
    return r == -ERR_CANCELED ? r : 0;
}

int fleet_registers_begin(struct fleet_client *c)
{
    struct fleet *f = c->fleet;
    f->history = history_new();
    f->registers = new_zero(struct fleet_file);
    int r = fleet_create(c, INODE_ROOT, "registers", S_IFREG | 0666, false, f->registers);
    if (r >= 0) r = fleet_truncate(c, f->registers, (uint64_t)CHUNK_COUNT * FLEET_CHUNK_BYTES);
    return r < 0 ? fleet_fail(f, "the shared file: %s", error_name(r)) : 0;
}

/* From one replica; what is damaged there is repaired soon after somebody has met it. */
static int read_replica(struct fleet_client *c, struct piece p, uint32_t replica)
{
    struct read_options options = { .choice = TARGET_INDEX, .target_index = replica };
    uint64_t end_ns = fleet_now_ns(c->fleet) + REPAIR_LIMIT_NS;
    for (;;) {
        int r = read_piece(c, p, &options);
        if (r >= 0 || r == -ERR_CANCELED || fleet_now_ns(c->fleet) > end_ns) return r;
        r = fiber_sleep(50 * MSEC);
        if (r < 0) return r;
    }
}

/* Every block from every replica; then the whole history. */
int fleet_registers_check(struct fleet_client *c, void *arg)
{
    struct fleet *f = c->fleet;
    for (uint64_t chunk = 0; chunk < CHUNK_COUNT; chunk++) {
        struct piece p = { chunk * BLOCKS_PER_CHUNK + FIRST_BLOCK, BLOCKS_USED };
        for (uint32_t i = 0; i < FLEET_REPLICA_COUNT; i++) {
            int r = read_replica(c, p, i);
            if (r < 0)
                return fleet_fail(f, "the shared file cannot be read in the end: %s",
                                  error_name(r));
        }
    }
    char why[300];
    int r = history_check(f->history, why, sizeof why);
    return r < 0 ? fleet_fail(f, "the shared file: %s", why) : 0;
}

void fleet_registers_free(struct fleet *f)
{
    f->history = history_free(f->history);
    free(f->registers);
    f->registers = NULL;
}
