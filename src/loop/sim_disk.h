/* sim_disk.h - the disk of a simulated machine: a tree of files and directories, each with a newest
 * and a durable state, and the ordered changes in between.
 *
 * What a crash leaves (sim_disk_crash()):
 *  - Data: every write since the last sync of its file is, on its own, kept, lost or torn (some of
 * its 4 KiB blocks survive; now and then one is itself a mixture of 512-byte sectors). Like a page
 * cache, a surviving block holds all earlier writes to that block too.
 *  - Truncations, allocations and holes of a file are kept up to some point; a write into what a
 * lost truncation or hole would have freed is lost with it, as on a journalling file system.
 *  - Names: of each directory a prefix of its changes since the last sync is kept; a rename between
 * two directories is kept or lost in both.
 *  - A file that no surviving name leads to is gone, synced or not.
 * A disk that is not honest takes syncs and does nothing. The disk knows nothing of time: see
 * sim_file.c.
 */
#pragma once
#include "base/list.h"
#include "loop/sim.h"
#include "loop/sim_image.h"
#include "loop/sim_random.h"
#include <sys/uio.h>

struct sim_inode;

struct sim_entry {
    char *name;
    struct sim_inode *inode; /* counted */
};
struct sim_entries {
    struct sim_entry *items; /* sorted by name */
    size_t count, capacity;
};

struct sim_inode {
    struct list node; /* in the disk's inodes */
    struct sim_inode *next_dying;
    uint64_t id;
    bool is_dir;
    uint32_t ref_count; /* all references: names in both states, changes, open files */
    uint32_t
        live_count; /* newest names and open files: while there is one, the content takes space */
    const void *lock_owner; /* the open file that holds the flock() */
    /* file */
    struct sim_image newest, durable;
    struct list changes; /* struct data_change, oldest first */
    uint32_t change_count;
    uint64_t change_seq; /* of the newest change */
    /* directory */
    struct sim_entries names, durable_names;
    uint32_t crash_budget; /* name changes that a crash still keeps */
    uint64_t sync_mark;    /* equal to the disk's: this sync covers its names */
};

struct sim_disk {
    struct sim_random *random; /* borrowed from the world */
    struct sim_disk_profile profile;
    struct list inodes;  /* in order of creation */
    struct list changes; /* of names: struct name_change, oldest first */
    uint32_t change_count;
    struct sim_inode *root;
    uint64_t id_last, sync_mark;
    uint64_t used_blocks;
};

void sim_disk_init(struct sim_disk *disk, struct sim_random *random,
                   const struct sim_disk_profile *profile);
void sim_disk_done(struct sim_disk *disk);
/* No file is open. Everything not durable is decided; then newest and durable are the same. */
void sim_disk_crash(struct sim_disk *disk);
uint64_t sim_disk_capacity_blocks(const struct sim_disk *disk);

/* ---- names (sim_disk.c); errors are system codes ---- */

int sim_disk_find(struct sim_disk *disk, const char *path, struct sim_inode **ret); /* borrowed */
int sim_disk_open(struct sim_disk *disk, const char *path, int flags, struct sim_inode **ret);
void sim_disk_close(struct sim_disk *disk, struct sim_inode *inode);
int sim_disk_make_dir(struct sim_disk *disk, const char *path);
int sim_disk_rename(struct sim_disk *disk, const char *from, const char *to);
int sim_disk_unlink(struct sim_disk *disk, const char *path);
void sim_disk_sync_dir(struct sim_disk *disk, struct sim_inode *dir);

/* ---- content (sim_data.c); the caller has checked flags and alignment ---- */

ssize_t sim_data_read(struct sim_inode *inode, const struct iovec *iov, int count, uint64_t offset);
/* Short when space ends within; -ENOSPC as a system code when nothing fits. */
ssize_t sim_data_write(struct sim_disk *disk, struct sim_inode *inode, const struct iovec *iov,
                       int count, uint64_t offset);
int sim_data_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t size_bytes);
int sim_data_allocate(struct sim_disk *disk, struct sim_inode *inode, uint64_t offset,
                      uint64_t size);
int sim_data_punch_hole(struct sim_disk *disk, struct sim_inode *inode, uint64_t offset,
                        uint64_t size);
/* Makes the changes up to @seq durable. */
void sim_data_sync(struct sim_inode *inode, uint64_t seq);
/* A sync that failed: each change is durable or never will be, and a later sync will not tell. */
void sim_data_sync_fail(struct sim_disk *disk, struct sim_inode *inode);
/* Decides what the crash leaves in durable, and makes newest a copy of it. */
void sim_data_crash(struct sim_disk *disk, struct sim_inode *inode);
void sim_data_done(struct sim_inode *inode);
/* Damages the stored byte in every state that has it; false when nothing is stored there. */
bool sim_data_flip(struct sim_inode *inode, uint64_t offset, uint8_t bit);
