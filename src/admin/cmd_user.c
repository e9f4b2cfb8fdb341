/* cmd_user.c - users and their tokens, and as whom the tool acts. */
#include "admin/commands.h"

#include "admin/node_calls.h"
#include "client/names.h"
#include "cluster/token.h"
#include "cluster/users.h"
#include "loop/file.h"
#include <unistd.h>

static char *numbers_text(struct arena *arena, const struct u32_list *list, const char *between)
{
    char *text = arena_printf(arena, "%s", "");
    for (uint32_t i = 0; i < list->count; i++)
        text = arena_printf(arena, "%s%s%u", text, i ? between : "", list->items[i]);
    return text;
}

static void print_user(struct admin *a, const struct user_attr *u)
{
    struct print_table t;
    char end[32];
    block_begin(&t, &a->printer);
    block_row(&t, "Uid", "%u", u->uid);
    block_row(&t, "Name", "%.*s", (int)u->name.size, (const char *)u->name.base);
    for (uint32_t i = 0; i < u->tokens.count; i++) {
        const struct user_token *token = &u->tokens.items[i];
        block_row(&t, "Token", "%.*s(Expired at %s)", (int)token->token.size,
                  (const char *)token->token.base,
                  time_to_text(token->end_wall_ns, end, sizeof end));
    }
    block_row(&t, "IsRootUser", "%s", u->root ? "true" : "false");
    block_row(&t, "IsAdmin", "%s", u->admin ? "true" : "false");
    block_row(&t, "Gid", "%u", u->gid);
    block_row(&t, "SupplementaryGids", "%s", numbers_text(&a->arena, &u->groups, ", "));
    table_end(&t);
}

/* On the store where it can be reached, so that it works before any service runs; else through
 * mgmtd. */
static bool works_on_store(const struct admin *a)
{
    return a->settings->kv_path[0] && !admin_token(a)[0];
}

static int parse_groups(struct admin *a, const char *text, struct u32_list *ret)
{
    if (numbers_parse(&a->arena, text, ret)) return 0;
    return admin_fail(a, -ERR_INVALID_ARG, "--groups: '%s' is not a list of numbers such as 1,2",
                      text);
}

static const struct argument_spec user_add_spec[] = {
    { "uid", NULL, ARG_U32, true, "" },
    { "name", NULL, ARG_TEXT, true, "" },
    { "--root", NULL, ARG_FLAG, false, "may act as any user" },
    { "--admin", NULL, ARG_FLAG, false, "may manage the cluster" },
    { "--groups", NULL, ARG_TEXT, false, "supplementary groups, 1,2,3" },
    { "--token", NULL, ARG_TEXT, false, "instead of a fresh one" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* The token goes to a file as well, when the user is the first root and the file is not there yet.
 */
static void keep_root_token(struct admin *a, const struct user_attr *user)
{
    const char *path = a->settings->token_file;
    if (!user->root || user->uid != 0 || !path[0] || user->tokens.count == 0) return;
    FILE *out = a->printer.is_json ? stderr : a->printer.out;
    if (path_exists(a->node, path)) {
        fprintf(out, "%s exists already and was left as it is\n", path);
        return;
    }
    struct bytes token = user->tokens.items[0].token;
    char *line = arena_printf(&a->arena, "%.*s\n", (int)token.size, (const char *)token.base);
    int r = file_replace(a->node, path, line, strlen(line), 0600);
    if (r < 0) {
        fprintf(out, "the token was not written to %s (%s)\n", path, error_sentence(r));
    } else {
        fprintf(out, "the token was written to %s\n", path);
    }
}

static int
user_call(struct admin *a,
          int (*on_store)(struct admin *, struct user_request *, struct user_attr *, const char **),
          const struct rpc_method *method, struct user_request *request, struct user_attr *ret)
{
    const char *why = NULL;
    if (!works_on_store(a)) {
        struct user_reply rep = { 0 };
        int r = admin_mgmtd(a, method, request, &rep);
        *ret = rep.user;
        return r;
    }
    int r = admin_need_kv(a);
    if (r < 0) return r;
    r = on_store(a, request, ret, &why);
    return r < 0 ? admin_fail(a, r, "user %u: %s", request->user.uid, why ?: error_sentence(r)) : 0;
}

static int store_add(struct admin *a, struct user_request *q, struct user_attr *ret,
                     const char **why)
{
    return users_add(a->node, a->kv, &a->arena, q, ret, why);
}
static int store_set(struct admin *a, struct user_request *q, struct user_attr *ret,
                     const char **why)
{
    return users_set(a->node, a->kv, &a->arena, q, ret, why);
}
static int store_set_token(struct admin *a, struct user_request *q, struct user_attr *ret,
                           const char **why)
{
    return users_set_token(a->node, a->kv, &a->arena, q, ret, why);
}
static int store_get(struct admin *a, struct user_request *q, struct user_attr *ret,
                     const char **why)
{
    return users_get(a->kv, &a->arena, q->user.uid, ret);
}
static int store_remove(struct admin *a, struct user_request *q, struct user_attr *ret,
                        const char **why)
{
    return users_remove(a->node, a->kv, q->user.uid);
}

static int run_user_add(struct admin *a, const struct arguments *args)
{
    struct user_token token = { .token = bytes_of_text(argument_text(args, "--token", "")) };
    struct user_request q = { .user = { .uid = (uint32_t)argument_number(args, "uid", 0),
                                        .name = bytes_of_text(argument_text(args, "name", "")),
                                        .root = argument_flag(args, "--root"),
                                        .admin = argument_flag(args, "--admin") } };
    struct user_attr user;
    int r = parse_groups(a, argument_text(args, "--groups", ""), &q.user.groups);
    if (r < 0) return r;
    if (token.token.size) {
        q.user.tokens = (struct user_token_list){ &token, 1 };
        q.set |= USER_SET_TOKEN;
    }
    r = user_call(a, store_add, RPC_METHOD(mgmtd, user_add), &q, &user);
    if (r < 0) return r;
    print_user(a, &user);
    keep_root_token(a, &user);
    return 0;
}

static const struct argument_spec uid_spec[] = {
    { "uid", NULL, ARG_U32, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_user_stat(struct admin *a, const struct arguments *args)
{
    struct user_request q = { .user = { .uid = (uint32_t)argument_number(args, "uid", 0) } };
    struct user_attr user;
    int r = user_call(a, store_get, RPC_METHOD(mgmtd, user_stat), &q, &user);
    if (r >= 0) print_user(a, &user);
    return r;
}

static int run_user_remove(struct admin *a, const struct arguments *args)
{
    struct user_request q = { .user = { .uid = (uint32_t)argument_number(args, "uid", 0) } };
    struct user_attr user;
    if (works_on_store(a)) return user_call(a, store_remove, NULL, &q, &user);
    struct empty_record none;
    return admin_mgmtd(a, RPC_METHOD(mgmtd, user_remove), &q, &none);
}

static const struct argument_spec user_set_spec[] = {
    { "uid", NULL, ARG_U32, true, "" },
    { "--name", NULL, ARG_TEXT, false, "" },
    { "--root", NULL, ARG_U32, false, "0 or 1" },
    { "--admin", NULL, ARG_U32, false, "0 or 1" },
    { "--groups", NULL, ARG_TEXT, false, "1,2,3; '' clears them" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_user_set(struct admin *a, const struct arguments *args)
{
    struct user_request q = { .user = { .uid = (uint32_t)argument_number(args, "uid", 0) } };
    struct user_attr user;
    if (argument(args, "--name")->is_set) q.set |= USER_SET_NAME;
    if (argument(args, "--root")->is_set) q.set |= USER_SET_ROOT;
    if (argument(args, "--admin")->is_set) q.set |= USER_SET_ADMIN;
    if (argument(args, "--groups")->is_set) q.set |= USER_SET_GROUPS;
    q.user.name = bytes_of_text(argument_text(args, "--name", ""));
    q.user.root = argument_number(args, "--root", 0) == 1;
    q.user.admin = argument_number(args, "--admin", 0) == 1;
    if (argument_number(args, "--root", 0) > 1 || argument_number(args, "--admin", 0) > 1)
        return admin_fail(a, -ERR_INVALID_ARG, "--root and --admin take 0 or 1");
    int r = parse_groups(a, argument_text(args, "--groups", ""), &q.user.groups);
    if (r >= 0) r = user_call(a, store_set, RPC_METHOD(mgmtd, user_set), &q, &user);
    if (r >= 0) print_user(a, &user);
    return r;
}

static const struct argument_spec user_set_token_spec[] = {
    { "uid", NULL, ARG_U32, true, "" },
    { "--new", NULL, ARG_FLAG, false, "make one" },
    { "--token", NULL, ARG_TEXT, false, "this one" },
    { "--invalidate-existed-tokens", NULL, ARG_FLAG, false, "all others end now" },
    { "--max-active-tokens", NULL, ARG_U32, false, "default 5" },
    { "--last-token-lifetime-days", NULL, ARG_U32, false, "default 7" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_user_set_token(struct admin *a, const struct arguments *args)
{
    bool is_new = argument_flag(args, "--new"), is_given = argument(args, "--token")->is_set;
    if (is_new == is_given)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --new and --token is needed");
    struct user_token token = { .token = bytes_of_text(argument_text(args, "--token", "")) };
    struct user_request q = {
        .user = { .uid = (uint32_t)argument_number(args, "uid", 0), .tokens = { &token, 1 } },
        .set = USER_SET_TOKEN,
        .max_active_tokens = (uint32_t)argument_number(args, "--max-active-tokens", 0),
        .last_token_lifetime_ns =
            argument_number(args, "--last-token-lifetime-days", 0) * 24 * 3600 * SEC
    };
    if (argument_flag(args, "--invalidate-existed-tokens")) q.set |= USER_SET_INVALIDATE;
    struct user_attr user;
    int r = user_call(a, store_set_token, RPC_METHOD(mgmtd, user_set_token), &q, &user);
    if (r >= 0) print_user(a, &user);
    return r;
}

static const struct argument_spec no_spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };

/* As scripts of 3FS read it. */
static void print_users_json(struct admin *a, const struct user_attr_list *users)
{
    FILE *out = a->printer.out;
    fputs("[", out);
    for (uint32_t i = 0; i < users->count; i++) {
        const struct user_attr *u = &users->items[i];
        fprintf(out, "%s\n  {\"name\": ", i ? "," : "");
        text_to_text(out, &u->name);
        fprintf(out, ", \"uid\": %u, \"gid\": %u, \"root\": %s, \"admin\": %s, \"groups\": [",
                u->uid, u->gid, u->root ? "true" : "false", u->admin ? "true" : "false");
        for (uint32_t g = 0; g < u->groups.count; g++)
            fprintf(out, "%s%u", g ? ", " : "", u->groups.items[g]);
        fputs("]}", out);
    }
    fputs("\n]\n", out);
}

static void print_users(struct admin *a, const struct user_attr_list *users)
{
    static const char *const headers[] = { "Uid", "Name", "Token", "IsRoot", "IsAdmin", "Gids" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < users->count; i++) {
        const struct user_attr *u = &users->items[i];
        struct bytes token = u->tokens.count ? u->tokens.items[0].token : bytes_of(NULL, 0);
        table_cell(&t, "%u", u->uid);
        table_cell(&t, "%.*s", (int)u->name.size, (const char *)u->name.base);
        table_cell(&t, "%.*s", (int)token.size, (const char *)token.base);
        table_cell(&t, "%s", u->root ? "true" : "false");
        table_cell(&t, "%s", u->admin ? "true" : "false");
        table_cell(&t, "%u%s%s", u->gid, u->groups.count ? "," : "",
                   numbers_text(&a->arena, &u->groups, ","));
    }
    table_end(&t);
}

static int run_user_list(struct admin *a, const struct arguments *args)
{
    struct user_list_reply rep = { 0 };
    int r;
    if (works_on_store(a)) {
        r = admin_need_kv(a);
        if (r < 0) return r;
        r = users_list(a->kv, &a->arena, &rep.users);
        if (r < 0) return admin_fail(a, r, "%s", error_sentence(r));
    } else {
        struct empty_record none = { 0 };
        r = admin_mgmtd(a, RPC_METHOD(mgmtd, user_list), &none, &rep);
        if (r < 0) return r;
    }
    if (a->printer.is_json) {
        print_users_json(a, &rep.users);
    } else {
        print_users(a, &rep.users);
    }
    return 0;
}

static const struct argument_spec user_switch_spec[] = {
    { "--uid", "-u", ARG_U32, false, "default: the process's" },
    { "--gid", "-g", ARG_U32, false, "default: the process's" },
    { "--token", "-t", ARG_TEXT, false, "show this token from now on" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_current_user(struct admin *a, const struct arguments *args)
{
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Uid", "%u", a->user.uid);
    block_row(&t, "Gid", "%u", a->user.gid);
    block_row(&t, "Groups", "%s", numbers_text(&a->arena, &a->user.groups, ", "));
    block_row(&t, "Token", "%s", admin_token(a));
    table_end(&t);
    return 0;
}

static int run_user_switch(struct admin *a, const struct arguments *args)
{
    const char *token = argument_text(args, "--token", NULL);
    a->user.uid = (uint32_t)argument_number(args, "--uid", geteuid());
    a->user.gid = (uint32_t)argument_number(args, "--gid", getegid());
    a->has_chosen_user = true;
    if (token) admin_switch_token(a, token);
    return run_current_user(a, args);
}

static const struct argument_spec token_spec[] = {
    { "token", NULL, ARG_TEXT, true, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_decode_user_token(struct admin *a, const struct arguments *args)
{
    uint32_t uid;
    uint64_t random;
    int r = token_parse(bytes_of_text(argument_text(args, "token", "")), &uid, &random);
    if (r < 0) return admin_fail(a, r, "that is no token");
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Uid", "%u", uid);
    block_row(&t, "Timestamp", "%llu", (unsigned long long)random);
    table_end(&t);
    return 0;
}

static const struct argument_spec drop_cache_spec[] = {
    { "--uid", "-u", ARG_U32, false, "only of this user" },
    { "--all", "-a", ARG_FLAG, false, "of all users" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_drop_user_cache(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "NodeId", "Status", "Desc" };
    bool has_uid = argument(args, "--uid")->is_set, all = argument_flag(args, "--all");
    if (has_uid == all)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --uid and --all is needed");
    struct drop_user_cache_request q = { (uint32_t)argument_number(args, "--uid", 0), all };
    uint32_t count;
    struct node_brief *nodes = NULL;
    int first = nodes_of_type(a, NODE_META, &nodes, &count);
    if (first < 0) return first;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < count; i++) {
        bool is_up = nodes[i].is_up;
        struct empty_record none;
        const char *why = "";
        int r = is_up ? node_try(a, nodes[i].node_id, &meta_service,
                                 RPC_METHOD(meta, drop_user_cache), &q, &none, &why)
                      : 0;
        table_cell(&t, "%u", nodes[i].node_id);
        table_cell(&t, "%s", !is_up ? "Skip" : r < 0 ? "Failed" : "Succeed");
        table_cell(&t, "%s", is_up ? why : node_status_name(nodes[i].status));
        if (first >= 0 && r < 0) first = r;
    }
    table_end(&t);
    return first;
}

const struct command_spec user_commands[] = {
    { "user-add", run_user_add, user_add_spec,
      "Adds a user and shows its token. The first one must be an admin.\n  user-add --root --admin "
      "0 root" },
    { "user-remove", run_user_remove, uid_spec, "Removes a user; its tokens end." },
    { "user-set", run_user_set, user_set_spec,
      "Changes a user.\n  user-set 1000 --groups 100,200" },
    { "user-set-token", run_user_set_token, user_set_token_spec,
      "Gives a user a new token; the old one stays valid for a week.\n  user-set-token 1000 "
      "--new" },
    { "user-stat", run_user_stat, uid_spec, "Shows a user." },
    { "user-list", run_user_list, no_spec, "Lists the users." },
    { "user-switch", run_user_switch, user_switch_spec,
      "Acts as another user from here on (root tokens only)." },
    { "current-user", run_current_user, no_spec, "Shows as whom commands act." },
    { "decode-user-token", run_decode_user_token, token_spec, "Shows whose token it is." },
    { "drop-user-cache", run_drop_user_cache, drop_cache_spec,
      "Lets the metadata services forget what they keep of users. They keep nothing: rights travel "
      "in\ncapabilities. It shows which of them answer.\n  drop-user-cache --all" },
    { NULL, NULL, NULL, NULL },
};
