/* fleet_file.c - see fleet_file.h. */
#include "sim/fleet_file.h"
#include "base/check.h"
#include <sys/stat.h>

/* Where disks may be full for a while, being refused for that is as good as no answer. */
static bool is_certain(const struct fleet_client *c, int r)
{
    if (r == -ERR_NO_SPACE && c->fleet->options.faults & FLEET_DISK_FULL) return false;
    return r >= 0 || error_action(r) == ACTION_FAIL;
}

/* May it go on? */
static int check_limit(struct fleet_client *c, uint64_t begin_ns, const char *what, int r)
{
    struct fleet *f = c->fleet;
    if (fiber_is_cancelled()) return -ERR_CANCELED;
    if (f->why[0]) return -ERR_FOUND_BUG;
    if (fleet_now_ns(f) - begin_ns < FLEET_OP_LIMIT_NS) return fiber_sleep(10 * MSEC);
    return fleet_fail(f, "%s: %s does not come to an end: %s", c->name, what, error_name(r));
}

/* The request begins with a struct meta_base, which is filled in. */
static int call(struct fleet_client *c, const char *what, const struct rpc_method *method,
                struct arena *arena, void *request, void *reply)
{
    static const struct user_info root = { 0 };
    meta_base_init(c->meta, &root, request);
    uint64_t begin_ns = fleet_now_ns(c->fleet);
    for (;;) {
        int r = meta_call(c->meta, method, arena, request, reply, NULL);
        log_info(&c->node->log, "%s: %s after %.3f s", what, error_name(MIN_OF(r, 0)),
                 (double)(fleet_now_ns(c->fleet) - begin_ns) / 1e9);
        if (is_certain(c, r)) return r;
        r = check_limit(c, begin_ns, what, r);
        if (r < 0) return r;
    }
}

static void take(struct fleet_file *file, const struct inode *inode)
{
    const struct u32_list *chains = &inode->layout.chains;
    check(chains->count <= ARRAY_SIZE(file->chains));
    if (chains->count) memcpy(file->chains, chains->items, chains->count * sizeof file->chains[0]);
    file->inode = *inode;
    file->inode.layout.chains.items = file->chains;
    file->inode.symlink = (struct bytes){ 0 };
}

/* It may have been copied. */
static void own_lists(struct fleet_file *file)
{
    file->inode.layout.chains.items = file->chains;
}

static struct uuid session_new(struct fleet_client *c)
{
    return (struct uuid){ node_random_u64(c->node), node_random_u64(c->node) | 1 };
}

/* ---- names ---- */

int fleet_lookup(struct fleet_client *c, uint64_t parent, const char *name, struct fleet_file *ret)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct lookup_request req = { .parent = parent, .name = bytes_of_text(name) };
    struct inode_reply rep = { 0 };
    int r = call(c, "lookup", RPC_METHOD(meta, lookup), &arena, &req, &rep);
    if (r < 0) return r;
    *ret = (struct fleet_file){ 0 };
    take(ret, &rep.inode);
    return 0;
}

int fleet_create(struct fleet_client *c, uint64_t parent, const char *name, uint32_t mode,
                 bool opens, struct fleet_file *ret)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct create_request req = {
        .parent = parent, .name = bytes_of_text(name), .mode = mode, .exclusive = 1
    };
    if (opens) req.session = session_new(c);
    log_info(&c->node->log, "create %s of %" PRIx64 ", mode %o", name, parent, mode);
    struct inode_reply rep = { 0 };
    int r = call(c, "create", RPC_METHOD(meta, create), &arena, &req, &rep);
    if (r < 0) return r;
    if (!rep.created) return fleet_fail(c->fleet, "%s: create of %s made nothing", c->name, name);
    *ret = (struct fleet_file){ .is_open = opens, .session = req.session };
    take(ret, &rep.inode);
    return 0;
}

int fleet_remove(struct fleet_client *c, uint64_t parent, const char *name, enum remove_kind kind,
                 uint64_t *ret_inode)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct remove_request req = { .parent = parent, .name = bytes_of_text(name), .kind = kind };
    struct inode_reply rep = { 0 };
    log_info(&c->node->log, "remove %s of %" PRIx64 " (%d)", name, parent, (int)kind);
    int r = call(c, "remove", RPC_METHOD(meta, remove), &arena, &req, &rep);
    if (r >= 0) *ret_inode = rep.inode.id;
    return r;
}

int fleet_rename(struct fleet_client *c, struct fleet_place from, struct fleet_place to,
                 uint32_t flags)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct rename_request req = { .parent = from.parent,
                                  .name = bytes_of_text(from.name),
                                  .new_parent = to.parent,
                                  .new_name = bytes_of_text(to.name),
                                  .flags = flags };
    struct inode_reply rep = { 0 };
    log_info(&c->node->log, "rename %s of %" PRIx64 " to %s of %" PRIx64, from.name, from.parent,
             to.name, to.parent);
    return call(c, "rename", RPC_METHOD(meta, rename), &arena, &req, &rep);
}

int fleet_link(struct fleet_client *c, uint64_t inode, struct fleet_place to)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct link_request req = { .inode = inode,
                                .parent = to.parent,
                                .name = bytes_of_text(to.name) };
    struct inode_reply rep = { 0 };
    log_info(&c->node->log, "link %" PRIx64 " to %s of %" PRIx64, inode, to.name, to.parent);
    return call(c, "link", RPC_METHOD(meta, link), &arena, &req, &rep);
}

int fleet_list(struct fleet_client *c, uint64_t parent, struct arena *arena,
               struct dentry_list *ret)
{
    struct list_request req = { .parent = parent };
    struct list_reply rep = { 0 };
    int r = call(c, "list", RPC_METHOD(meta, list), arena, &req, &rep);
    if (r >= 0) *ret = rep.entries;
    return r;
}

int fleet_stat(struct fleet_client *c, struct fleet_file *file)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t id = file->inode.id;
    struct stat_request req = { .inodes = { &id, 1 } };
    struct stat_reply rep = { 0 };
    int r = call(c, "stat", RPC_METHOD(meta, stat), &arena, &req, &rep);
    if (r < 0) return r;
    if (rep.inodes.count != 1 || rep.inodes.items[0].mode == 0) return -ERR_META_NOT_FOUND;
    take(file, &rep.inodes.items[0]);
    return 0;
}

/* ---- open files ---- */

int fleet_open(struct fleet_client *c, struct fleet_file *file, bool truncates)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct open_request req = {
        .inode = file->inode.id, .access = 4 | 2, .truncate = truncates, .session = session_new(c)
    };
    struct inode_reply rep = { 0 };
    log_info(&c->node->log, "open %" PRIx64 "%s", file->inode.id, truncates ? ", truncating" : "");
    int r = call(c, "open", RPC_METHOD(meta, open), &arena, &req, &rep);
    if (r < 0) return r;
    *file = (struct fleet_file){ .is_open = true, .session = req.session };
    take(file, &rep.inode);
    return 0;
}

/* A truncate raised the generation: hear of it, and finish its trim. */
static int refresh(struct fleet_client *c, struct fleet_file *file)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct inode_request req = { .inode = file->inode.id };
    struct inode_reply rep = { 0 };
    int r = call(c, "finish_trim", RPC_METHOD(meta, finish_trim), &arena, &req, &rep);
    if (r >= 0) take(file, &rep.inode);
    return r;
}

int fleet_write(struct fleet_client *c, struct fleet_file *file, const void *from, size_t size,
                uint64_t offset)
{
    own_lists(file);
    uint64_t begin_ns = fleet_now_ns(c->fleet);
    for (;;) {
        if (file->inode.trim_from != TRIM_NONE && offset + size > file->inode.trim_from) {
            int r = refresh(c, file);
            if (r < 0) return r;
        }
        int r = file_write_chunks(c->storage, mgmtd_client_routing(c->mgmtd), &file->inode, from,
                                  size, offset);
        if (r == 0) {
            file->end = file->has_wrote ? MAX_OF(file->end, offset + size) : offset + size;
            file->has_wrote = true;
        }
        if (r == -ERR_CHUNK_STALE_GENERATION) {
            int refreshed = refresh(c, file);
            if (refreshed < 0) return refreshed;
        } else if (is_certain(c, r)) {
            return r;
        }
        r = check_limit(c, begin_ns, "write", r);
        if (r < 0) return r;
    }
}

int fleet_read(struct fleet_client *c, struct fleet_file *file, void *to, size_t size,
               uint64_t offset, size_t *ret_size)
{
    own_lists(file);
    uint64_t begin_ns = fleet_now_ns(c->fleet);
    uint64_t length = MAX_OF(file->inode.length, file->has_wrote ? file->end : 0);
    struct read_options options = { .choice = TARGET_SPREAD };
    for (;;) {
        ssize_t n = file_read_chunks(c->storage, mgmtd_client_routing(c->mgmtd), &file->inode,
                                     length, to, size, offset, &options);
        if (n >= 0) {
            *ret_size = (size_t)n;
            return 0;
        }
        if (is_certain(c, (int)n)) return (int)n;
        int r = check_limit(c, begin_ns, "read", (int)n);
        if (r < 0) return r;
    }
}

int fleet_settle(struct fleet_client *c, struct fleet_file *file)
{
    if (!file->has_wrote) return 0;
    cleanup_arena_ struct arena arena = { 0 };
    struct settle_request req = { .inode = file->inode.id,
                                  .wrote = 1,
                                  .length_hint = file->end,
                                  .generation = file->inode.generation };
    struct inode_reply rep = { 0 };
    int r = call(c, "fsync", RPC_METHOD(meta, settle), &arena, &req, &rep);
    if (r < 0) return r;
    take(file, &rep.inode);
    file->has_wrote = false;
    return 0;
}

int fleet_close(struct fleet_client *c, struct fleet_file *file)
{
    int r = fleet_settle(c, file);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena = { 0 };
    struct open_file one = { .inode = file->inode.id, .session = file->session };
    struct close_request req = { .files = { &one, 1 } };
    struct empty_record rep = { 0 };
    log_info(&c->node->log, "close %" PRIx64, file->inode.id);
    r = call(c, "close", RPC_METHOD(meta, close), &arena, &req, &rep);
    if (r >= 0) file->is_open = false;
    return r;
}

int fleet_truncate(struct fleet_client *c, struct fleet_file *file, uint64_t length)
{
    int r = fleet_settle(c, file);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena = { 0 };
    struct setattr_request req = {
        .inode = file->inode.id, .set = SETATTR_LENGTH, .length = length, .via_open_file = 1
    };
    struct inode_reply rep = { 0 };
    r = call(c, "truncate", RPC_METHOD(meta, setattr), &arena, &req, &rep);
    if (r >= 0) take(file, &rep.inode);
    return r;
}

int fleet_append(struct fleet_client *c, struct fleet_file *file, const void *from, size_t size,
                 uint64_t *ret_offset)
{
    int r = fleet_settle(c, file);
    if (r < 0) return r;
    cleanup_arena_ struct arena arena = { 0 };
    struct append_request req = { .inode = file->inode.id, .length = size };
    struct append_reply rep = { 0 };
    r = call(c, "append", RPC_METHOD(meta, append), &arena, &req, &rep);
    if (r < 0) return r;
    take(file, &rep.inode);
    *ret_offset = rep.offset;
    return fleet_write(c, file, from, size, rep.offset);
}
