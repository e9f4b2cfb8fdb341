/* file_io.c - where the bytes of a file are, and what belongs together. */
#include "client/file_io.h"
#include "base/check.h"

#define CHUNK_INDEX_END (1ull << 32)
enum { PIECES_MAX = 256 }; /* chunks of one call that are worked on together */

int file_chain_of(const struct routing *routing, const struct layout *layout, uint32_t chunk_index,
                  uint32_t *ret_chain_id)
{
    if (!layout->chunk_size || !layout->chains.count) return -ERR_META_INVALID_LAYOUT;
    uint32_t index = layout->chains.items[chunk_index % layout->chains.count];
    uint32_t chain = routing_chain_of(routing, layout->table_id, layout->table_version, index);
    if (!chain) return -ERR_ROUTING_ERROR;
    *ret_chain_id = chain;
    return 0;
}

/* Is [offset, offset + size) inside what a file can have? */
static bool is_in_file(const struct layout *layout, uint64_t offset, uint64_t size)
{
    uint64_t end = (uint64_t)layout->chunk_size * CHUNK_INDEX_END;
    return offset <= end && size <= end - offset;
}

/* The piece of [offset, …) that lies in one chunk. */
struct piece {
    uint32_t index, offset, length;
    uint32_t chain_id;
};

static int next_piece(const struct routing *routing, const struct layout *layout, uint64_t offset,
                      uint64_t size, struct piece *ret)
{
    uint32_t at = (uint32_t)(offset % layout->chunk_size);
    ret->index = (uint32_t)(offset / layout->chunk_size);
    ret->offset = at;
    ret->length = (uint32_t)MIN_OF(size, (uint64_t)(layout->chunk_size - at));
    return file_chain_of(routing, layout, ret->index, &ret->chain_id);
}

static ssize_t read_some(struct storage_client *c, const struct routing *routing,
                         const struct inode *inode, uint8_t *to, uint64_t size, uint64_t offset,
                         const struct read_options *options)
{
    struct chunk_read reads[PIECES_MAX];
    uint32_t count = 0;
    uint64_t done = 0;
    while (done < size && count < PIECES_MAX) {
        struct piece p;
        int r = next_piece(routing, &inode->layout, offset + done, size - done, &p);
        if (r < 0) return r;
        reads[count++] = (struct chunk_read){ .chain_id = p.chain_id,
                                              .chunk = { inode->id, p.index },
                                              .offset = p.offset,
                                              .length = p.length,
                                              .to = to + done };
        done += p.length;
    }
    int r = chunks_read(c, reads, count, options);
    return r < 0 ? r : (ssize_t)done;
}

ssize_t file_read_chunks(struct storage_client *c, const struct routing *routing,
                         const struct inode *inode, uint64_t length, void *to, size_t size,
                         uint64_t offset, const struct read_options *options)
{
    if (!inode->layout.chunk_size) return -ERR_META_INVALID_LAYOUT;
    if (offset >= length) return 0;
    uint64_t left = MIN_OF((uint64_t)size, length - offset);
    if (!is_in_file(&inode->layout, offset, left)) return -ERR_META_FILE_TOO_LARGE;
    uint64_t done = 0;
    while (done < left) {
        ssize_t n =
            read_some(c, routing, inode, (uint8_t *)to + done, left - done, offset + done, options);
        if (n < 0) return n;
        done += (uint64_t)n;
    }
    return (ssize_t)done;
}

static ssize_t write_some(struct storage_client *c, const struct routing *routing,
                          const struct inode *inode, const uint8_t *from, uint64_t size,
                          uint64_t offset)
{
    struct chunk_write writes[PIECES_MAX];
    uint32_t count = 0;
    uint64_t done = 0;
    while (done < size && count < PIECES_MAX) {
        struct piece p;
        int r = next_piece(routing, &inode->layout, offset + done, size - done, &p);
        if (r < 0) return r;
        writes[count++] = (struct chunk_write){ .chain_id = p.chain_id,
                                                .chunk = { inode->id, p.index },
                                                .kind = UPDATE_WRITE,
                                                .generation = inode->generation,
                                                .offset = p.offset,
                                                .length = p.length,
                                                .chunk_size = inode->layout.chunk_size,
                                                .from = from + done };
        done += p.length;
    }
    int r = chunks_write(c, writes, count);
    return r < 0 ? r : (ssize_t)done;
}

int file_write_chunks(struct storage_client *c, const struct routing *routing,
                      const struct inode *inode, const void *from, size_t size, uint64_t offset)
{
    if (!inode->layout.chunk_size) return -ERR_META_INVALID_LAYOUT;
    if (!is_in_file(&inode->layout, offset, size)) return -ERR_META_FILE_TOO_LARGE;
    uint64_t done = 0;
    while (done < size) {
        ssize_t n =
            write_some(c, routing, inode, (const uint8_t *)from + done, size - done, offset + done);
        if (n < 0) return (int)n;
        done += (uint64_t)n;
    }
    return 0;
}

/* ---- the same for every chain of a file, in parallel ---- */

struct chain_work {
    struct storage_client *client;
    const struct routing *routing;
    const struct inode *inode;
    uint64_t timeout_ns;
    uint32_t next; /* position in the layout's chains */
    int (*fn)(struct chain_work *w, uint32_t chain_id);
    uint64_t length;      /* file_query_length: greatest end so far; file_trim: the new length */
    uint64_t first_index; /* of the chunks to remove */
    uint32_t generation;
};

enum { CHAIN_FIBER_COUNT = 16 };

static int chain_fiber(void *arg)
{
    struct chain_work *w = arg;
    const struct u32_list *chains = &w->inode->layout.chains;
    FIBER_TIMEOUT(w->timeout_ns);
    while (w->next < chains->count) {
        uint32_t chain_id;
        int r = file_chain_of(w->routing, &w->inode->layout, w->next++, &chain_id);
        if (r == 0) r = w->fn(w, chain_id);
        if (r < 0) return r;
    }
    return 0;
}

static int each_chain(struct chain_work *w, int (*fn)(struct chain_work *w, uint32_t chain_id))
{
    w->fn = fn;
    w->next = 0;
    w->timeout_ns = fiber_remaining_ns();
    uint32_t count = w->inode->layout.chains.count;
    if (!count || !w->inode->layout.chunk_size) return -ERR_META_INVALID_LAYOUT;
    if (count == 1) return chain_fiber(w);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, NULL);
    scope.fail_fast = true;
    for (uint32_t i = 0; i < MIN_OF(count, (uint32_t)CHAIN_FIBER_COUNT); i++) {
        int r = fiber_spawn(&scope, "chain-of-file", chain_fiber, w);
        if (r < 0) return r;
    }
    return scope_wait(&scope);
}

static int query_chain(struct chain_work *w, uint32_t chain_id)
{
    struct last_chunk_reply last;
    int r = chunks_query_last(w->client, chain_id, w->inode->id, 0, CHUNK_INDEX_END, &last);
    if (r < 0 || !last.chunk_count) return r;
    uint64_t end = (uint64_t)last.last_index * w->inode->layout.chunk_size + last.last_length;
    w->length = MAX_OF(w->length, end);
    return 0;
}

int file_query_length(struct storage_client *c, const struct routing *routing,
                      const struct inode *inode, uint64_t *ret_length)
{
    struct chain_work w = { .client = c, .routing = routing, .inode = inode };
    int r = each_chain(&w, query_chain);
    if (r == 0) *ret_length = w.length;
    return r;
}

static int raise_floor(struct chain_work *w, uint32_t chain_id)
{
    return chunks_set_floor(w->client, chain_id, w->inode->id, w->generation);
}

static int remove_from(struct chain_work *w, uint32_t chain_id)
{
    return chunks_remove_range(w->client, chain_id, w->inode->id, (uint32_t)w->first_index,
                               CHUNK_INDEX_END, w->generation, NULL);
}

/* Of a trim. A higher floor says that somebody has done it, and others may have written since. */
static int trim_from(struct chain_work *w, uint32_t chain_id)
{
    int r = remove_from(w, chain_id);
    return r == -ERR_CHUNK_STALE_GENERATION ? 0 : r;
}

/* Shortens the chunk that the new end lies in; what is not there, or short enough, stays. */
static int cut_chunk(struct chain_work *w)
{
    const struct layout *layout = &w->inode->layout;
    uint32_t keep = (uint32_t)(w->length % layout->chunk_size);
    uint32_t index = (uint32_t)(w->length / layout->chunk_size);
    if (keep == 0) return 0;
    uint32_t chain_id;
    int r = file_chain_of(w->routing, layout, index, &chain_id);
    if (r < 0) return r;
    struct last_chunk_reply last;
    r = chunks_query_last(w->client, chain_id, w->inode->id, index, (uint64_t)index + 1, &last);
    if (r < 0 || !last.chunk_count || last.last_length <= keep) return r;
    struct chunk_write cut = { .chain_id = chain_id,
                               .chunk = { w->inode->id, index },
                               .kind = UPDATE_TRUNCATE,
                               .generation = w->generation,
                               .length = keep,
                               .chunk_size = layout->chunk_size };
    r = chunks_write(w->client, &cut, 1);
    return r == -ERR_CHUNK_STALE_GENERATION ? 0 : r; /* as in trim_from() */
}

int file_trim(struct storage_client *c, const struct routing *routing, const struct inode *inode,
              uint64_t length)
{
    uint32_t size = inode->layout.chunk_size;
    if (!size) return -ERR_META_INVALID_LAYOUT;
    if (!is_in_file(&inode->layout, length, 0)) return -ERR_META_FILE_TOO_LARGE;
    struct chain_work w = { .client = c,
                            .routing = routing,
                            .inode = inode,
                            .length = length,
                            .first_index = length / size + (length % size != 0),
                            .generation = inode->generation };
    int r = each_chain(&w, raise_floor);
    if (r == 0) r = cut_chunk(&w);
    if (r == 0 && w.first_index < CHUNK_INDEX_END) r = each_chain(&w, trim_from);
    w.generation++;
    if (r == 0) r = each_chain(&w, raise_floor);
    return r;
}

int file_remove_chunks(struct storage_client *c, const struct routing *routing,
                       const struct inode *inode)
{
    struct chain_work w = {
        .client = c, .routing = routing, .inode = inode, .generation = UINT32_MAX
    };
    return each_chain(&w, remove_from);
}
