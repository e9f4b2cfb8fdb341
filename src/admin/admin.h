/* admin.h - the admin tool: commands over lazily opened connections, one shot, from a script, or
 * interactive. */
#pragma once
#include "admin/arguments.h"
#include "admin/print.h"
#include "client/file_io.h"
#include "client/meta_client.h"
#include "config/settings.h"
#include "kv/kv.h"
#include "loop/node.h"

#define ADMIN_SETTINGS(S)                                                                          \
    S(TEXT, cluster_id, "cluster_id", "default", NODE, "name of the cluster")                      \
    S(TEXT_LIST, mgmtd, "mgmtd_server_addresses", "", NODE, "addresses of the cluster managers")   \
    S(TEXT, kv_path, "kv_path", "", NODE,                                                          \
      "directory of the embedded store, for commands that work on it")                             \
    S(TEXT, cluster_key, "cluster_key", "", NODE,                                                  \
      "k1:...; empty: the store's, or a token is used")                                            \
    S(TEXT, token_file, "token_file", "/opt/3fs/etc/token.txt", NODE,                              \
      "file with the user's token")                                                                \
    S(TEXT, token, "user_info.token", "", NODE, "the user's token")                                \
    S(U32, uid, "user_info.uid", "4294967295", NODE,                                               \
      "act as this user; 4294967295: the process's, or the token's")                               \
    S(U32, gid, "user_info.gid", "4294967295", NODE, "and this group")                             \
    S(TEXT_LIST, gids, "user_info.gids", "", NODE, "and these; empty: the process's")              \
    S(BOOL, verbose, "verbose", "false", NODE, "say which command runs")                           \
    S(BOOL, profile, "profile", "false", NODE, "say how long each took")                           \
    S(BOOL, stops_at_failure, "break_multi_line_command_on_failure", "false", NODE,                \
      "of several commands in one line, the rest is left out after a failure")                     \
    S(DURATION, timeout_ns, "timeout", "20s", NODE, "how long a command waits for its servers")    \
    S(DURATION, progress_after_ns, "progress_after", "200ms", NODE,                                \
      "on a terminal, what takes longer shows how far it is")
SETTINGS_STRUCT(admin_settings, ADMIN_SETTINGS)
extern const struct setting admin_settings_table[];

struct admin {
    struct node *node;
    const struct admin_settings *settings;
    struct printer printer;
    struct arena arena; /* of the running command */
    struct kv *kv;
    struct mgmtd_client *mgmtd;
    struct meta_client *meta;
    struct storage_client *storage;
    struct uuid client;
    struct user_info user; /* for whom commands are run */
    bool has_chosen_user;  /* by user-switch */
    char *token;           /* of user-switch, owned; NULL: that of the settings */
    char *cwd;             /* absolute */
    bool is_interactive;
    const char *history_path; /* where what is typed is kept; NULL: nowhere */
};

struct command_spec {
    const char *name;
    int (*run)(struct admin *a, const struct arguments *args) fiber_fn;
    const struct argument_spec *arguments;
    const char *help; /* first line: what it does; then examples */
};
/* Ends with a row without a name. */
extern const struct command_spec *const command_groups[]; /* ends with NULL */
const struct command_spec *command_find(const char *name);
/* Says that there is no such command, and which is near. */
int command_unknown(struct admin *a, const char *name);

/* Runs one line (pieces by ';'). The first failure's status; all pieces run. */
int admin_run_line(struct admin *a, const char *line) fiber_fn;
/* Runs lines from @in until its end; '#' comments. The first failure's status. */
int admin_run_script(struct admin *a, FILE *in) fiber_fn;
/* Prompt, history, completion, until end of input. Standard input is a terminal. */
int admin_run_shell(struct admin *a) fiber_fn;

/* Prints "Encounter error: <code>(<name>)" and the sentence to stdout as operators know it; returns
 * @r. */
int admin_fail(struct admin *a, int r, const char *fmt, ...) printf_(3, 4);

/* "Upload 10 chains succeeded", or {"Result": "..."}. */
void admin_say(struct admin *a, const char *fmt, ...) printf_(2, 3);
/* The token given by user-switch or the settings; "" for none. */
const char *admin_token(const struct admin *a);
/* Connections are made anew with that token. */
void admin_switch_token(struct admin *a, const char *token) fiber_fn;

/* Open what a command needs; each says what is missing. */
int admin_need_kv(struct admin *a) fiber_fn must_check;
int admin_need_mgmtd(struct admin *a) fiber_fn must_check;
int admin_need_meta(struct admin *a) fiber_fn must_check;
int admin_need_storage(struct admin *a) fiber_fn must_check;
void admin_close(struct admin *a) fiber_fn;

/* Calls of the services; failures are printed. */
int admin_mgmtd(struct admin *a, const struct rpc_method *method, const void *req,
                void *rep) fiber_fn must_check;
int admin_meta(struct admin *a, const struct rpc_method *method, void *req,
               void *rep) fiber_fn must_check;
int admin_storage(struct admin *a, uint32_t node_id, const struct rpc_method *method,
                  const void *req, void *rep) fiber_fn must_check;
int admin_node(struct admin *a, uint32_t node_id, const struct rpc_service *service,
               const struct rpc_method *method, const void *req, void *rep) fiber_fn must_check;
/* @who is for messages. */
int admin_address(struct admin *a, const char *who, const struct net_address *address,
                  const struct rpc_service *service, const struct rpc_method *method,
                  const void *req, void *rep) fiber_fn must_check;
void admin_meta_base(struct admin *a, struct meta_base *base);
/* @path made absolute by the current directory (arena). */
const char *admin_path(struct admin *a, const char *path);
int admin_walk(struct admin *a, const char *path, bool follow,
               struct inode *ret) fiber_fn must_check;
int admin_walk_parent(struct admin *a, const char *path, struct inode *ret,
                      struct bytes *ret_name) fiber_fn must_check;
struct routing *admin_routing(struct admin *a);
