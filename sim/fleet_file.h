/* fleet_file.h - what a client of the fleet does with names and files, as a mount would: through
 * src/client only.
 *
 * Each call is repeated, under the same request uuid, until its outcome is certain; when that takes
 * longer than FLEET_OP_LIMIT_NS the run fails. Results are those of the metadata service;
 * -ERR_CANCELED: the client is dying, and the outcome is unknown.
 */
#pragma once
#include "sim/fleet.h"

#define FLEET_OP_LIMIT_NS (240 * SEC)

/* An inode as a client knows it, and an open file. */
struct fleet_file {
    struct inode inode; /* without lists of others */
    uint32_t chains[8];
    bool is_open, has_wrote;
    struct uuid session;
    uint64_t end; /* of the furthest write that is not settled */
};

int fleet_lookup(struct fleet_client *c, uint64_t parent, const char *name,
                 struct fleet_file *ret) fiber_fn must_check;
/* @mode with the type; @opens: files, for writing. Exclusive. */
int fleet_create(struct fleet_client *c, uint64_t parent, const char *name, uint32_t mode,
                 bool opens, struct fleet_file *ret) fiber_fn must_check;
/* *ret_inode: what was removed. */
int fleet_remove(struct fleet_client *c, uint64_t parent, const char *name, enum remove_kind kind,
                 uint64_t *ret_inode) fiber_fn must_check;
struct fleet_place {
    uint64_t parent;
    const char *name;
};
int fleet_rename(struct fleet_client *c, struct fleet_place from, struct fleet_place to,
                 uint32_t flags) fiber_fn must_check;
int fleet_link(struct fleet_client *c, uint64_t inode, struct fleet_place to) fiber_fn must_check;
int fleet_list(struct fleet_client *c, uint64_t parent, struct arena *arena,
               struct dentry_list *ret) fiber_fn must_check;
int fleet_stat(struct fleet_client *c, struct fleet_file *file) fiber_fn must_check;

int fleet_open(struct fleet_client *c, struct fleet_file *file, bool truncates) fiber_fn must_check;
int fleet_write(struct fleet_client *c, struct fleet_file *file, const void *from, size_t size,
                uint64_t offset) fiber_fn must_check;
/* At least what is settled or was written here is read; *ret_size: bytes up to the end of file. */
int fleet_read(struct fleet_client *c, struct fleet_file *file, void *to, size_t size,
               uint64_t offset, size_t *ret_size) fiber_fn must_check;
/* fsync: length and times are at meta afterwards. */
int fleet_settle(struct fleet_client *c, struct fleet_file *file) fiber_fn must_check;
int fleet_close(struct fleet_client *c, struct fleet_file *file) fiber_fn must_check;
int fleet_truncate(struct fleet_client *c, struct fleet_file *file,
                   uint64_t length) fiber_fn must_check;
/* Reserves at the end of the file, and writes there. */
int fleet_append(struct fleet_client *c, struct fleet_file *file, const void *from, size_t size,
                 uint64_t *ret_offset) fiber_fn must_check;
