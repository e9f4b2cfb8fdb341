/* users.h - the user store: who there is, with which rights and tokens; kept in the transactional
 * store.
 *
 * Works on a struct kv, so that mgmtd, meta and the admin tool use the same code. Whether the
 * caller may do it is for the caller to check (users_is_manager()); what is checked here is that
 * the store stays sound. `root` lets a user act as any other, `admin` lets it manage the cluster;
 * the superuser of the file system is uid 0. The first user of an empty store must be an admin.
 * Every failure gives a sentence in *ret_why (a literal), which may be NULL.
 */
#pragma once
#include "kv/kv.h"
#include "proto/mgmtd.h"
#include "rpc/auth.h"

enum user_field {
    USER_SET_NAME = 1,
    USER_SET_GROUPS = 2,
    USER_SET_ROOT = 4,
    USER_SET_ADMIN = 8,
    USER_SET_TOKEN = 16,
    USER_SET_INVALIDATE = 32 /* with a token: the older ones end now */
};
enum { USER_NAME_BYTES_MAX = 255, USER_GROUP_COUNT_MAX = 4096, USER_ACTIVE_TOKEN_COUNT = 5 };
enum { USER_REVOCATION_COUNT_MAX = 2048 };
/* Nothing that was given to a user may live longer. */
#define USER_CAPABILITY_NS_MAX      (24 * 3600 * SEC)
#define USER_LAST_TOKEN_LIFETIME_NS (7 * 24 * 3600 * SEC)

/* The gid becomes the uid; without a token in the request one is made. -ERR_META_EXISTS,
 * -ERR_INVALID_ARG, -ERR_MGMTD_NOT_ADMIN (the first one). */
int users_add(struct node *node, struct kv *kv, struct arena *arena,
              const struct user_request *request, struct user_attr *ret,
              const char **ret_why) fiber_fn must_check;
/* Also revokes what was given to the user: capabilities live on without a look-up.
 * -ERR_META_NOT_FOUND; -ERR_BUSY when USER_REVOCATION_COUNT_MAX were removed within a day. */
int users_remove(struct node *node, struct kv *kv, uint32_t uid) fiber_fn must_check;
/* Of the last day: whose earlier capabilities are void. */
int users_revocations(struct kv *kv, struct arena *arena,
                      struct revocation_list *ret) fiber_fn must_check;
/* When what is given to a user now counts as given: later than any revocation of that
 * uid. */
int users_issue_time(struct node *node, struct kv *kv, uint32_t uid,
                     uint64_t *ret_wall_ns) fiber_fn must_check;
/* Changes the fields whose bits are set, not the token. What was given to a user who loses a right
 * is revoked: it is asked for anew, with the rights that are left. -ERR_META_NOT_FOUND,
 * -ERR_INVALID_ARG, -ERR_BUSY as users_remove(). */
int users_set(struct node *node, struct kv *kv, struct arena *arena,
              const struct user_request *request, struct user_attr *ret,
              const char **ret_why) fiber_fn must_check;
/* Makes the given token, or a new one, the endless one; the one before stays valid for
 * last_token_lifetime_ns, or ends now with USER_SET_INVALIDATE (and with it all others, and
 * what was given for them).
 * -ERR_META_NOT_FOUND, -ERR_TOO_MANY_TOKENS, -ERR_INVALID_FORMAT, -ERR_INVALID_ARG (a token of
 * another uid). */
int users_set_token(struct node *node, struct kv *kv, struct arena *arena,
                    const struct user_request *request, struct user_attr *ret,
                    const char **ret_why) fiber_fn must_check;
int users_get(struct kv *kv, struct arena *arena, uint32_t uid,
              struct user_attr *ret) fiber_fn must_check;
/* All of them in order of uid. */
int users_list(struct kv *kv, struct arena *arena, struct user_attr_list *ret) fiber_fn must_check;
/* Whose token it is. -ERR_AUTH_FAIL (malformed, or no such user), -ERR_TOKEN_MISMATCH,
 * -ERR_TOKEN_STALE. */
int users_check_token(struct node *node, struct kv *kv, struct arena *arena, struct bytes token,
                      struct user_attr *ret) fiber_fn must_check;

/* What a user may do, as a connection's peer. */
void users_to_peer(const struct user_attr *user, enum auth_kind kind, struct auth_peer *ret);
/* May manage users and the cluster: a server, an admin, or uid 0. */
bool users_is_manager(const struct auth_peer *peer);
