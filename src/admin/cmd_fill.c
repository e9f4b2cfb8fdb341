/* cmd_fill.c - chunks that a file lacks, or that are shorter than the file says.
 *
 * They read as zeros. Filling asks the chain's head to make the chunk at least so long, so what is
 * written at the same time stays.
 */
#include "admin/commands.h"

#include "admin/progress.h"
#include <sys/stat.h>

enum { PART_CHUNK_COUNT = 256 };

static const struct argument_spec fill_spec[] = {
    { "path", NULL, ARG_PATH, true, "" },
    { "--dry-run", NULL, ARG_FLAG, false, "only find them" },
    { "--verbose", NULL, ARG_FLAG, false, "a line for each" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct filling {
    struct admin *a;
    struct inode inode;
    bool is_dry, is_verbose;
    uint64_t missing_count, short_count, filled_count;
};

/* Bytes that the file has in a chunk. */
static uint32_t expected_length(const struct inode *inode, uint64_t index)
{
    uint64_t left = inode->length - index * inode->layout.chunk_size;
    return (uint32_t)MIN_OF((uint64_t)inode->layout.chunk_size, left);
}

/* Reads the last byte that each chunk should have. */
static int look_at(struct filling *f, uint64_t first, uint32_t count, struct chunk_read *reads,
                   uint8_t *bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        reads[i] = (struct chunk_read){ .chunk = { f->inode.id, (uint32_t)(first + i) },
                                        .offset = expected_length(&f->inode, first + i) - 1,
                                        .length = 1,
                                        .to = &bytes[i] };
        int r = file_chain_of(admin_routing(f->a), &f->inode.layout, (uint32_t)(first + i),
                              &reads[i].chain_id);
        if (r < 0) return r;
    }
    struct read_options options = { .choice = TARGET_SPREAD };
    return chunks_read(f->a->storage, reads, count, &options);
}

static void tell_chunk(struct filling *f, const struct chunk_read *read, bool is_missing)
{
    if (!f->is_verbose) return;
    fprintf(f->a->printer.is_json ? stderr : f->a->printer.out, "chunk %u of chain %u is %s\n",
            read->chunk.index, read->chain_id, is_missing ? "missing" : "too short");
}

static int fill_part(struct filling *f, uint64_t first, uint32_t count)
{
    struct chunk_read reads[PART_CHUNK_COUNT];
    struct chunk_write writes[PART_CHUNK_COUNT];
    uint8_t bytes[PART_CHUNK_COUNT];
    uint32_t write_count = 0;
    int r = look_at(f, first, count, reads, bytes);
    if (r < 0) return r;
    for (uint32_t i = 0; i < count; i++) {
        bool is_missing = reads[i].status == -ERR_CHUNK_NOT_FOUND;
        if (!is_missing && reads[i].real_length == 1) continue;
        f->missing_count += is_missing;
        f->short_count += !is_missing;
        tell_chunk(f, &reads[i], is_missing);
        writes[write_count++] = (struct chunk_write){ .chain_id = reads[i].chain_id,
                                                      .chunk = reads[i].chunk,
                                                      .kind = UPDATE_EXTEND,
                                                      .generation = f->inode.generation,
                                                      .length = reads[i].offset + 1,
                                                      .chunk_size = f->inode.layout.chunk_size };
    }
    if (f->is_dry || write_count == 0) return 0;
    r = chunks_write(f->a->storage, writes, write_count);
    if (r >= 0) f->filled_count += write_count;
    return r;
}

static int run_fill_zero(struct admin *a, const struct arguments *args)
{
    const char *path = argument_text(args, "path", "");
    struct filling f = { .a = a,
                         .is_dry = argument_flag(args, "--dry-run"),
                         .is_verbose = argument_flag(args, "--verbose") };
    int r = admin_walk(a, path, true, &f.inode);
    if (r < 0) return r;
    if (!S_ISREG(f.inode.mode))
        return admin_fail(a, -ERR_META_NOT_FILE, "%s is not a regular file", path);
    r = admin_need_storage(a);
    if (r < 0) return r;
    uint64_t chunk_size = f.inode.layout.chunk_size;
    uint64_t count = (f.inode.length + chunk_size - 1) / chunk_size;
    struct progress progress;
    progress_begin(&progress, a, "fill-zero", "chunks", count);
    for (uint64_t i = 0; r >= 0 && i < count; i += PART_CHUNK_COUNT) {
        r = fill_part(&f, i, (uint32_t)MIN_OF(count - i, (uint64_t)PART_CHUNK_COUNT));
        progress_show(&progress, i);
    }
    progress_end(&progress);
    if (r < 0) return admin_fail(a, r, "%s: %s", path, error_sentence(r));
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Chunks", "%llu", (unsigned long long)count);
    block_row(&t, "Missing", "%llu", (unsigned long long)f.missing_count);
    block_row(&t, "Short", "%llu", (unsigned long long)f.short_count);
    block_row(&t, "Filled", "%llu", (unsigned long long)f.filled_count);
    table_end(&t);
    return 0;
}

const struct command_spec fill_commands[] = {
    { "fill-zero", run_fill_zero, fill_spec,
      "Finds chunks that a file lacks or that are too short, and fills them with zeros.\n"
      "  fill-zero --dry-run --verbose /f" },
    { NULL, NULL, NULL, NULL },
};
