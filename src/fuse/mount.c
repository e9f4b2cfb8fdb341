/* mount.c - the role: joins the cluster, mounts (mount_point.c), reads requests and runs each as a
 * fiber. */
#include "fuse/mount.h"

#include "base/check.h"
#include "loop/file.h"
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>

#define SETTING_STRUCT_NAME fuse_settings
SETTINGS_TABLE(fuse_settings_table, FUSE_SETTINGS)

#define INTERRUPT_GRACE_NS (1 * SEC)

/* Memory of one request; kept for the next one. */
struct request_buffer {
    struct list link;
    uint8_t *memory;
};

struct request {
    struct mount *mount;
    struct request_buffer *buffer;
    struct fuse_buf buf;
    uint64_t unique;     /* the kernel's number of it */
    struct fiber *fiber; /* NULL until it runs */
    bool is_interrupted;
};

struct mount *mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

void reply_error(fuse_req_t req, int r)
{
    struct mount *m = mount_of(req);
    if (r < 0) ++*m->metric_errors;
    int eno = error_to_errno(r);
    /* What would pass with time did not pass in time: programs understand EIO. */
    if (error_action(r) != ACTION_FAIL || eno == EAGAIN) eno = EIO;
    fuse_reply_err(req, r < 0 ? eno : 0);
}

struct user_info user_of(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct user_info){ .uid = ctx->uid, .gid = ctx->gid };
}

void base_of_request(fuse_req_t req, struct meta_base *base)
{
    struct user_info user = user_of(req);
    meta_base_init(mount_of(req)->meta, &user, base);
    base->flags = META_KERNEL_CHECKED; /* mounted with default_permissions */
}

int check_writable(fuse_req_t req)
{
    return user_view(mount_of(req), fuse_req_ctx(req)->uid).readonly ? -ERR_READ_ONLY_MODE : 0;
}

/* ---- interrupts ----
 *
 * The kernel passes on any signal, also those after which a program goes on; programs do not expect
 * EINTR from files. So an operation has a grace to finish, and only one that hangs is cancelled. */

struct interrupt {
    struct mount *mount;
    uint64_t unique;
};

static int interrupt_run(void *arg)
{
    struct interrupt *i = arg;
    int r = fiber_sleep(INTERRUPT_GRACE_NS);
    const struct request *request = map_get(&i->mount->running, i->unique);
    if (r >= 0 && request && request->fiber) fiber_cancel(request->fiber);
    free(i);
    return 0;
}

/* True when it was an interrupt, which has no answer. What is interrupted was read before it, so if
 * it is not running it has been answered. */
static bool take_interrupt(struct mount *m, const struct fuse_buf *buf)
{
    struct fuse_in_header head;
    struct fuse_interrupt_in in;
    if (buf->size < sizeof head + sizeof in) return false;
    memcpy(&head, buf->mem, sizeof head);
    if (head.opcode != FUSE_INTERRUPT) return false;
    memcpy(&in, (const uint8_t *)buf->mem + sizeof head, sizeof in);
    struct request *request = map_get(&m->running, in.unique);
    if (!request || request->is_interrupted) return true;
    request->is_interrupted = true;
    struct interrupt *i = new_zero(struct interrupt);
    *i = (struct interrupt){ m, in.unique };
    if (fiber_spawn(&m->requests, "interrupt", interrupt_run, i) < 0) free(i);
    return true;
}

/* ---- notifications, on a helper thread ---- */

struct notice {
    struct fuse_session *session;
    fuse_ino_t ino;
    const char *name;
    off_t offset, size; /* offset < 0: attributes only */
};

static int notice_send(void *arg)
{
    struct notice *n = arg;
    if (n->name)
        return fuse_lowlevel_notify_inval_entry(n->session, n->ino, n->name, strlen(n->name));
    return fuse_lowlevel_notify_inval_inode(n->session, n->ino, n->offset, n->size);
}

/* Few at a time: one may wait for a page until its read is answered, and in a process of all roles
 * that read may need a helper thread too. What fails was not held by the kernel, or this request is
 * cancelled. */
static void notice_run(struct mount *m, struct notice *n)
{
    int r = fiber_semaphore_take(&m->notice_slots, 1);
    if (r < 0) return;
    r = blocking_run(m->node, notice_send, n);
    (void)r;
    fiber_semaphore_give(&m->notice_slots, 1);
}

void mount_invalidate_attributes(struct mount *m, fuse_ino_t ino)
{
    struct notice n = { .session = m->session, .ino = ino, .offset = -1 };
    notice_run(m, &n);
}

void mount_invalidate_pages(struct mount *m, fuse_ino_t ino, uint64_t offset, uint64_t size)
{
    struct notice n = {
        .session = m->session, .ino = ino, .offset = (off_t)offset, .size = (off_t)size
    };
    notice_run(m, &n);
}

void mount_invalidate_entry(struct mount *m, fuse_ino_t parent, const char *name)
{
    struct notice n = { .session = m->session, .ino = parent, .name = name };
    notice_run(m, &n);
}

/* ---- requests ---- */

static struct request_buffer *buffer_get(struct mount *m)
{
    struct list *node = list_pop_front(&m->free_buffers);
    if (node) return list_entry(node, struct request_buffer, link);
    struct request_buffer *b = new_zero(struct request_buffer);
    list_init(&b->link);
    b->memory = aligned_alloc(4096, MOUNT_REQUEST_BYTES);
    check(b->memory != NULL);
    return b;
}

static void buffers_free(struct mount *m)
{
    list_for_each_safe (it, &m->free_buffers) {
        struct request_buffer *b = list_entry(it, struct request_buffer, link);
        free(b->memory);
        free(b);
    }
}

static void request_free(struct request *r)
{
    struct mount *m = r->mount;
    if (map_get(&m->running, r->unique) == r) map_remove(&m->running, r->unique);
    list_push_front(&m->free_buffers, &r->buffer->link);
    fiber_semaphore_give(&m->request_slots, 1);
    free(r);
}

static int request_run(void *arg)
{
    struct request *r = arg;
    r->fiber = fiber_self();
    {
        FIBER_TIMEOUT(r->mount->settings->timeout_ns);
        fuse_session_process_buf(r->mount->session, &r->buf);
    }
    request_free(r);
    return 0;
}

/* Reads one request; 1, 0 when there is none now, or an error; -ERR_CANCELED: unmounted. */
static int request_receive(struct mount *m, struct request_buffer *buffer, struct fuse_buf *ret)
{
    *ret = (struct fuse_buf){ .mem = buffer->memory, .size = MOUNT_REQUEST_BYTES };
    int n = fuse_session_receive_buf(m->session, ret);
    if (n > 0) return 1;
    if (n == 0 || fuse_session_exited(m->session)) return -ERR_CANCELED;
    return n == -EAGAIN || n == -EINTR ? 0 : error_from_errno(-n);
}

/* A fiber for it, which owns the buffer. */
static int request_start(struct mount *m, struct request_buffer *buffer, const struct fuse_buf *buf)
{
    struct fuse_in_header head = { 0 };
    memcpy(&head, buffer->memory, MIN_OF(buf->size, sizeof head));
    struct request *req = new_zero(struct request);
    *req = (struct request){ .mount = m, .buffer = buffer, .buf = *buf, .unique = head.unique };
    req->buf.mem = buffer->memory;
    /* What needs no answer, as forget, has number 0. */
    if (req->unique) map_put(&m->running, req->unique, req);
    ++*m->metric_requests;
    int r = fiber_spawn(&m->requests, "fuse", request_run, req);
    if (r < 0) request_free(req);
    return r;
}

static int serve_requests(struct mount *m)
{
    int fd = fuse_session_fd(m->session);
    for (;;) {
        int r = fiber_semaphore_take(&m->request_slots, 1);
        if (r < 0) return r;
        struct request_buffer *buffer = buffer_get(m);
        struct fuse_buf buf;
        while ((r = request_receive(m, buffer, &buf)) >= 0) {
            if (r > 0 && !take_interrupt(m, &buf)) break;
            if (r == 0) r = fd_wait(m->node, fd, POLLIN);
            if (r < 0) break;
        }
        if (r < 0) {
            list_push_front(&m->free_buffers, &buffer->link);
            fiber_semaphore_give(&m->request_slots, 1);
            return r;
        }
        r = request_start(m, buffer, &buf);
        if (r < 0) return r;
    }
}

/* ---- periodic settlement ---- */

static void settle_open_files(struct mount *m)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t *inos = arena_array(&arena, uint64_t, m->inodes.count);
    size_t at = 0, count = 0;
    struct mount_inode *mi;
    while ((mi = map_next(&m->inodes, &at)))
        if (writes_are_dirty(mi)) inos[count++] = fuse_of_inode(mi->id);
    for (size_t i = 0; i < count; i++) {
        mi = mount_inode_find(m, inos[i]);
        if (!mi || (writes_are_pending(mi) && !m->settings->periodic_sync_flush)) continue;
        FIBER_TIMEOUT(m->settings->timeout_ns);
        mount_inode_pin(mi);
        int r = writes_settle(mi);
        if (r < 0 && r != -ERR_CANCELED)
            log_warn(&m->node->log, r, "inode %llx was not settled", (unsigned long long)mi->id);
        mount_inode_unpin(mi);
    }
}

static int periodic_run(void *arg)
{
    struct mount *m = arg;
    for (;;) {
        int r = fiber_sleep(MAX_OF(m->settings->periodic_sync_ns, 100 * MSEC));
        if (r < 0) return r;
        if (m->settings->periodic_sync_enable) settle_open_files(m);
    }
}

/* ---- mounting ---- */

static int token_read(struct mount *m, struct auth_identity *ret)
{
    const struct fuse_settings *s = m->settings;
    cleanup_(freep) char *text = NULL;
    size_t size = 0;
    const char *token = s->token;
    if (!token[0] && s->token_file[0]) {
        int r = file_read_all(m->node, s->token_file, 4096, &text, &size);
        if (r < 0)
            return log_error(&m->node->log, r, "cannot read the token file %s", s->token_file);
        text[strcspn(text, "\r\n")] = 0;
        token = text;
    }
    if (!token[0])
        return log_error(&m->node->log, -ERR_INVALID_CONFIG, "no token: set TOKEN or token_file");
    if (strlen(token) > AUTH_TOKEN_BYTES_MAX)
        return log_error(&m->node->log, -ERR_INVALID_CONFIG, "the token is longer than %d bytes",
                         AUTH_TOKEN_BYTES_MAX);
    *ret = (struct auth_identity){ .kind = AUTH_TOKEN };
    memcpy(ret->token, token, strlen(token));
    return 0;
}

static int check_settings(struct mount *m)
{
    const struct fuse_settings *s = m->settings;
    struct log *log = &m->node->log;
    if (s->mgmtd.count == 0)
        return log_error(log, -ERR_INVALID_CONFIG,
                         "mgmtd_server_addresses is not set (MGMTD_SERVER_ADDRESSES)");
    if (strlen(s->cluster_id) >= 32)
        return log_error(log, -ERR_INVALID_CONFIG, "cluster_id '%s' has 32 bytes or more",
                         s->cluster_id);
    m->mountpoint = mount_point_resolve(s->mountpoint);
    if (!m->mountpoint)
        return log_error(log, -ERR_INVALID_CONFIG,
                         "mountpoint %s is not a directory: create it first", s->mountpoint);
    return 0;
}

static int serve_mounted(struct mount *m)
{
    int r = mount_session_open(m);
    if (r < 0) return r;
    log_info(&m->node->log, "mounted hf3fs.%s at %s", m->settings->cluster_id, m->mountpoint);
    scope_init(&m->requests, sched_current());
    m->requests.local = m->node;
    r = fiber_spawn(&m->requests, "periodic-sync", periodic_run, m);
    if (r >= 0) r = fiber_spawn(&m->requests, "closed-files", session_ends_run, m);
    if (r >= 0) r = fiber_spawn(&m->requests, "read-ahead", mount_readahead_run, m);
    if (r >= 0) r = serve_requests(m);
    {
        FIBER_SHIELD();
        FIBER_TIMEOUT(10 * SEC);
        fuse_session_unmount(m->session); /* no new requests; what runs still answers */
        settle_open_files(m);
        scope_done(&m->requests);
        /* Without an answer they are pruned, as those of a mount that was killed. */
        int sent = session_ends_send(m);
        if (sent < 0) log_warn(&m->node->log, sent, "closed files are left to be pruned");
    }
    mount_session_close(m);
    return r == -ERR_CANCELED ? 0 : r;
}

static int join_cluster(struct mount *m, const struct net_address *servers)
{
    struct auth_identity identity;
    int r = token_read(m, &identity);
    if (r < 0) return r;
    struct mgmtd_client_options options = { .cluster_id = m->settings->cluster_id,
                                            .servers = servers,
                                            .server_count = m->settings->mgmtd.count,
                                            .identity = &identity };
    node_random_bytes(m->node, &m->client, sizeof m->client);
    m->mgmtd = mgmtd_client_new(m->node, &options);
    m->routing = mgmtd_client_routing(m->mgmtd);
    r = mgmtd_client_start_session(m->mgmtd, NODE_FUSE, m->client, m->mountpoint);
    if (r < 0) return log_error(&m->node->log, r, "the cluster manager refused this mount's token");
    struct meta_client_options meta = { .client = m->client,
                                        .total_timeout_ns = m->settings->timeout_ns };
    struct storage_client_options storage = { .client = m->client,
                                              .total_timeout_ns = m->settings->timeout_ns,
                                              .verify_reads = true };
    m->meta = meta_client_new(m->node, m->mgmtd, &meta);
    m->storage = storage_client_new(m->node, m->mgmtd, &storage);
    return 0;
}

static int parse_servers(struct mount *m, struct arena *arena, struct net_address **ret)
{
    *ret = arena_array(arena, struct net_address, m->settings->mgmtd.count);
    for (uint32_t i = 0; i < m->settings->mgmtd.count; i++) {
        int r = net_address_parse(m->settings->mgmtd.items[i], &(*ret)[i]);
        if (r < 0)
            return log_error(
                &m->node->log, r,
                "mgmtd_server_addresses: '%s' is no address such as TCP://10.0.0.1:8000",
                m->settings->mgmtd.items[i]);
    }
    return 0;
}

int fuse_run(struct node *node, struct fuse_settings *settings)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct mount m = { .node = node, .settings = settings, .mounted_ns = node_wall_ns(node) };
    struct net_address *servers = NULL;
    map_init(&m.inodes, node_random_u64(node));
    map_init(&m.running, node_random_u64(node));
    list_init(&m.free_buffers);
    list_init(&m.spare_writes);
    list_init(&m.open_files);
    session_ends_init(&m.session_ends);
    fiber_semaphore_init(&m.request_slots, MOUNT_REQUEST_COUNT_MAX);
    fiber_semaphore_init(&m.notice_slots, MOUNT_NOTICE_COUNT_MAX);
    m.metric_requests = metrics_cell(node->metrics, "fuse.requests");
    m.metric_errors = metrics_cell(node->metrics, "fuse.errors");
    m.users = user_config_new(&m);
    int r = check_settings(&m);
    if (r >= 0) r = parse_servers(&m, &arena, &servers);
    if (r >= 0) r = join_cluster(&m, servers);
    if (r >= 0) r = serve_mounted(&m);
    {
        FIBER_SHIELD();
        storage_client_free(m.storage);
        meta_client_free(m.meta);
        mgmtd_client_free(m.mgmtd);
    }
    inode_table_done(&m);
    session_ends_done(&m.session_ends);
    map_done(&m.running);
    buffers_free(&m);
    writes_forget_spare(&m);
    user_config_free(m.users);
    free(m.mountpoint);
    return r == -ERR_CANCELED ? 0 : r;
}
