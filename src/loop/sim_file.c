/* sim_file.c - files and paths of a simulated machine: delays, short transfers and errors on top of
 * its disk.
 *
 * A call takes effect at its start or at its end, by chance, so that calls under way at a crash may
 * have happened or not. Data is taken from the caller's memory at that moment.
 */
#include "loop/sim_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include <errno.h>

enum { SHORT_ONE_IN = 64 };

static uint64_t delay_ns(struct machine *m, uint64_t low_ns, uint64_t high_ns)
{
    const struct sim_disk_profile *p = &m->disk.profile;
    uint64_t delay = sim_random_between(m->disk.random, low_ns, high_ns);
    return sim_random_ppm(m->disk.random, p->stall_ppm) ? delay + p->stall_ns : delay;
}

static uint64_t disk_delay_ns(struct machine *m)
{
    const struct sim_disk_profile *p = &m->disk.profile;
    return delay_ns(m, p->delay_min_ns, p->delay_max_ns);
}

static uint64_t sync_delay_ns(struct machine *m)
{
    const struct sim_disk_profile *p = &m->disk.profile;
    return delay_ns(m, p->sync_min_ns, p->sync_max_ns);
}

static bool has_failed(struct machine *m, uint32_t ppm)
{
    return sim_random_ppm(m->disk.random, ppm);
}

/* ---- files ---- */

struct file_op {
    struct sim_op op;
    struct sim_file *f;
    const struct iovec *iov;
    int count;
    uint64_t offset, size;
};

static struct sim_file *sim_file_of(struct file *file)
{
    return container_of(file, struct sim_file, base);
}

static ssize_t file_op_run(struct file *file, ssize_t (*perform)(struct sim_op *op),
                           struct file_op *op, const char *what)
{
    struct sim_file *f = sim_file_of(file);
    struct machine *m = f->machine;
    if (!f->inode) return -ERR_CANCELED;
    op->f = f;
    op->op.perform = perform;
    bool is_sync = op->count < 0;
    return sim_op_run(&op->op, m, is_sync ? sync_delay_ns(m) : disk_delay_ns(m), what);
}

struct open_op {
    struct sim_op op;
    struct node *node;
    const char *path;
    int flags;
    struct sim_file *f;
};

static ssize_t open_perform(struct sim_op *op)
{
    struct open_op *o = container_of(op, struct open_op, op);
    struct machine *m = op->machine;
    struct sim_inode *inode = NULL;
    int r = sim_disk_open(&m->disk, o->path, o->flags, &inode);
    sim_trace(m->sim, "open", m, inode ? inode->id : 0, (uint32_t)o->flags, (uint32_t)-r);
    if (r < 0) return r;
    o->f = new_zero(struct sim_file);
    o->f->base.node = o->node;
    o->f->machine = m;
    o->f->inode = inode;
    o->f->flags = o->flags;
    list_push_back(&m->files, &o->f->link);
    return 0;
}

int sim_file_open(struct node *node, const char *path, int flags, mode_t mode, struct file **ret)
{
    struct machine *m = node->machine;
    struct open_op o = { .op.perform = open_perform, .node = node, .path = path, .flags = flags };
    int r = (int)sim_op_run(&o.op, m, disk_delay_ns(m), "open");
    if (r < 0) {
        if (o.f) sim_file_close(&o.f->base); /* opened, and then interrupted */
        return r;
    }
    *ret = &o.f->base;
    return 0;
}

void sim_file_detach(struct sim_file *f)
{
    if (f->inode) {
        if (f->inode->lock_owner == f) f->inode->lock_owner = NULL;
        sim_disk_close(&f->machine->disk, f->inode);
    }
    f->inode = NULL;
    list_remove(&f->link);
}

void sim_file_close(struct file *file)
{
    struct sim_file *f = sim_file_of(file);
    sim_file_detach(f);
    free(f);
}

static bool is_aligned(const struct sim_file *f, const struct iovec *iov, int count,
                       uint64_t offset)
{
    if (!(f->flags & O_DIRECT)) return true;
    uint64_t bits = offset;
    for (int i = 0; i < count; i++)
        bits |= (uint64_t)(uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return bits % SIM_BLOCK_SIZE == 0;
}

/* Makes a transfer short now and then, as signals and full queues do. Returns the pieces to use of
 * @iov, the last of them cut in @ret_first when there is only one. */
static int transfer_clip(struct sim_file *f, const struct iovec *iov, int count,
                         struct iovec *ret_first)
{
    *ret_first = iov[0];
    if (!sim_random_one_in(f->machine->disk.random, SHORT_ONE_IN)) return count;
    size_t blocks = iov[0].iov_len / SIM_BLOCK_SIZE;
    if (blocks > 1)
        ret_first->iov_len =
            (1 + sim_random_under(f->machine->disk.random, blocks - 1)) * (size_t)SIM_BLOCK_SIZE;
    return 1;
}

static ssize_t read_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    struct sim_inode *inode = o->f->inode;
    if (has_failed(m, m->disk.profile.read_error_ppm)) {
        sim_trace(m->sim, "read.error", m, inode->id, o->offset, 0);
        return error_from_errno(EIO);
    }
    if (has_failed(m, m->disk.profile.bit_rot_ppm)) {
        uint64_t at = o->offset + sim_random_under(m->disk.random, o->iov[0].iov_len);
        bool is_stored = sim_data_flip(inode, at, (uint8_t)sim_random_under(m->disk.random, 8));
        sim_trace(m->sim, "rot", m, inode->id, at, is_stored);
    }
    ssize_t n = sim_data_read(inode, o->iov, o->count, o->offset);
    sim_trace(m->sim, "read", m, inode->id, o->offset, sim_crc_iov(o->iov, o->count, (size_t)n));
    return n;
}

ssize_t sim_file_readv(struct file *file, const struct iovec *iov, int count, uint64_t offset)
{
    struct sim_file *f = sim_file_of(file);
    struct iovec first;
    if (!f->inode) return -ERR_CANCELED;
    if (f->inode->is_dir) return error_from_errno(EISDIR);
    /* The front door asks on after a read that ended at an odd size. */
    if (offset % SIM_BLOCK_SIZE && offset >= f->inode->newest.size_bytes) return 0;
    if (!is_aligned(f, iov, count, offset)) return error_from_errno(EINVAL);
    if ((f->flags & O_ACCMODE) == O_WRONLY) return error_from_errno(EBADF);
    int used = transfer_clip(f, iov, count, &first);
    struct file_op o = { .iov = used == 1 ? &first : iov, .count = used, .offset = offset };
    return file_op_run(file, read_perform, &o, "read");
}

/* A write that fails may have reached the disk in part. */
static ssize_t write_fail(struct file_op *o)
{
    struct machine *m = o->op.machine;
    struct iovec part = o->iov[0];
    size_t blocks = part.iov_len / SIM_BLOCK_SIZE;
    part.iov_len = (size_t)sim_random_under(m->disk.random, blocks + 1) * SIM_BLOCK_SIZE;
    if (part.iov_len) sim_data_write(&m->disk, o->f->inode, &part, 1, o->offset);
    sim_trace(m->sim, "write.error", m, o->f->inode->id, o->offset, (uint32_t)part.iov_len);
    return error_from_errno(EIO);
}

static ssize_t write_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    if (has_failed(m, m->disk.profile.write_error_ppm)) return write_fail(o);
    ssize_t n = sim_data_write(&m->disk, o->f->inode, o->iov, o->count, o->offset);
    sim_trace(m->sim, n < 0 ? "write.full" : "write", m, o->f->inode->id, o->offset,
              n < 0 ? 0 : sim_crc_iov(o->iov, o->count, (size_t)n));
    return n;
}

static int check_writable(const struct sim_file *f)
{
    if (!f->inode) return -ERR_CANCELED;
    return (f->flags & O_ACCMODE) == O_RDONLY ? error_from_errno(EBADF) : 0;
}

ssize_t sim_file_writev(struct file *file, const struct iovec *iov, int count, uint64_t offset)
{
    struct sim_file *f = sim_file_of(file);
    struct iovec first;
    int r = check_writable(f);
    if (r < 0) return r;
    if (!is_aligned(f, iov, count, offset)) return error_from_errno(EINVAL);
    int used = transfer_clip(f, iov, count, &first);
    struct file_op o = { .iov = used == 1 ? &first : iov, .count = used, .offset = offset };
    return file_op_run(file, write_perform, &o, "write");
}

static ssize_t sync_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    struct sim_inode *inode = o->f->inode;
    if (has_failed(m, m->disk.profile.write_error_ppm)) {
        sim_trace(m->sim, "sync.error", m, inode->id, o->offset, 0);
        sim_data_sync_fail(&m->disk, inode);
        return error_from_errno(EIO);
    }
    sim_trace(m->sim, "sync", m, inode->id, o->offset, m->disk.profile.is_honest);
    if (!m->disk.profile.is_honest) return 0;
    if (inode->is_dir) {
        sim_disk_sync_dir(&m->disk, inode);
    } else {
        sim_data_sync(inode, o->offset);
    }
    return 0;
}

int sim_file_sync(struct file *file)
{
    struct sim_file *f = sim_file_of(file);
    if (!f->inode) return -ERR_CANCELED;
    /* Covers what was written before the call, and no more. */
    struct file_op o = { .count = -1, .offset = f->inode->change_seq };
    return (int)file_op_run(file, sync_perform, &o, "sync");
}

static ssize_t truncate_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    int r = sim_data_truncate(&m->disk, o->f->inode, o->size);
    sim_trace(m->sim, "truncate", m, o->f->inode->id, o->size, (uint32_t)-r);
    return r;
}

int sim_file_truncate(struct file *file, uint64_t size)
{
    struct file_op o = { .size = size };
    int r = check_writable(sim_file_of(file));
    return r < 0 ? r : (int)file_op_run(file, truncate_perform, &o, "truncate");
}

static ssize_t allocate_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    int r = sim_data_allocate(&m->disk, o->f->inode, o->offset, o->size);
    sim_trace(m->sim, "allocate", m, o->f->inode->id, o->offset, (uint32_t)-r);
    return r;
}

int sim_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    struct file_op o = { .offset = offset, .size = size };
    int r = check_writable(sim_file_of(file));
    return r < 0 ? r : (int)file_op_run(file, allocate_perform, &o, "allocate");
}

static ssize_t punch_perform(struct sim_op *op)
{
    struct file_op *o = container_of(op, struct file_op, op);
    struct machine *m = op->machine;
    int r = sim_data_punch_hole(&m->disk, o->f->inode, o->offset, o->size);
    sim_trace(m->sim, "punch", m, o->f->inode->id, o->offset, (uint32_t)-r);
    return r;
}

int sim_file_punch_hole(struct file *file, uint64_t offset, uint64_t size)
{
    struct file_op o = { .offset = offset, .size = size };
    int r = check_writable(sim_file_of(file));
    return r < 0 ? r : (int)file_op_run(file, punch_perform, &o, "punch hole");
}

int sim_file_size(struct file *file, uint64_t *ret_bytes)
{
    struct sim_file *f = sim_file_of(file);
    if (!f->inode) return -ERR_CANCELED;
    *ret_bytes = f->inode->newest.size_bytes;
    return 0;
}

int sim_file_try_lock(struct file *file)
{
    struct sim_file *f = sim_file_of(file);
    if (!f->inode) return -ERR_CANCELED;
    if (f->inode->lock_owner && f->inode->lock_owner != f) return -ERR_BUSY;
    f->inode->lock_owner = f;
    return 0;
}

/* ---- paths ---- */

struct path_op {
    struct sim_op op;
    const char *path, *to;
    char **names;
    size_t count;
};

static int path_op_run(struct node *node, ssize_t (*perform)(struct sim_op *op), struct path_op *op,
                       const char *what)
{
    struct machine *m = node->machine;
    op->op.perform = perform;
    return (int)sim_op_run(&op->op, m, disk_delay_ns(m), what);
}

/* The name and result of a call on names. */
static int path_trace(struct path_op *o, const char *kind, int r)
{
    struct machine *m = o->op.machine;
    struct iovec name = { (void *)(uintptr_t)o->path, strlen(o->path) };
    sim_trace(m->sim, kind, m, (uint32_t)-r, 0, sim_crc_iov(&name, 1, name.iov_len));
    return r;
}

static ssize_t make_dir_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    return path_trace(o, "mkdir", sim_disk_make_dir(&op->machine->disk, o->path));
}

int sim_dir_make(struct node *node, const char *path, mode_t mode)
{
    struct path_op o = { .path = path };
    return path_op_run(node, make_dir_perform, &o, "mkdir");
}

static ssize_t sync_dir_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    struct machine *m = op->machine;
    struct sim_inode *dir;
    int r = sim_disk_find(&m->disk, o->path, &dir);
    if (r == 0 && !dir->is_dir) r = error_from_errno(ENOTDIR);
    if (r == 0 && has_failed(m, m->disk.profile.write_error_ppm)) r = error_from_errno(EIO);
    if (r == 0 && m->disk.profile.is_honest) sim_disk_sync_dir(&m->disk, dir);
    return path_trace(o, "syncdir", r);
}

int sim_dir_sync(struct node *node, const char *path)
{
    struct machine *m = node->machine;
    struct path_op o = { .op = { .perform = sync_dir_perform }, .path = path };
    return (int)sim_op_run(&o.op, m, sync_delay_ns(m), "sync directory");
}

static ssize_t list_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    struct sim_inode *dir;
    int r = sim_disk_find(&op->machine->disk, o->path, &dir);
    if (r == 0 && !dir->is_dir) r = error_from_errno(ENOTDIR);
    if (r == 0 && dir->names.count) {
        o->count = dir->names.count;
        o->names = xcalloc(o->count, sizeof(char *));
        for (size_t i = 0; i < o->count; i++)
            o->names[i] = xstrdup(dir->names.items[i].name);
    }
    return path_trace(o, "list", r);
}

int sim_dir_list(struct node *node, const char *path, char ***ret_names, size_t *ret_count)
{
    struct path_op o = { .path = path };
    int r = path_op_run(node, list_perform, &o, "list directory");
    if (r < 0) {
        names_free(o.names, o.count);
        return r;
    }
    *ret_names = o.names;
    *ret_count = o.count;
    return 0;
}

static ssize_t rename_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    return path_trace(o, "rename", sim_disk_rename(&op->machine->disk, o->path, o->to));
}

int sim_path_rename(struct node *node, const char *from, const char *to)
{
    struct path_op o = { .path = from, .to = to };
    return path_op_run(node, rename_perform, &o, "rename");
}

static ssize_t unlink_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    return path_trace(o, "unlink", sim_disk_unlink(&op->machine->disk, o->path));
}

int sim_path_unlink(struct node *node, const char *path)
{
    struct path_op o = { .path = path };
    return path_op_run(node, unlink_perform, &o, "unlink");
}

static ssize_t exists_perform(struct sim_op *op)
{
    struct path_op *o = container_of(op, struct path_op, op);
    struct sim_inode *inode;
    return path_trace(o, "exists", sim_disk_find(&op->machine->disk, o->path, &inode));
}

bool sim_path_exists(struct node *node, const char *path)
{
    struct path_op o = { .path = path };
    return path_op_run(node, exists_perform, &o, "exists") == 0;
}

int sim_path_space(struct node *node, const char *path, struct disk_space *ret)
{
    struct path_op o = { .path = path };
    int r = path_op_run(node, exists_perform, &o, "space");
    if (r < 0) return r;
    const struct sim_disk *disk = &node->machine->disk;
    uint64_t capacity = sim_disk_capacity_blocks(disk);
    uint64_t used = MIN_OF(disk->used_blocks, capacity);
    *ret = (struct disk_space){
        .capacity_bytes = capacity * SIM_BLOCK_SIZE,
        .free_bytes = (capacity - used) * SIM_BLOCK_SIZE,
        .device = (uint64_t)node->machine->id + 1,
    };
    return 0;
}
