/* cmd_live_config.c - settings given by hand to nodes that run, and what became of the last
 * configuration that came to one. */
#include "admin/commands.h"

#include "admin/node_calls.h"
#include "client/names.h"
#include "proto/core.h"
#include <strings.h>

enum { CLIENTS_AT_ONCE = 256 };

static const struct argument_spec hot_update_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "this node" },
    { "--address", "-a", ARG_TEXT, false, "the service at TCP://ip:port" },
    { "--client", "-c", ARG_TEXT, false, "the client, such as a mount, with that ClientId" },
    { "--type", "-t", ARG_TEXT, false, "all nodes or clients of a type that are connected" },
    { "--string", "-s", ARG_TEXT, false, "settings as TOML, such as 'log.level = \"debug\"'" },
    { "--file", "-f", ARG_TEXT, false, "or a file of them" },
    { "--render", NULL, ARG_FLAG, false, "accepted and without effect: settings are no templates" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* One row each; the first failure is the result, without another line. */
static int update_type(struct admin *a, uint8_t type, const struct hot_update_request *q)
{
    static const char *const headers[] = { "NodeId", "Result" };
    struct node_brief *nodes = NULL;
    uint32_t count;
    int result = nodes_of_type(a, type, &nodes, &count);
    if (result < 0) return result;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < count; i++) {
        struct empty_record none;
        const char *why = "success";
        if (!nodes[i].is_up) continue;
        int r = node_try(a, nodes[i].node_id, &core_service, RPC_METHOD(core, hot_update_config), q,
                         &none, &why);
        table_cell(&t, "%u", nodes[i].node_id);
        table_cell(&t, "%s", why);
        if (r < 0 && result == 0) result = r;
    }
    table_end(&t);
    return result;
}

/* ---- clients: they answer no calls, and get settings by way of their sessions ---- */

static int list_sessions(struct admin *a, struct client_session_list *ret)
{
    struct empty_record none = { 0 };
    struct list_sessions_reply rep = { 0 };
    int r = admin_mgmtd(a, RPC_METHOD(mgmtd, list_sessions), &none, &rep);
    if (r >= 0) *ret = rep.sessions;
    return r;
}

static const char *client_text(struct admin *a, const struct uuid *id)
{
    return arena_printf(&a->arena, "%016llx%016llx", (unsigned long long)id->high,
                        (unsigned long long)id->low);
}

/* The session of "--client ID". */
static int find_client(struct admin *a, const char *text, struct client_session *ret)
{
    struct client_session_list sessions = { 0 };
    int r = list_sessions(a, &sessions);
    for (uint32_t i = 0; i < sessions.count && r >= 0; i++) {
        if (strcasecmp(client_text(a, &sessions.items[i].client), text) != 0) continue;
        *ret = sessions.items[i];
        return 0;
    }
    return r < 0 ? r
                 : admin_fail(a, -ERR_MGMTD_SESSION_NOT_FOUND,
                              "--client: '%s' is no ClientId of list-clients", text);
}

struct client_update {
    struct admin *admin;
    struct update_client_request request;
    int result;
    const char *why;
};

static int update_client(void *arg)
{
    struct client_update *u = arg;
    struct admin *a = u->admin;
    struct empty_record none;
    struct rpc_options options = { .arena = &a->arena,
                                   .timeout_ns = a->settings->timeout_ns,
                                   .ret_error_text = &u->why };
    u->result =
        mgmtd_client_call(a->mgmtd, RPC_METHOD(mgmtd, update_client), &options, &u->request, &none);
    if (u->result < 0 && !u->why) u->why = error_sentence(u->result);
    return 0;
}

/* One row each, as with nodes; all at the same time, since each fetches it when it is due. */
static int update_clients(struct admin *a, uint8_t type, const struct hot_update_request *q)
{
    static const char *const headers[] = { "ClientId", "Result" };
    struct client_session_list sessions = { 0 };
    int r = list_sessions(a, &sessions);
    if (r < 0) return r;
    struct client_update *updates = arena_array(&a->arena, struct client_update, sessions.count);
    uint32_t count = 0;
    for (uint32_t begin = 0; begin < sessions.count;) {
        cleanup_scope_ struct scope scope;
        scope_init(&scope, NULL);
        uint32_t end = MIN_OF(begin + CLIENTS_AT_ONCE, sessions.count);
        for (; begin < end && r >= 0; begin++) {
            const struct client_session *s = &sessions.items[begin];
            if (s->type != type) continue;
            struct client_update *u = &updates[count++];
            *u = (struct client_update){ .admin = a, .request = { s->client, q->content } };
            r = fiber_spawn(&scope, "update-client", update_client, u);
        }
        if (r >= 0) r = scope_wait(&scope);
        if (r < 0) return admin_fail(a, r, "clients cannot be asked");
    }
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < count; i++) {
        table_cell(&t, "%s", client_text(a, &updates[i].request.client));
        table_cell(&t, "%s", updates[i].result < 0 ? updates[i].why : "success");
        if (r >= 0) r = MIN_OF(updates[i].result, 0);
    }
    table_end(&t);
    return r;
}

static int update_one_client(struct admin *a, const char *text, const struct hot_update_request *q)
{
    struct client_session session = { 0 };
    struct empty_record none = { 0 };
    int r = find_client(a, text, &session);
    if (r < 0) return r;
    struct update_client_request request = { session.client, q->content };
    return admin_mgmtd(a, RPC_METHOD(mgmtd, update_client), &request, &none);
}

static int run_hot_update(struct admin *a, const struct arguments *args)
{
    bool is_node = argument(args, "--node-id")->is_set,
         is_address = argument(args, "--address")->is_set,
         is_type = argument(args, "--type")->is_set;
    const char *text = argument_text(args, "--string", NULL),
               *file = argument_text(args, "--file", NULL),
               *client = argument_text(args, "--client", NULL);
    if (is_node + is_address + is_type + (client != NULL) != 1 || !text == !file)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --node-id, --address, --client and --type is needed, and "
                          "one of --string and --file");
    struct hot_update_request q = { .content = bytes_of_text(text ?: "") };
    int r = file ? config_file_read(a, file, &q.content) : 0;
    if (r < 0) return r;
    if (is_type) {
        int type = config_type_parse(a, argument_text(args, "--type", ""));
        if (type == NODE_CLIENT || type == NODE_FUSE) return update_clients(a, (uint8_t)type, &q);
        return type < 0 ? type : update_type(a, (uint8_t)type, &q);
    }
    struct empty_record none;
    r = client ? update_one_client(a, client, &q)
               : core_call(a, args, RPC_METHOD(core, hot_update_config), &q, &none);
    if (r < 0) return r;
    struct print_table t;
    block_begin(&t, &a->printer);
    if (is_node)
        block_row(&t, "NodeId", "%llu", (unsigned long long)argument_number(args, "--node-id", 0));
    else
        block_row(&t, client ? "ClientId" : "Address", "%s",
                  client ?: argument_text(args, "--address", ""));
    block_row(&t, "Result", "Succeed");
    table_end(&t);
    return 0;
}

static const struct argument_spec verify_spec[] = {
    { "--type", "-t", ARG_TEXT, true, "MGMTD, META, STORAGE or FUSE" },
    { "--file", "-f", ARG_TEXT, true, "a TOML file" },
    { "--verbose", NULL, ARG_FLAG, false, "a row for each node" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* "Changed", "Unchanged", or why not. */
static const char *verdict(struct admin *a, uint8_t is_changed, uint32_t status, struct bytes error)
{
    char code[64];
    if (status == 0) return is_changed ? "Changed" : "Unchanged";
    return arena_printf(&a->arena, "%s: %.*s", error_to_text(-(int)status, code, sizeof code),
                        (int)error.size, (const char *)error.base);
}

struct verifying {
    uint32_t total, cold_changed, cold_failed, hot_changed, hot_failed;
    int first_error;
};

static void verify_node(struct admin *a, uint32_t node_id, const struct hot_update_request *q,
                        struct verifying *v, struct print_table *t)
{
    struct verify_config_reply rep = { 0 };
    const char *why = "";
    v->total++;
    int r = node_try(a, node_id, &core_service, RPC_METHOD(core, verify_config), q, &rep, &why);
    if (r < 0) {
        rep.cold_status = rep.hot_status = (uint32_t)-r;
        rep.cold_error = rep.hot_error = bytes_of_text(why);
    }
    v->cold_changed += rep.cold_status == 0 && rep.cold_changed;
    v->cold_failed += rep.cold_status != 0;
    v->hot_changed += rep.hot_status == 0 && rep.hot_changed;
    v->hot_failed += rep.hot_status != 0;
    if (rep.cold_status && v->first_error == 0) v->first_error = -(int)rep.cold_status;
    table_cell(t, "%u", node_id);
    table_cell(t, "%s", verdict(a, rep.cold_changed, rep.cold_status, rep.cold_error));
    table_cell(t, "%s", verdict(a, rep.hot_changed, rep.hot_status, rep.hot_error));
}

static int run_verify_config(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "NodeId", "Cold Start", "Hot Update" };
    struct hot_update_request q = { 0 };
    struct verifying v = { 0 };
    struct node_brief *nodes = NULL;
    uint32_t count;
    int type = config_type_parse(a, argument_text(args, "--type", ""));
    if (type < 0) return type;
    int r = config_file_read(a, argument_text(args, "--file", ""), &q.content);
    if (r >= 0) r = nodes_of_type(a, (enum node_type)type, &nodes, &count);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].is_up) verify_node(a, nodes[i].node_id, &q, &v, &t);
    if (argument_flag(args, "--verbose")) {
        table_end(&t);
    } else {
        table_drop(&t);
        admin_say(a,
                  "total=%u verify_cold_changed=%u verify_cold_failed=%u verify_hot_changed=%u "
                  "verify_hot_failed=%u",
                  v.total, v.cold_changed, v.cold_failed, v.hot_changed, v.hot_failed);
    }
    return v.first_error;
}

static const struct argument_spec record_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "of this node" },
    { "--address", "-a", ARG_TEXT, false, "of the service at TCP://ip:port" },
    { "--client", "-c", ARG_TEXT, false, "of the client with that ClientId, as of its session" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int record_of_client(struct admin *a, const char *text, struct config_update_reply *ret)
{
    struct client_session session = { 0 };
    int r = find_client(a, text, &session);
    if (r < 0) return r;
    *ret = (struct config_update_reply){ .name = bytes_of_text(client_text(a, &session.client)),
                                         .wall_ns = session.update_wall_ns,
                                         .source = session.update_source,
                                         .status = session.update_status,
                                         .error = session.update_error };
    return 0;
}

static int run_get_record(struct admin *a, const struct arguments *args)
{
    const char *client = argument_text(args, "--client", NULL);
    bool is_node = argument(args, "--node-id")->is_set,
         is_address = argument(args, "--address")->is_set;
    if (is_node + is_address + (client != NULL) != 1)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "exactly one of --node-id, --address and --client is needed");
    struct empty_record none = { 0 };
    struct config_update_reply rep = { 0 };
    int r = client ? record_of_client(a, client, &rep)
                   : core_call(a, args, RPC_METHOD(core, get_last_config_update), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    char when[32], code[64];
    block_begin(&t, &a->printer);
    block_row(&t, client ? "Client" : "Node", "%.*s", (int)rep.name.size,
              (const char *)rep.name.base);
    block_row(&t, "UpdateTime", "%s", time_to_text(rep.wall_ns, when, sizeof when));
    block_row(&t, "Description", "%s",
              rep.wall_ns == 0               ? "N/A"
              : rep.source == CONFIG_BY_HAND ? "by hand"
                                             : "pushed");
    if (rep.wall_ns == 0)
        block_row(&t, "Result", "N/A");
    else if (rep.status == 0)
        block_row(&t, "Result", "success");
    else
        block_row(&t, "Result", "%s: %.*s", error_to_text(-(int)rep.status, code, sizeof code),
                  (int)rep.error.size, (const char *)rep.error.base);
    table_end(&t);
    return 0;
}

const struct command_spec live_config_commands[] = {
    { "hot-update-config", run_hot_update, hot_update_spec,
      "Changes settings of nodes that run, until they end; all of them, or none. Clients, which\n"
      "answer no calls, fetch them within about two seconds.\n"
      "  hot-update-config -n 101 -s 'log.level = \"debug\"'\n"
      "  hot-update-config -t STORAGE -f resync.toml\n"
      "  hot-update-config -t FUSE -s 'readonly = true'" },
    { "get-last-config-update-record", run_get_record, record_spec,
      "Says what a node made of the last configuration that came to it." },
    { "verify-config", run_verify_config, verify_spec,
      "Asks every connected node of a type what it would make of a configuration, at its next "
      "start "
      "and now;\nnothing is changed. It fails if a node could not start with it.\n"
      "  verify-config -t STORAGE -f storage_main.toml --verbose" },
    { NULL, NULL, NULL, NULL },
};
