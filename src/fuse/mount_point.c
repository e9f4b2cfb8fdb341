/* mount_point.c - the place of a mount on its host: what a killed daemon left there, the session
 * with the kernel, what the kernel is told of it.
 */
#include "fuse/mount.h"

#include "loop/mount_keeper.h"
#include "loop/mount_table.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define KEEPER_REFRESH_S_MAX 5.0

/* ---- the directory ---- */

/* The real path of the directory above it, and its name. */
static char *resolve_above(const char *path)
{
    cleanup_(freep) char *above = xstrdup(path);
    char *slash = strrchr(above, '/'), *text = NULL;
    if (!slash || slash == above || !slash[1]) return NULL;
    *slash = 0;
    cleanup_(freep) char *real = realpath(above, NULL);
    return real && asprintf(&text, "%s/%s", real, slash + 1) > 0 ? text : NULL;
}

/* A mount of ours is not touched: its daemon may be gone, and realpath() of glibc before 2.33 then
 * fails. */
char *mount_point_resolve(const char *path)
{
    struct stat st;
    char *real = realpath(path, NULL);
    if (!real && (errno == ENOTCONN || errno == ECONNABORTED)) real = resolve_above(path);
    if (real && (mount_is_ours(real) || (stat(real, &st) == 0 && S_ISDIR(st.st_mode)))) return real;
    free(real);
    return NULL;
}

enum mount_point_state { POINT_FREE, POINT_SERVED, POINT_STALE, POINT_STALE_BOUND };

static int mount_point_state(void *mountpoint)
{
    if (!mount_is_ours(mountpoint)) return POINT_FREE;
    if (mount_answers(mountpoint)) return POINT_SERVED;
    return mount_is_bound(mountpoint) ? POINT_STALE_BOUND : POINT_STALE;
}

/* A killed daemon leaves a mount that answers nobody. It goes just before the new one comes, and
 * not earlier: below it is a directory of this host, and what programs wrote there meanwhile would
 * be hidden. */
static int clear_stale_mount(struct mount *m)
{
    int state = blocking_run(m->node, mount_point_state, m->mountpoint);
    if (state <= POINT_FREE) return state;
    if (state == POINT_SERVED)
        return log_error(&m->node->log, -ERR_BUSY, "%s: a c3fs that runs is mounted there",
                         m->mountpoint);
    if (state == POINT_STALE_BOUND) {
        /* Mounted over it, the new one is seen outside of this container too. */
        log_warn(&m->node->log, 0,
                 "%s was left mounted by a process that is gone, and only the host can unmount it: "
                 "mounting over it",
                 m->mountpoint);
        return 0;
    }
    log_warn(&m->node->log, 0, "%s was left mounted by a process that is gone: unmounting it",
             m->mountpoint);
    if (mount_clear(m->mountpoint)) return 0;
    return log_error(&m->node->log, -ERR_BUSY, "%s: the stale mount cannot be taken away",
                     m->mountpoint);
}

/* ---- a mount that outlives its container ---- */

/* Killed, a mount on a directory that was bound from outside stays there; see mount_keeper.h. Those
 * who want attributes that are never old have none kept. */
static int keeper_start(void *arg)
{
    struct mount *m = arg;
    double refresh_s = MIN_OF(m->settings->attr_timeout / 2, KEEPER_REFRESH_S_MAX);
    if (refresh_s < 1 || !mount_is_bound(m->mountpoint)) return 0;
    return mount_keeper_start(m->mountpoint, (uint64_t)(refresh_s * SEC), &m->keeper);
}

static int keeper_stop(void *arg)
{
    struct mount *m = arg;
    m->keeper = mount_keeper_stop(m->keeper);
    return 0;
}

double mount_attr_timeout(const struct mount_inode *mi, double timeout_s)
{
    bool is_kept = mi->mount->keeper && fuse_of_inode(mi->id) == FUSE_ROOT_ID;
    return is_kept ? MAX_OF(timeout_s, MOUNT_KEPT_S) : timeout_s;
}

/* ---- the session ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct mount *m = userdata;
    static const unsigned wanted[] = { FUSE_CAP_ASYNC_READ, FUSE_CAP_PARALLEL_DIROPS,
                                       FUSE_CAP_READDIRPLUS, FUSE_CAP_ASYNC_DIO,
                                       FUSE_CAP_EXPORT_SUPPORT };
    static const unsigned unwanted[] = { FUSE_CAP_WRITEBACK_CACHE,  FUSE_CAP_SPLICE_READ,
                                         FUSE_CAP_SPLICE_WRITE,     FUSE_CAP_SPLICE_MOVE,
                                         FUSE_CAP_POSIX_LOCKS,      FUSE_CAP_FLOCK_LOCKS,
                                         FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_ATOMIC_O_TRUNC };
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        conn->want |= conn->capable & wanted[i];
    for (size_t i = 0; i < ARRAY_SIZE(unwanted); i++)
        conn->want &= ~unwanted[i];
    conn->max_write = 1 << 20;
    conn->max_read = 1 << 20;
    conn->max_readahead = (unsigned)MIN_OF(m->settings->readahead_bytes, 64 * MIB);
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .release = op_release,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .ioctl = op_ioctl,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
};

/* Up to the mount itself. */
static int session_prepare(struct mount *m)
{
    const struct fuse_settings *s = m->settings;
    char options[256];
    snprintf(options, sizeof options,
             "subtype=hf3fs,fsname=hf3fs.%s,max_read=1048576,default_permissions%s", s->cluster_id,
             s->allow_other ? ",allow_other" : "");
    char *argv[] = { (char[]){ "c3fs" }, (char[]){ "-o" }, options, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    m->session = fuse_session_new(&args, &operations, sizeof operations, m);
    fuse_opt_free_args(&args);
    if (!m->session)
        return log_error(&m->node->log, -ERR_INVALID_CONFIG, "libfuse refused the options %s",
                         options);
    int r = clear_stale_mount(m);
    return r < 0 ? r : blocking_run(m->node, keeper_start, m);
}

int mount_session_open(struct mount *m)
{
    int r = session_prepare(m);
    if (r >= 0 && fuse_session_mount(m->session, m->mountpoint) != 0)
        r = log_error(&m->node->log, error_from_errno(errno ? errno : EIO),
                      "cannot mount at %s: is /dev/fuse there, and may this user mount?",
                      m->mountpoint);
    if (r < 0) {
        mount_session_close(m);
        return r;
    }
    int fd = fuse_session_fd(m->session), flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return 0;
}

void mount_session_close(struct mount *m)
{
    FIBER_SHIELD();
    if (m->session) fuse_session_destroy(m->session);
    m->session = NULL;
    if (m->keeper && blocking_run(m->node, keeper_stop, m) < 0)
        log_warn(&m->node->log, 0, "the process that kept the root's attributes is left");
}

/* The device number of the mount, from the kernel's list: a stat() of the mount point would be a
 * request to this very process, and a process that is killed while it waits for its own answer can
 * never end. */
static bool mount_device(const struct mount *m, unsigned *ret_major, unsigned *ret_minor)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[8192], at[4096];
    bool is_found = false;
    while (f && fgets(line, sizeof line,
                      f)) { /* later ones are on top; a path with blanks is not found */
        unsigned major, minor;
        if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, at) != 3) continue;
        if (strcmp(at, m->mountpoint) != 0) continue;
        *ret_major = major;
        *ret_minor = minor;
        is_found = true;
    }
    if (f) fclose(f);
    return is_found;
}

/* The kernel's default of 128 KiB keeps one request under way; as root it can be told to read
 * further ahead. */
static int readahead_raise(void *arg)
{
    struct mount *m = arg;
    unsigned major, minor;
    if (!mount_device(m, &major, &minor)) return 0;
    char path[128];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major, minor);
    FILE *f = fopen(path, "w");
    if (!f) return 0;
    fprintf(f, "%llu\n", (unsigned long long)(m->settings->readahead_bytes / KIB));
    fclose(f);
    return 0;
}

int mount_readahead_run(void *mount)
{
    struct mount *m = mount;
    return blocking_run(m->node, readahead_raise, m);
}
