/* users.c - changes of the user store, each one transaction.
 */
#include "cluster/users.h"

#include "cluster/schema.h"
#include "cluster/token.h"

struct user_op {
    struct node *node;
    struct arena *arena;
    const struct user_request *request;
    uint32_t uid;
    char token[TOKEN_TEXT_SIZE + 1]; /* to be set, or "" */
    struct user_attr user;           /* the result */
    const char *why;
};

static int refuse(struct user_op *op, int r, const char *why)
{
    op->why = why;
    return r;
}

static int op_done(const struct user_op *op, int r, struct user_attr *ret, const char **ret_why)
{
    if (r == 0)
        *ret = op->user;
    else if (ret_why)
        *ret_why = op->why ? op->why : error_sentence(r);
    return r;
}

/* The token that the request names, or a fresh one when it names none. */
static int choose_token(struct user_op *op)
{
    const struct user_token_list *tokens = &op->request->user.tokens;
    if (tokens->count == 0 || tokens->items[0].token.size == 0) {
        token_make(op->uid, node_random_u64(op->node), op->token);
        return 0;
    }
    struct bytes text = tokens->items[0].token;
    uint32_t uid;
    uint64_t random;
    int r = token_parse(text, &uid, &random);
    if (r < 0) return refuse(op, r, "the token is malformed");
    if (uid != op->uid) return refuse(op, -ERR_INVALID_ARG, "the token was made for another uid");
    memcpy(op->token, text.base, TOKEN_TEXT_SIZE);
    op->token[TOKEN_TEXT_SIZE] = '\0';
    return 0;
}

static int check_fields(struct user_op *op, const struct user_attr *user)
{
    if (user->name.size == 0) return refuse(op, -ERR_INVALID_ARG, "a user needs a name");
    if (user->name.size > USER_NAME_BYTES_MAX)
        return refuse(op, -ERR_INVALID_ARG, "the name is longer than 255 bytes");
    for (size_t i = 0; i < user->name.size; i++) {
        if (user->name.base[i] < ' ' || user->name.base[i] == 0x7f)
            return refuse(op, -ERR_INVALID_ARG, "the name has a control character");
    }
    if (user->groups.count > USER_GROUP_COUNT_MAX)
        return refuse(op, -ERR_INVALID_ARG, "more than 4096 groups");
    return 0;
}

static int add_in(struct kv_txn *txn, void *arg)
{
    struct user_op *op = arg;
    const struct user_attr *asked = &op->request->user;
    struct user_attr held;
    struct user_attr_list first;
    uint64_t next;
    int r = schema_list_users(txn, op->arena, 0, 1, &first, &next);
    if (r < 0) return r;
    if (first.count == 0 && !asked->admin)
        return refuse(op, -ERR_MGMTD_NOT_ADMIN, "the first user must be an admin");
    r = schema_get_user(txn, op->arena, op->uid, &held);
    if (r < 0) return r;
    if (r == 1) return refuse(op, -ERR_META_EXISTS, "a user with this uid exists already");
    op->user = (struct user_attr){ .uid = op->uid,
                                   .gid = op->uid,
                                   .name = asked->name,
                                   .groups = asked->groups,
                                   .root = asked->root != 0,
                                   .admin = asked->admin != 0 };
    op->user.tokens.items = arena_new(op->arena, struct user_token);
    op->user.tokens.items[0].token = arena_copy(op->arena, bytes_of_text(op->token));
    op->user.tokens.count = 1;
    return schema_set_user(txn, &op->user);
}

int users_add(struct node *node, struct kv *kv, struct arena *arena,
              const struct user_request *request, struct user_attr *ret, const char **ret_why)
{
    struct user_op op = {
        .node = node, .arena = arena, .request = request, .uid = request->user.uid
    };
    int r = check_fields(&op, &request->user);
    if (r == 0) r = choose_token(&op);
    if (r == 0) r = kv_transact(kv, KV_RETRY_SAFE, add_in, &op);
    return op_done(&op, r, ret, ret_why);
}

struct removal {
    struct node *node;
    uint32_t uid;
    uint64_t issued_wall_ns;
    struct arena *arena;
    struct revocation_list revoked;
};

/* Leaves those out that nothing is left to be void for. */
static int revoke(struct kv_txn *txn, struct arena *arena, uint32_t uid, uint64_t now_wall_ns)
{
    struct revoked_record old, record = { 0 };
    int r = schema_get_revoked(txn, arena, &old);
    if (r < 0) return r;
    record.users.items = arena_array(arena, struct revocation, old.users.count + 1);
    for (uint32_t i = 0; i < old.users.count; i++) {
        const struct revocation *u = &old.users.items[i];
        bool is_over = u->at_wall_ns + USER_CAPABILITY_NS_MAX + 2 * AUTH_SKEW_NS < now_wall_ns;
        if (u->uid != uid && !is_over) record.users.items[record.users.count++] = *u;
    }
    if (record.users.count >= USER_REVOCATION_COUNT_MAX) return -ERR_BUSY;
    record.users.items[record.users.count++] = (struct revocation){ uid, now_wall_ns };
    return schema_set_revoked(txn, &record);
}

static int remove_in(struct kv_txn *txn, void *arg)
{
    const struct removal *removal = arg;
    cleanup_arena_ struct arena arena = { 0 };
    struct user_attr user;
    int r = schema_get_user(txn, &arena, removal->uid, &user);
    if (r < 0) return r;
    if (r == 0) return -ERR_META_NOT_FOUND;
    schema_clear_user(txn, removal->uid);
    return revoke(txn, &arena, removal->uid, node_wall_ns(removal->node));
}

int users_remove(struct node *node, struct kv *kv, uint32_t uid)
{
    struct removal removal = { .node = node, .uid = uid };
    return kv_transact(kv, KV_RETRY_SAFE, remove_in, &removal);
}

static int revocations_in(struct kv_txn *txn, void *arg)
{
    struct removal *removal = arg;
    struct revoked_record record;
    int r = schema_get_revoked(txn, removal->arena, &record);
    removal->revoked = record.users;
    return MIN_OF(r, 0);
}

int users_revocations(struct kv *kv, struct arena *arena, struct revocation_list *ret)
{
    struct removal removal = { .arena = arena };
    int r = kv_read_only(kv, revocations_in, &removal);
    if (r >= 0) *ret = removal.revoked;
    return r;
}

int users_issue_time(struct node *node, struct kv *kv, uint32_t uid, uint64_t *ret_wall_ns)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct revocation_list revoked;
    int r = users_revocations(kv, &arena, &revoked);
    if (r < 0) return r;
    *ret_wall_ns = node_wall_ns(node);
    for (uint32_t i = 0; i < revoked.count; i++)
        if (revoked.items[i].uid == uid)
            *ret_wall_ns = MAX_OF(*ret_wall_ns, revoked.items[i].at_wall_ns + AUTH_SKEW_NS + 1);
    return 0;
}

static int load_in(struct kv_txn *txn, struct user_op *op)
{
    int r = schema_get_user(txn, op->arena, op->uid, &op->user);
    if (r == 0) return refuse(op, -ERR_META_NOT_FOUND, "no such user");
    return r < 0 ? r : 0;
}

static int set_in(struct kv_txn *txn, void *arg)
{
    struct user_op *op = arg;
    const struct user_attr *asked = &op->request->user;
    uint32_t set = op->request->set;
    int r = load_in(txn, op);
    if (r < 0) return r;
    bool was_root = op->user.root, was_admin = op->user.admin;
    if (set & USER_SET_NAME) op->user.name = asked->name;
    if (set & USER_SET_GROUPS) op->user.groups = asked->groups;
    if (set & USER_SET_ROOT) op->user.root = asked->root != 0;
    if (set & USER_SET_ADMIN) op->user.admin = asked->admin != 0;
    r = check_fields(op, &op->user);
    if (r >= 0) r = schema_set_user(txn, &op->user);
    bool is_taken = (was_root && !op->user.root) || (was_admin && !op->user.admin);
    return r < 0 || !is_taken ? r : revoke(txn, op->arena, op->uid, node_wall_ns(op->node));
}

int users_set(struct node *node, struct kv *kv, struct arena *arena,
              const struct user_request *request, struct user_attr *ret, const char **ret_why)
{
    struct user_op op = {
        .node = node, .arena = arena, .request = request, .uid = request->user.uid
    };
    int r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, set_in, &op);
    return op_done(&op, r, ret, ret_why);
}

static bool is_active(const struct user_token *token, uint64_t now_wall_ns)
{
    return token->end_wall_ns == 0 || token->end_wall_ns > now_wall_ns;
}

static int set_token_in(struct kv_txn *txn, void *arg)
{
    struct user_op *op = arg;
    const struct user_request *request = op->request;
    int r = load_in(txn, op);
    if (r < 0) return r;
    uint64_t now = node_wall_ns(op->node);
    uint64_t lifetime = request->last_token_lifetime_ns ? request->last_token_lifetime_ns
                                                        : USER_LAST_TOKEN_LIFETIME_NS;
    const struct user_token_list old = op->user.tokens;
    struct user_token_list new = { arena_array(op->arena, struct user_token, old.count + 1), 1 };
    new.items[0].token = arena_copy(op->arena, bytes_of_text(op->token));
    bool is_same = old.count && old.items[0].end_wall_ns == 0 &&
                   bytes_equal(old.items[0].token, new.items[0].token);
    if (is_same && !(request->set & USER_SET_INVALIDATE)) return 0;
    for (uint32_t i = 0; i < old.count && !(request->set & USER_SET_INVALIDATE); i++) {
        struct user_token token = old.items[i];
        if (bytes_equal(token.token, new.items[0].token) || !is_active(&token, now)) continue;
        if (token.end_wall_ns == 0) token.end_wall_ns = now + lifetime;
        new.items[new.count++] = token;
    }
    uint32_t count_max =
        request->max_active_tokens ? request->max_active_tokens : USER_ACTIVE_TOKEN_COUNT;
    if (new.count > count_max)
        return refuse(op, -ERR_TOO_MANY_TOKENS,
                      "too many tokens are active; invalidate the older ones");
    op->user.tokens = new;
    r = schema_set_user(txn, &op->user);
    /* What was given for the older ones ends with them. */
    bool is_void = request->set & USER_SET_INVALIDATE;
    return r < 0 || !is_void ? r : revoke(txn, op->arena, op->uid, now);
}

int users_set_token(struct node *node, struct kv *kv, struct arena *arena,
                    const struct user_request *request, struct user_attr *ret, const char **ret_why)
{
    struct user_op op = {
        .node = node, .arena = arena, .request = request, .uid = request->user.uid
    };
    int r = choose_token(&op);
    if (r == 0) r = kv_transact(kv, KV_RETRY_MAYBE_COMMITTED, set_token_in, &op);
    return op_done(&op, r, ret, ret_why);
}

static int get_in(struct kv_txn *txn, void *arg)
{
    return load_in(txn, arg);
}

int users_get(struct kv *kv, struct arena *arena, uint32_t uid, struct user_attr *ret)
{
    struct user_op op = { .arena = arena, .uid = uid };
    int r = kv_read_only(kv, get_in, &op);
    return op_done(&op, r, ret, NULL);
}

struct list_op {
    struct arena *arena;
    struct user_attr_list list;
};

static int list_in(struct kv_txn *txn, void *arg)
{
    struct list_op *op = arg;
    op->list = (struct user_attr_list){ 0 };
    uint64_t next = 0;
    do {
        struct user_attr_list page;
        int r = schema_list_users(txn, op->arena, (uint32_t)next, 0, &page, &next);
        if (r < 0) return r;
        if (page.count == 0) return 0;
        struct user_attr *all =
            arena_array(op->arena, struct user_attr, op->list.count + page.count);
        if (op->list.count) memcpy(all, op->list.items, op->list.count * sizeof *all);
        memcpy(all + op->list.count, page.items, page.count * sizeof *all);
        op->list = (struct user_attr_list){ all, op->list.count + page.count };
    } while (next && next <= UINT32_MAX);
    return 0;
}

int users_list(struct kv *kv, struct arena *arena, struct user_attr_list *ret)
{
    struct list_op op = { .arena = arena };
    int r = kv_read_only(kv, list_in, &op);
    if (r == 0) *ret = op.list;
    return r;
}

int users_check_token(struct node *node, struct kv *kv, struct arena *arena, struct bytes token,
                      struct user_attr *ret)
{
    uint32_t uid;
    uint64_t random;
    if (token_parse(token, &uid, &random) < 0) return -ERR_AUTH_FAIL;
    struct user_attr user = { 0 };
    int r = users_get(kv, arena, uid, &user);
    if (r < 0) return r == -ERR_META_NOT_FOUND ? -ERR_AUTH_FAIL : r;
    for (uint32_t i = 0; i < user.tokens.count; i++) {
        const struct user_token *held = &user.tokens.items[i];
        if (!bytes_equal(held->token, token)) continue;
        if (!is_active(held, node_wall_ns(node))) return -ERR_TOKEN_STALE;
        *ret = user;
        return 0;
    }
    return -ERR_TOKEN_MISMATCH;
}

void users_to_peer(const struct user_attr *user, enum auth_kind kind, struct auth_peer *ret)
{
    *ret = (struct auth_peer){ .kind = kind, .uid = user->uid, .gid = user->gid };
    ret->rights = AUTH_RIGHT_DATA | AUTH_RIGHT_META;
    if (user->admin) ret->rights |= AUTH_RIGHT_ADMIN;
    if (user->root) ret->rights |= AUTH_RIGHT_ROOT;
}

bool users_is_manager(const struct auth_peer *peer)
{
    return peer->kind == AUTH_SERVER || peer->kind == AUTH_NONE || peer->uid == 0 ||
           (peer->rights & AUTH_RIGHT_ADMIN);
}
