/* meta_client.h - calls to the metadata services: picks one, stays with it, moves on when it fails.
 *
 * Changes carry a fresh request uuid that retries keep, so they happen once. Every call retries
 * RETRY and FAILOVER statuses with backoff until the fiber's deadline or total_timeout_ns.
 */
#pragma once
#include "client/mgmtd_client.h"
#include "proto/meta.h"

struct meta_client;
struct meta_client_options {
    struct uuid client;          /* the session's uuid */
    uint64_t total_timeout_ns;   /* 0: 60 s */
    uint64_t attempt_timeout_ns; /* 0: 5 s */
};
struct meta_client *meta_client_new(struct node *node, struct mgmtd_client *mgmtd,
                                    const struct meta_client_options *options);
struct meta_client *meta_client_free(struct meta_client *c) fiber_fn;
CLEANUP_FUNC(struct meta_client *, meta_client_free)

/* Fills @base for a new request of @user: client, fresh request uuid. */
void meta_base_init(struct meta_client *c, const struct user_info *user, struct meta_base *base);
/* Any method of proto/meta.h; the request begins with a meta_base set by meta_base_init(), which is
 * marked when it is sent again. Replies
 * live in
 * @arena. @ret_error_text may be NULL. */
int meta_call(struct meta_client *c, const struct rpc_method *method, struct arena *arena,
              void *request, void *reply, const char **ret_error_text) fiber_fn must_check;
/* Walks an absolute path from the root, following symlinks in the middle, and at the end if
 * @follow. At most 40 symlinks. */
int meta_walk(struct meta_client *c, const struct user_info *user, struct arena *arena,
              const char *path, bool follow, struct inode *ret) fiber_fn must_check;
/* As meta_walk() for the parent of the last component; @ret_name borrows from @path. */
int meta_walk_parent(struct meta_client *c, const struct user_info *user, struct arena *arena,
                     const char *path, struct inode *ret_parent,
                     struct bytes *ret_name) fiber_fn must_check;
