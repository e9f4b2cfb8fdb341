/* scrub.c - the scrubber's walk over targets and chunks. */
#include "storage/scrub.h"
#include "storage/repair.h"
#include "storage/storage_internal.h"

enum { PAGE_CHUNKS = 256, PIECE_BYTES = 1 << 20 };
#define FIRST_PAUSE_NS    (10 * 60 * SEC) /* at most: while a cluster starts it has better to do */
#define REPAIR_TIMEOUT_NS (30 * SEC)

struct scrubber {
    struct storage *storage;
    struct disk *disk;
    struct pace pace;
};

struct page {
    struct chunk_id chunks[PAGE_CHUNKS];
    uint32_t count;
};

static int take_chunk(void *arg, const struct chunk_state *state)
{
    struct page *page = arg;
    if (page->count == PAGE_CHUNKS) return 1;
    if (chunk_live_version(state) > 0) page->chunks[page->count++] = state->chunk;
    return 0;
}

/* Reads the committed content piece by piece. 0, also when it is gone by now. */
static int read_through(struct scrubber *b, struct target *t, struct chunk_id chunk)
{
    struct storage *s = b->storage;
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    struct chunk_state state;
    int r = chunk_pin(t->store, t->target_id, chunk, CHUNK_COMMITTED, &pin, &state);
    if (r <= 0) return r;
    for (uint32_t offset = 0; offset < state.length; offset += PIECE_BYTES) {
        r = pace_wait(&b->pace, s->node, &s->settings->scrub_bandwidth);
        if (r < 0) return r;
        cleanup_(buffer_givep) struct buffer *buffer = NULL;
        uint32_t skip, length = 0, crc;
        r = chunk_read(pin, offset, PIECE_BYTES, s->pool, &buffer, &skip, &length, &crc);
        if (r < 0) return r;
        pace_charge(&b->pace, length);
        storage_count(s, "storage.scrubbed_bytes", length);
    }
    return 0;
}

static int scrub_chunk(struct scrubber *b, struct target *t, struct chunk_id chunk)
{
    int r = read_through(b, t, chunk);
    if (!is_damage(r)) return r == -ERR_CANCELED ? r : 0;
    storage_count(b->storage, "storage.scrub_damaged", 1);
    FIBER_TIMEOUT(REPAIR_TIMEOUT_NS);
    r = repair_chunk(t, chunk);
    /* It has said why. */
    return r == -ERR_CANCELED ? r : 0;
}

static bool may_go_on(const struct scrubber *b, const struct target *t)
{
    return target_is_serving(t) && !t->is_going && !b->disk->error &&
           b->storage->settings->scrub_bandwidth > 0;
}

static int scrub_target(struct scrubber *b, struct target *t)
{
    struct page *page = new_zero(struct page);
    struct chunk_id after;
    bool has_after = false;
    int r = 0;
    while (r == 0 && may_go_on(b, t)) {
        page->count = 0;
        r = chunk_each(t->store, t->target_id, has_after ? &after : NULL, take_chunk, page);
        if (r < 0 || page->count == 0) break;
        bool has_more = r > 0;
        r = 0;
        for (uint32_t i = 0; r == 0 && i < page->count && may_go_on(b, t); i++) {
            r = scrub_chunk(b, t, page->chunks[i]);
        }
        after = page->chunks[page->count - 1];
        has_after = true;
        if (!has_more) break;
    }
    free(page);
    return r == -ERR_CANCELED ? r : 0;
}

/* The disk's first target whose id is greater; they come and go. */
static struct target *next_target(const struct scrubber *b, uint64_t after_id)
{
    list_for_each (it, &b->storage->targets) {
        struct target *t = list_entry(it, struct target, link);
        if (t->disk == b->disk && t->target_id > after_id && !t->is_going) return t;
    }
    return NULL;
}

static int scrub_disk(struct scrubber *b)
{
    struct target *next;
    for (uint64_t last = 0; (next = next_target(b, last));) {
        cleanup_(target_unusep) struct target *t = next;
        target_use(t);
        last = t->target_id;
        int r = scrub_target(b, t);
        if (r < 0) return r;
    }
    storage_count(b->storage, "storage.scrub_rounds", 1);
    return 0;
}

static int scrub_fiber(void *arg)
{
    struct scrubber b = *(struct scrubber *)arg;
    free(arg);
    uint64_t interval_ns = b.storage->settings->scrub_interval_ns;
    int r = fiber_sleep(MIN_OF(interval_ns, (uint64_t)FIRST_PAUSE_NS));
    while (r == 0) {
        r = scrub_disk(&b);
        if (r == 0) r = fiber_sleep(interval_ns);
    }
    return r;
}

int scrub_start(struct storage *s, struct disk *disk)
{
    struct scrubber *b = new_zero(struct scrubber);
    b->storage = s;
    b->disk = disk;
    int r = fiber_spawn(&s->scope, "scrub", scrub_fiber, b);
    if (r < 0) free(b);
    return r;
}
