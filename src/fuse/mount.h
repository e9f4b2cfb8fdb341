/* mount.h - what the files of the FUSE role share: the mount, inodes that the kernel knows, open
 * files.
 *
 * Every request is a fiber: read from the session's descriptor, handled, answered on the loop's
 * thread; it owns its buffer until it is answered. Notifications to the kernel may wait for
 * requests, so they go through helper threads only (mount_invalidate). The daemon never touches a
 * path below its own mount.
 */
#pragma once
#define FUSE_USE_VERSION 314
#include "base/map.h"
#include "client/file_io.h"
#include "client/meta_client.h"
#include "fiber/sync.h"
#include "fuse/fuse.h"
#include "loop/loop.h"
#include <fuse_lowlevel.h>
#include <sys/stat.h>

enum {
    MOUNT_REQUEST_BYTES = (1 << 20) + 8192,
    MOUNT_REQUEST_COUNT_MAX = 2048, /* while all wait for a server, interrupts are not read */
    MOUNT_NOTICE_COUNT_MAX = 4
};

/* Sessions that ended and access times that moved on, of which meta does not know yet. */
struct doubted_creation {
    uint64_t parent;
    char *name; /* owned */
    struct uuid session;
};
enum { DOUBTED_CREATION_COUNT_MAX = 1024 }; /* of the rest, sessions end with the mount */
struct session_ends {
    struct open_file *items;
    uint32_t count, capacity;
    /* Creations whose callers gave up: they may have opened a session, of an inode unknown here. */
    struct doubted_creation *doubts;
    uint32_t doubt_count;
    struct wait_queue any;
    struct fiber_mutex sending;
};

struct mount {
    struct node *node;
    struct fuse_settings *settings;
    struct fuse_session *session;
    struct mount_keeper *keeper; /* NULL where none is needed */
    struct mgmtd_client *mgmtd;
    struct meta_client *meta;
    struct storage_client *storage;
    struct routing *routing;
    struct uuid client;
    struct map inodes;      /* fuse_ino_t -> struct mount_inode * */
    struct list open_files; /* of struct mount_file */
    struct session_ends session_ends;
    struct scope requests;
    struct fiber_semaphore request_slots, notice_slots;
    struct list free_buffers;
    struct list spare_writes; /* of write_buffer.c */
    uint32_t spare_write_count;
    struct map running; /* the kernel's number -> struct request *, for interrupts */
    struct user_config *users;
    uint64_t mounted_ns; /* wall clock, times of virtual files */
    char *mountpoint;    /* real path */
    uint64_t *metric_requests, *metric_errors;
};

#define CHANGE_NONE UINT64_MAX

/* An inode that the kernel holds by lookups or that is open. */
struct mount_inode {
    struct mount *mount;
    uint64_t id;
    uint64_t lookup_count;
    uint32_t open_count;                 /* file handles */
    uint32_t cached_count, direct_count; /* answered handles, with the page cache and without */
    uint32_t pin_count;                  /* operations at work on it */
    struct inode inode;   /* as last heard from meta; symlink and chains point to owned memory */
    uint64_t heard_ns;    /* when meta last told all of it, node_now_ns() */
    uint64_t kept_ns;     /* when its chunks were last known not to be collected */
    bool is_touched_here; /* a directory whose times alone have changed since, by this mount */
    bool is_known;        /* inode holds something */
    /* inode.change of what the kernel holds, or CHANGE_NONE. */
    uint64_t pages_change, attributes_change;
    int64_t read_ns;     /* access time of reads here, if meta has none later; 0: none */
    struct uuid session; /* of writers and kept readers; zero: none at meta */
    bool session_writes;
    uint32_t writer_count; /* handles open for writing */
    struct fiber_mutex session_lock;
    struct fiber_rwlock io;      /* truncates against reads and writes */
    struct write_buffer *writes; /* NULL until the first write */
};

/* An open file; its address is fi->fh. */
struct mount_file {
    struct list link; /* mount.open_files */
    struct mount_inode *mi;
    bool writes;
    bool is_cached, is_direct; /* neither before the open is answered */
};

/* ---- inodes (inode_table.c) ---- */

uint64_t inode_of_fuse(fuse_ino_t ino);
fuse_ino_t fuse_of_inode(uint64_t id);
/* Found or made; not counted. */
struct mount_inode *mount_inode_get(struct mount *m, fuse_ino_t ino);
struct mount_inode *mount_inode_find(struct mount *m, fuse_ino_t ino);
void mount_inode_pin(struct mount_inode *mi);
void mount_inode_unpin(struct mount_inode *mi); /* may free it */
void mount_inode_forget(struct mount *m, fuse_ino_t ino, uint64_t count);
/* Keeps a copy of what meta said. */
void mount_inode_update(struct mount_inode *mi, const struct inode *inode);
/* Attributes for the kernel, with what this mount has written and not settled. */
void mount_inode_to_stat(struct mount_inode *mi, struct stat *st);
/* Call after an operation of this mount that the kernel also did to what it holds, with the inode
 * as it was before: if nobody else changed the file in between, the kernel's copies are up to date.
 */
void mount_inode_followed(struct mount_inode *mi, uint64_t change, uint32_t generation);
/* A file was made or removed in the directory by this mount at @time_ns: only its times change. */
void mount_directory_touched(struct mount *m, fuse_ino_t directory, int64_t time_ns);
/* More than that may have changed. */
void mount_directory_changed(struct mount *m, fuse_ino_t directory);
uint64_t mount_inode_length(const struct mount_inode *mi);
/* Asks meta for it anew. 1 when it is gone there, and so has no name any more (nlink 0). */
int mount_inode_refresh(fuse_req_t req, struct mount_inode *mi) fiber_fn must_check;
/* Remembers the inode, counts a lookup and answers with the entry. */
void reply_entry(struct mount *m, fuse_req_t req, const struct inode *inode);
void inode_table_done(struct mount *m);

/* ---- requests (mount.c) ---- */

struct mount *mount_of(fuse_req_t req);
void reply_error(fuse_req_t req, int r); /* r: 0 or a negative status */
struct user_info user_of(fuse_req_t req);
void base_of_request(fuse_req_t req, struct meta_base *base);
/* -ERR_READ_ONLY_MODE when the mount or the user's view is read-only. */
int check_writable(fuse_req_t req);
/* Drops the kernel's attributes of an inode; waits for it. */
void mount_invalidate_attributes(struct mount *m, fuse_ino_t ino) fiber_fn;
/* And its pages that hold bytes of [offset, offset + size); size 0: to the end. Must not be called
 * by what a read or a write-back of such a page waits for. */
void mount_invalidate_pages(struct mount *m, fuse_ino_t ino, uint64_t offset,
                            uint64_t size) fiber_fn;
/* Drops a name that the kernel holds. */
void mount_invalidate_entry(struct mount *m, fuse_ino_t parent, const char *name) fiber_fn;

/* ---- the session with the kernel (mount_point.c) ---- */

/* The real path of a mountpoint, owned by the caller; NULL when it is no directory. */
char *mount_point_resolve(const char *path);
/* Mounts; takes away, or covers, what a killed daemon left there. Sets m->session. */
int mount_session_open(struct mount *m) fiber_fn must_check;
void mount_session_close(struct mount *m) fiber_fn;
int mount_readahead_run(void *mount); /* a fiber: lets the kernel read ahead as far as is set */
/* How long the kernel may trust the inode's attributes, by default @timeout_s. */
double mount_attr_timeout(const struct mount_inode *mi, double timeout_s);

/* ---- buffered writes (write_buffer.c) ---- */

/* Appends to the inode's buffer or replaces it; full buffers go on their way. The first error of an
 * earlier write is returned once. */
int write_buffered(struct mount_inode *mi, const void *data, size_t size,
                   uint64_t offset) fiber_fn must_check;
/* Straight to the chunks, after what is buffered. */
int write_through(struct mount_inode *mi, const void *data, size_t size,
                  uint64_t offset) fiber_fn must_check;
/* Everything written so far is on the chunks, or has failed: writes_take_error(). */
int writes_flush(struct mount_inode *mi) fiber_fn must_check;
/* And its length and times are known to meta. */
int writes_settle(struct mount_inode *mi) fiber_fn must_check;
/* The first error of writes that had returned already, once: for write, flush and fsync, as Linux
 * does. */
int writes_take_error(struct mount_inode *mi) must_check;
bool writes_are_dirty(const struct mount_inode *mi);   /* buffered, on the way, or not settled */
bool writes_are_pending(const struct mount_inode *mi); /* buffered or on the way */
uint64_t writes_end(const struct mount_inode *mi);     /* end of the furthest unsettled write; 0 */
int64_t writes_mtime_ns(const struct mount_inode *mi); /* of unsettled writes; 0 */
/* After a truncate to @length: unsettled ends beyond it are void. */
void writes_truncated(struct mount_inode *mi, uint64_t length, uint32_t generation);
void writes_free(struct mount_inode *mi);
/* Frees the buffers kept for the next writers. */
void writes_forget_spare(struct mount *m);

/* ---- sessions of open files (open_session.c) ---- */

void session_ends_init(struct session_ends *e);
void session_ends_done(struct session_ends *e);
/* Makes sure meta has a session of this mount for the inode. */
int session_ensure(struct mount_inode *mi, fuse_req_t req, bool writes) fiber_fn must_check;
/* A call that was to open @session has ended with @r: should it have done so unheard, the session
 * is ended as soon as meta answers again. */
void session_doubt(struct mount *m, int r, uint64_t parent, const char *name, struct uuid session);
/* Ends the inode's session unless a handle still needs it; meta hears of it soon. */
void session_end_unused(struct mount_inode *mi);
/* Ends one that no inode here has. */
void session_end(struct mount *m, uint64_t inode, struct uuid session);
/* Tells meta of all ends up to now. */
int session_ends_send(struct mount *m) fiber_fn must_check;
int session_ends_run(void *mount); /* a fiber: sends ends as they come, until cancelled */
/* Bytes were read: moves the access time as relatime does. Reads that the kernel serves from its
 * cache are not heard of. */
void access_time_note(struct mount_inode *mi);
/* As meta has it or will have it. */
int64_t access_time_ns(const struct mount_inode *mi);
/* Meta hears soon of the access time that reads here have moved. */
void access_time_send(struct mount_inode *mi);
/* Before the access time is set: no earlier read moves it any more. */
int access_time_forget(struct mount_inode *mi) fiber_fn must_check;

/* ---- the virtual tree (virt.c) ---- */

bool virt_is(fuse_ino_t ino);
/* 1 when the name belongs to the virtual tree and was answered. */
int virt_lookup(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void virt_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino);
void virt_readlink(struct mount *m, fuse_req_t req, fuse_ino_t ino);
void virt_readdir(struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  bool plus);
void virt_symlink(struct mount *m, fuse_req_t req, const char *target, fuse_ino_t parent,
                  const char *name);
void virt_rename_into(struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name,
                      fuse_ino_t new_parent);
const char *virt_root_name(void); /* "3fs-virt" */
fuse_ino_t virt_root(void);

/* ---- settings of users (conf.c) ---- */

struct user_view {
    bool enable_read_cache, readonly, dryrun_bench_mode, flush_on_stat, sync_on_stat;
    double attr_timeout, entry_timeout, negative_timeout, symlink_timeout;
};
struct user_config *user_config_new(struct mount *m);
struct user_config *user_config_free(struct user_config *c);
/* The settings of the mount with what @uid changed for itself. */
struct user_view user_view(const struct mount *m, uint32_t uid);
uint32_t conf_key_count(void);
const char *conf_key_name(uint32_t index); /* "sys.io_…", "usr.…", sorted */
int conf_key_find(const char *name);       /* -1 */
/* The value as get-conf shows it, for @uid. */
char *conf_value(const struct mount *m, struct arena *arena, uint32_t index, uint32_t uid);
int conf_set(struct mount *m, uint32_t index, const char *value, uint32_t uid) must_check;

/* ---- operations, by file ---- */

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
                struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
              struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi,
              unsigned flags, const void *in, size_t in_size, size_t out_size);
