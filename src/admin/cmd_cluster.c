/* cmd_cluster.c - the cluster as a whole: first records, users, configuration, help. */
#include "admin/admin.h"
#include "admin/commands.h"

#include "client/names.h"
#include "cluster/cluster_init.h"
#include "cluster/token.h"
#include "cluster/users.h"
#include "loop/file.h"
#include "meta/meta.h"
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static int read_text(struct admin *a, const char *path, struct bytes *ret)
{
    char *text = NULL;
    size_t size = 0;
    int r = file_read_all(a->node, path, FILE_BYTES_MAX, &text, &size);
    if (r < 0) return admin_fail(a, r, "cannot read %s", path);
    *ret = arena_copy(&a->arena, bytes_of(text, size));
    free(text);
    struct toml_value root;
    const char *error = NULL;
    r = toml_parse(&a->arena, *ret, &root, &error);
    return r < 0 ? admin_fail(a, r, "%s: %s", path, error) : 0;
}

/* ---- init-cluster ---- */

static const struct argument_spec init_spec[] = {
    { "chaintableid", NULL, ARG_U32, true, "chain table of the root directory" },
    { "chunksize", NULL, ARG_SIZE, true, "chunk size of the root directory" },
    { "stripesize", NULL, ARG_U32, true, "stripe of the root directory" },
    { "--mgmtd", "--mgmtd-config-path", ARG_TEXT, false, "configuration of the cluster managers" },
    { "--meta", "--meta-config-path", ARG_TEXT, false, "configuration of the metadata services" },
    { "--storage", "--storage-config-path", ARG_TEXT, false,
      "configuration of the storage services" },
    { "--fuse", "--fuse-config-path", ARG_TEXT, false, "configuration of the mounts" },
    { "--allow-config-existed", NULL, ARG_FLAG, false, "store a next version where there is one" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_init_cluster(struct admin *a, const struct arguments *args)
{
    static const struct {
        const char *flag;
        enum node_type type;
    } files[] = { { "--mgmtd", NODE_MGMTD },
                  { "--meta", NODE_META },
                  { "--storage", NODE_STORAGE },
                  { "--fuse", NODE_FUSE } };
    int r = admin_need_kv(a);
    if (r < 0) return r;
    struct layout root = { .table_id = (uint32_t)argument_number(args, "chaintableid", 0),
                           .chunk_size = (uint32_t)argument_number(args, "chunksize", 0),
                           .stripe = (uint32_t)argument_number(args, "stripesize", 0) };
    struct cluster_init_options options = { .cluster_id = a->settings->cluster_id,
                                            .allow_existing_config =
                                                argument_flag(args, "--allow-config-existed") };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const char *path = argument_text(args, files[i].flag, NULL);
        if (path) r = read_text(a, path, &options.configs[files[i].type]);
        if (r < 0) return r;
    }
    struct cluster_identity identity;
    uint64_t versions[NODE_TYPE_MAX] = { 0 };
    uint8_t key[AUTH_KEY_BYTES];
    if (a->settings->cluster_key[0]) {
        r = auth_cluster_key_parse(a->settings->cluster_key, key);
        if (r < 0) return admin_fail(a, r, "cluster_key is not of the form k1:<64 hex digits>");
        options.key = key;
    }
    r = cluster_init(a->node, a->kv, &options, &identity, versions);
    if (r < 0)
        return admin_fail(a, r, "cluster '%s' in %s: %s", options.cluster_id, a->settings->kv_path,
                          error_sentence(r));
    r = meta_init_file_system(a->node, a->kv, &root);
    if (r < 0)
        return admin_fail(
            a, r, "the chunk size must be a power of two from 64KB to 64MB, the stripe 1 to 1024");
    fprintf(a->printer.out,
            "Init filesystem, root directory layout: chain table ChainTableId(%u), chunksize %u, "
            "stripesize %u\n\n",
            root.table_id, root.chunk_size, root.stripe);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (versions[files[i].type])
            fprintf(a->printer.out, "Init config for %s version %llu\n",
                    node_type_name((uint8_t)files[i].type),
                    (unsigned long long)versions[files[i].type]);
    return 0;
}

/* ---- users ---- */

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
    char *groups = arena_printf(&a->arena, "%s", "");
    for (uint32_t i = 0; i < u->groups.count; i++)
        groups = arena_printf(&a->arena, "%s%s%u", groups, i ? ", " : "", u->groups.items[i]);
    block_row(&t, "SupplementaryGids", "%s", groups);
    table_end(&t);
}

/* On the store where it can be reached, so that it works before any service runs; else through
 * mgmtd. */
static bool works_on_store(const struct admin *a)
{
    return a->settings->kv_path[0] && !a->settings->token[0];
}

static int parse_groups(struct admin *a, const char *text, struct u32_list *ret)
{
    uint32_t capacity = 1;
    for (const char *p = text; *p; p++)
        capacity += *p == ',';
    *ret = (struct u32_list){ arena_array(&a->arena, uint32_t, capacity), 0 };
    for (const char *p = text; *p;) {
        char *end;
        unsigned long v = strtoul(p, &end, 10);
        if (end == p || (*end && *end != ',') || v > UINT32_MAX)
            return admin_fail(a, -ERR_INVALID_ARG,
                              "--groups: '%s' is not a list of numbers such as 1,2", text);
        ret->items[ret->count++] = (uint32_t)v;
        p = *end ? end + 1 : end;
    }
    return 0;
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
static int keep_root_token(struct admin *a, const struct user_attr *user)
{
    const char *path = a->settings->token_file;
    if (!user->root || user->uid != 0 || !path[0] || user->tokens.count == 0) return 0;
    if (path_exists(a->node, path)) {
        fprintf(a->printer.out, "%s exists already and was left as it is\n", path);
        return 0;
    }
    struct bytes token = user->tokens.items[0].token;
    char *line = arena_printf(&a->arena, "%.*s\n", (int)token.size, (const char *)token.base);
    int r = file_replace(a->node, path, line, strlen(line), 0600);
    if (r < 0) {
        fprintf(a->printer.out, "the token was not written to %s (%s)\n", path, error_sentence(r));
    } else {
        fprintf(a->printer.out, "the token was written to %s\n", path);
    }
    return 0;
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
    return users_set(a->kv, &a->arena, q, ret, why);
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
    return users_remove(a->kv, q->user.uid);
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
    return keep_root_token(a, &user);
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
    q.user.root = argument_number(args, "--root", 0) != 0;
    q.user.admin = argument_number(args, "--admin", 0) != 0;
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

static int run_user_list(struct admin *a, const struct arguments *args)
{
    struct user_list_reply rep = { 0 };
    int r;
    if (works_on_store(a)) {
        r = admin_need_kv(a);
        if (r >= 0) r = users_list(a->kv, &a->arena, &rep.users);
        if (r < 0) return admin_fail(a, r, "%s", error_sentence(r));
    } else {
        struct empty_record none = { 0 };
        r = admin_mgmtd(a, RPC_METHOD(mgmtd, user_list), &none, &rep);
        if (r < 0) return r;
    }
    static const char *const headers[] = { "Uid", "Name", "Token", "IsRoot", "IsAdmin", "Gids" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.users.count; i++) {
        const struct user_attr *u = &rep.users.items[i];
        struct bytes token = u->tokens.count ? u->tokens.items[0].token : bytes_of(NULL, 0);
        table_cell(&t, "%u", u->uid);
        table_cell(&t, "%.*s", (int)u->name.size, (const char *)u->name.base);
        table_cell(&t, "%.*s", (int)token.size, (const char *)token.base);
        table_cell(&t, "%s", u->root ? "true" : "false");
        table_cell(&t, "%s", u->admin ? "true" : "false");
        char *gids = arena_printf(&a->arena, "%u", u->gid);
        for (uint32_t g = 0; g < u->groups.count; g++)
            gids = arena_printf(&a->arena, "%s,%u", gids, u->groups.items[g]);
        table_cell(&t, "%s", gids);
    }
    table_end(&t);
    return 0;
}

static const struct argument_spec user_switch_spec[] = {
    { "--uid", "-u", ARG_U32, false, "" },
    { "--gid", "-g", ARG_U32, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_current_user(struct admin *a, const struct arguments *args)
{
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "Uid", "%u", a->uid);
    block_row(&t, "Gid", "%u", a->gid);
    table_end(&t);
    return 0;
}

static int run_user_switch(struct admin *a, const struct arguments *args)
{
    a->uid = (uint32_t)argument_number(args, "--uid", geteuid());
    a->gid = (uint32_t)argument_number(args, "--gid", getegid());
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

/* ---- configuration ---- */

static int parse_type(struct admin *a, const char *text)
{
    int type = node_type_parse(text);
    return type < 0 ? admin_fail(a, -ERR_INVALID_ARG,
                                 "--type: '%s' is none of MGMTD, META, STORAGE, CLIENT, FUSE", text)
                    : type;
}

static const struct argument_spec set_config_spec[] = {
    { "--type", "-t", ARG_TEXT, true, "MGMTD, META, STORAGE, CLIENT or FUSE" },
    { "--file", "-f", ARG_TEXT, true, "a TOML file" },
    { "--desc", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_set_config(struct admin *a, const struct arguments *args)
{
    int type = parse_type(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct set_config_request q = { .type = (uint8_t)type,
                                    .desc = bytes_of_text(argument_text(args, "--desc", "")) };
    struct config_info rep = { 0 };
    int r = read_text(a, argument_text(args, "--file", ""), &q.content);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_config), &q, &rep);
    if (r < 0) return r;
    fprintf(a->printer.out, "Succeed\nConfigVersion %llu\n", (unsigned long long)rep.version);
    return 0;
}

static const struct argument_spec get_config_spec[] = {
    { "--type", "-t", ARG_TEXT, false, "latest template of a type" },
    { "--list", "-l", ARG_FLAG, false, "versions of all types" },
    { "--output", "-o", ARG_TEXT, false, "write it there instead of showing it" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int list_configs(struct admin *a)
{
    static const char *const headers[] = { "Type", "ConfigVersion" };
    struct empty_record none = { 0 };
    struct config_versions_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config_versions), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.configs.count; i++) {
        table_cell(&t, "%s", node_type_name(rep.configs.items[i].type));
        if (rep.configs.items[i].version) {
            table_cell(&t, "%llu", (unsigned long long)rep.configs.items[i].version);
        } else {
            table_cell(&t, "N/A");
        }
    }
    table_end(&t);
    return 0;
}

static int run_get_config(struct admin *a, const struct arguments *args)
{
    bool lists = argument_flag(args, "--list"), has_type = argument(args, "--type")->is_set;
    if (lists == has_type)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --type and --list is needed");
    if (lists) return list_configs(a);
    int type = parse_type(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    struct get_config_request q = { .type = (uint8_t)type };
    struct config_info rep = { 0 };
    const char *path = argument_text(args, "--output", NULL);
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, get_config), &q, &rep);
    if (r < 0) return r;
    if (path) r = file_replace(a->node, path, rep.content.base, rep.content.size, 0644);
    if (r < 0) return admin_fail(a, r, "cannot write %s", path);
    struct print_table t;
    block_begin(&t, &a->printer);
    block_row(&t, "NodeType", "%s", node_type_name(rep.type));
    block_row(&t, "ConfigVersion", "%llu", (unsigned long long)rep.version);
    block_row(&t, "ConfigDesc", "%.*s", (int)rep.desc.size, (const char *)rep.desc.base);
    if (path) block_row(&t, "OutputFile", "%s", path);
    table_end(&t);
    if (!path)
        fprintf(a->printer.out, "%.*s", (int)rep.content.size, (const char *)rep.content.base);
    return 0;
}

/* ---- help ---- */

static const struct argument_spec help_spec[] = {
    { "command", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int help_of(struct admin *a, const char *name)
{
    const struct command_spec *c = command_find(name);
    if (!c) return admin_fail(a, -ERR_INVALID_ARG, "Unknown method name: %s", name);
    fprintf(a->printer.out, "%s\n\nUsage: %s %s\n", c->help, c->name,
            arguments_usage(&a->arena, c->arguments));
    for (const struct argument_spec *s = c->arguments; s->name; s++)
        if (s->help[0]) fprintf(a->printer.out, "  %-28s %s\n", s->name, s->help);
    return 0;
}

static int run_help(struct admin *a, const struct arguments *args)
{
    const char *name = argument_text(args, "command", NULL);
    if (name) return help_of(a, name);
    static const char *const headers[] = { "Command", "Usage" };
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (const struct command_spec *const *group = command_groups; *group; group++) {
        for (const struct command_spec *c = *group; c->name; c++) {
            table_cell(&t, "%s", c->name);
            table_cell(&t, "Usage: %s %s", c->name, arguments_usage(&a->arena, c->arguments));
        }
    }
    table_end(&t);
    return 0;
}

const struct command_spec cluster_commands[] = {
    { "init-cluster", run_init_cluster, init_spec,
      "Makes the first records of a cluster in the store: its id and key, the root directory, "
      "configurations.\n"
      "Works before any service runs, and may be repeated.\n"
      "  init-cluster --mgmtd /opt/3fs/etc/mgmtd_main.toml 1 1048576 6" },
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
    { "set-config", run_set_config, set_config_spec,
      "Stores a configuration for a type of service and pushes it.\n  set-config -t STORAGE -f "
      "storage_main.toml" },
    { "get-config", run_get_config, get_config_spec,
      "Shows a stored configuration.\n  get-config -t META -o meta.toml" },
    { "help", run_help, help_spec, "Lists the commands, or explains one.\n  help list-chains" },
    { NULL, NULL, NULL, NULL },
};
