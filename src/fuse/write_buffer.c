/* write_buffer.c - writes of an inode on their way to its chunks, and the settlement of its length.
 *
 * Contiguous writes gather in one buffer that never crosses a chunk; when it is full, or the next
 * write is elsewhere, it goes on its way while the writer goes on, a bounded number at a time. An
 * error of one is kept and returned once, by the next write, flush or fsync, as Linux does for its
 * own cache.
 *
 * Buffers belong to inodes only while something is in them: the kernel remembers far more inodes
 * than there is memory for a buffer each. The mount keeps a few for the next writers.
 *
 *   write ──► gathering buffer ──► in flight (fibers) ──► chunks durable ──► settle: length, mtime
 *   at meta
 */
#include "fuse/mount.h"

#include "base/check.h"

enum { TRY_COUNT_MAX = 8, SPARE_COUNT_MAX = 16 };

struct write_buffer {
    uint8_t *data; /* the gathering buffer, NULL while size is 0 */
    size_t size;
    uint64_t offset;         /* of data[0] in the file */
    uint32_t inflight_count; /* buffers on their way */
    struct wait_queue idle;  /* woken when one arrives */
    int error;
    uint64_t end;     /* of the furthest unsettled write; what failed does not count */
    uint64_t landed;  /* of the furthest of these that is on the chunks */
    int64_t mtime_ns; /* of the last unsettled write */
    bool needs_settle;
    struct fiber_mutex settle_lock;
};

struct flight {
    struct mount_inode *mi;
    uint8_t *data;
    size_t size;
    uint64_t offset;
};

/* ---- buffers ---- */

static size_t capacity_of(const struct mount *m)
{
    return MAX_OF(m->settings->write_buffer_bytes, 4096u);
}

static uint8_t *spare_take(struct mount *m)
{
    struct list *link = list_pop_front(&m->spare_writes); /* lies in the buffer itself */
    if (!link) return xmalloc(capacity_of(m));
    m->spare_write_count--;
    return (uint8_t *)link;
}

static void spare_give(struct mount *m, uint8_t *data)
{
    if (m->spare_write_count >= SPARE_COUNT_MAX) {
        free(data);
        return;
    }
    struct list *link = (struct list *)data;
    list_init(link);
    list_push_front(&m->spare_writes, link);
    m->spare_write_count++;
}

void writes_forget_spare(struct mount *m)
{
    list_for_each_safe (link, &m->spare_writes) {
        free(link);
    }
    m->spare_write_count = 0;
}

/* ---- one inode ---- */

static struct write_buffer *writes_of(struct mount_inode *mi)
{
    if (mi->writes) return mi->writes;
    struct write_buffer *w = new_zero(struct write_buffer);
    wait_queue_init(&w->idle);
    fiber_mutex_init(&w->settle_lock);
    mi->writes = w;
    return w;
}

void writes_free(struct mount_inode *mi)
{
    struct write_buffer *w = mi->writes;
    if (!w) return;
    check(w->inflight_count == 0);
    free(w->data);
    free(w);
    mi->writes = NULL;
}

bool writes_are_pending(const struct mount_inode *mi)
{
    return mi->writes && (mi->writes->size || mi->writes->inflight_count);
}

bool writes_are_dirty(const struct mount_inode *mi)
{
    return writes_are_pending(mi) || (mi->writes && mi->writes->needs_settle);
}

uint64_t writes_end(const struct mount_inode *mi)
{
    return mi->writes && mi->writes->needs_settle ? mi->writes->end : 0;
}

int64_t writes_mtime_ns(const struct mount_inode *mi)
{
    return mi->writes && mi->writes->needs_settle ? mi->writes->mtime_ns : 0;
}

void writes_truncated(struct mount_inode *mi, uint64_t length, uint32_t generation)
{
    struct write_buffer *w = mi->writes;
    if (!w) return;
    w->end = MIN_OF(w->end, length);
    w->landed = MIN_OF(w->landed, length);
}

int writes_take_error(struct mount_inode *mi)
{
    struct write_buffer *w = mi->writes;
    int r = w ? w->error : 0;
    if (w) w->error = 0;
    return r;
}

/* A truncate elsewhere raised the generation: hear of it, and finish its trim, before writing on.
 */
static int refresh_inode(struct mount_inode *mi)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct inode_request req = { .inode = mi->id };
    struct inode_reply rep = { 0 };
    meta_base_init(mi->mount->meta, &(struct user_info){ 0 }, &req.base);
    int r = meta_call(mi->mount->meta, RPC_METHOD(meta, finish_trim), &arena, &req, &rep, NULL);
    if (r >= 0) mount_inode_update(mi, &rep.inode);
    return r;
}

static int write_chunks(struct mount_inode *mi, const void *data, size_t size, uint64_t offset)
{
    if (mi->inode.trim_from != TRIM_NONE && offset + size > mi->inode.trim_from) {
        int r = refresh_inode(mi);
        if (r < 0) return r;
    }
    int r = -ERR_CHUNK_STALE_GENERATION;
    for (int tries = 0; r == -ERR_CHUNK_STALE_GENERATION && tries < TRY_COUNT_MAX; tries++) {
        if (tries) r = refresh_inode(mi);
        if (tries && r < 0) return r;
        r = file_write_chunks(mi->mount->storage, mi->mount->routing, &mi->inode, data, size,
                              offset);
    }
    return r;
}

/* A file does not grow by bytes that could not be written, e.g. for want of space. */
static void note_landing(struct write_buffer *w, int r, uint64_t end)
{
    if (r >= 0) w->landed = MAX_OF(w->landed, end);
    w->end = r < 0 ? w->landed : MAX_OF(w->end, w->landed);
}

static int flight_run(void *arg)
{
    struct flight *f = arg;
    struct mount_inode *mi = f->mi;
    struct write_buffer *w = mi->writes;
    FIBER_TIMEOUT(mi->mount->settings->timeout_ns);
    int r = write_chunks(mi, f->data, f->size, f->offset);
    if (r < 0) {
        if (w->error == 0) w->error = r;
        log_error(&mi->mount->node->log, r, "inode %llx: %zu bytes at %llu were not written",
                  (unsigned long long)mi->id, f->size, (unsigned long long)f->offset);
    }
    note_landing(w, r, f->offset + f->size);
    w->inflight_count--;
    wait_queue_wake_all(&w->idle);
    spare_give(mi->mount, f->data);
    free(f);
    mount_inode_unpin(mi);
    return 0;
}

/* Sends the gathering buffer on its way. */
static int launch(struct mount_inode *mi)
{
    struct write_buffer *w = mi->writes;
    if (!w->size) return 0;
    while (w->inflight_count >= MAX_OF(mi->mount->settings->write_inflight_count, 1u)) {
        int r = wait_queue_wait(&w->idle, "write buffer in flight");
        if (r < 0) return r;
    }
    if (!w->size) return 0; /* another writer launched it meanwhile */
    struct flight *f = new_zero(struct flight);
    *f = (struct flight){ mi, w->data, w->size, w->offset };
    w->data = NULL;
    w->size = 0;
    w->inflight_count++;
    mount_inode_pin(mi);
    int r = fiber_spawn(&mi->mount->requests, "write-back", flight_run, f);
    if (r >= 0) return 0;
    return flight_run(f); /* no fiber to be had: this one does it */
}

static void note_write(struct mount_inode *mi, uint64_t end)
{
    struct write_buffer *w = mi->writes;
    if (!w->needs_settle) w->end = w->landed = 0;
    w->end = MAX_OF(w->end, end);
    w->needs_settle = true;
    w->mtime_ns = (int64_t)node_wall_ns(mi->mount->node);
}

int write_buffered(struct mount_inode *mi, const void *data, size_t size, uint64_t offset)
{
    struct write_buffer *w = writes_of(mi);
    if (w->error) return writes_take_error(mi);
    uint32_t chunk = MAX_OF(mi->inode.layout.chunk_size, 4096u);
    size_t capacity = capacity_of(mi->mount);
    const uint8_t *from = data;
    while (size) {
        if (w->size && w->offset + w->size != offset) {
            int r = launch(mi);
            if (r < 0) return r;
            continue; /* it may have been refilled while this fiber waited */
        }
        if (!w->size) {
            w->data = spare_take(mi->mount);
            w->offset = offset;
        }
        size_t room = MIN_OF(capacity - w->size, (size_t)(chunk - (uint32_t)(offset % chunk)));
        size_t n = MIN_OF(room, size);
        memcpy(w->data + w->size, from, n);
        w->size += n;
        from += n;
        offset += n;
        size -= n;
        note_write(mi, offset);
        if (w->size == capacity || offset % chunk == 0) {
            int r = launch(mi);
            if (r < 0) return r;
        }
    }
    return 0;
}

int writes_flush(struct mount_inode *mi)
{
    struct write_buffer *w = mi->writes;
    if (!w) return 0;
    int r = launch(mi);
    while (r >= 0 && w->inflight_count)
        r = wait_queue_wait(&w->idle, "flush");
    return MIN_OF(r, 0);
}

int write_through(struct mount_inode *mi, const void *data, size_t size, uint64_t offset)
{
    writes_of(mi);
    int r = writes_flush(mi);
    if (r >= 0) r = writes_take_error(mi);
    if (r < 0) return r;
    r = write_chunks(mi, data, size, offset);
    if (r < 0) return r;
    note_write(mi, offset + size);
    note_landing(mi->writes, 0, offset + size);
    return 0;
}

static int settle_call(struct mount_inode *mi, struct write_buffer *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct inode_reply rep = { 0 };
    struct settle_request req = { .inode = mi->id,
                                  .wrote = 1,
                                  .length_hint = w->end,
                                  .generation = mi->inode.generation,
                                  .mtime_ns = w->mtime_ns };
    meta_base_init(mi->mount->meta, &(struct user_info){ 0 }, &req.base);
    uint64_t change = mi->inode.change;
    uint32_t generation = mi->inode.generation;
    int r = meta_call(mi->mount->meta, RPC_METHOD(meta, settle), &arena, &req, &rep, NULL);
    if (r < 0) return r;
    if (w->mtime_ns == req.mtime_ns && w->end == req.length_hint) w->needs_settle = false;
    mount_inode_update(mi, &rep.inode);
    mount_inode_followed(mi, change, generation);
    return 0;
}

int writes_settle(struct mount_inode *mi)
{
    int r = writes_flush(mi);
    struct write_buffer *w = mi->writes;
    if (!w || !w->needs_settle) return r;
    int settled = fiber_mutex_lock(&w->settle_lock);
    if (settled < 0) return settled;
    if (w->needs_settle) settled = settle_call(mi, w);
    fiber_mutex_unlock(&w->settle_lock);
    return r < 0 ? r : settled;
}
