/* main_role.h - a role as the c3fs binary sees it, and how one is started from a command line.
 *
 * Sources of a role's settings, later ones win: defaults, variables C3FS_A_B_C, the file of --cfg,
 * --config.a.b.c=VALUE (main_files.h: other files). Each role also has the settings that all share:
 * log.level, loop.backend.
 */
#pragma once
#include "config/settings.h"
#include "loop/loop.h"
#include "main_files.h"

#define COMMON_SETTINGS(S)                                                                         \
    S(TEXT, log_level, "log.level", "info", HOT, "debug, info, warn or error")                     \
    S(TEXT, loop_backend, "loop.backend", "auto", COLD,                                            \
      "uring, posix, or auto: uring where it is allowed")                                          \
    S(BOOL, uploads_template, "upload_template", "false", NODE,                                    \
      "at start its file, without what is of one node, becomes the template of its type, unless "  \
      "a "                                                                                         \
      "person has set one; not of mgmtd")                                                          \
    S(BOOL, fault_injection, "fault_injection", "false", COLD,                                     \
      "the admin tool's fault command may make this process fail: for tests only")
SETTINGS_STRUCT(common_settings, COMMON_SETTINGS)

struct role {
    const char *name;    /* as the first argument: "storage" */
    const char *program; /* as argv[0]: "storage_main" */
    const char *help;    /* one line */
    const struct setting *settings;
    size_t settings_size;
    /* Runs until it is cancelled, or, a task, until it is done. @settings is the role's struct. */
    int (*run)(struct node *node, void *settings) fiber_fn;
    /* What the kinds of the settings cannot say, or NULL: 0, or an error with one line (arena). */
    int (*check)(const void *settings, struct arena *arena, const char **ret_error);
    bool is_task;
};

/* What a command line asks for. All memory is the arena's. */
struct role_start {
    const struct role *role;
    struct common_settings common;
    void *settings;              /* the role's struct */
    const struct setting *table; /* shared and own ones, over @joined, of which @settings is part */
    void *joined;
    void *pushed;        /* as @joined without what was given by hand */
    struct arena *arena; /* of all that */
    char *config;        /* all settings as TOML, for --print-config */
    struct settings_files files;
    char *defaults;             /* the same without any source, for --dump-default-cfg */
    const char *persist_prefix; /* of --cfg-persist-prefix, or NULL */
    bool is_local;              /* --use-local-cfg: pushed configurations are refused */
    bool check_only, print_only, help_only, defaults_only, version_only;
};

/* Reads @argv (argv[0] is the role's name or program) and @environment. -ERR_WRONG_USAGE and the
 * errors of settings.h, with *ret_error one line. Looks at no file but those that are named. */
int role_start_parse(const struct role *role, int argc, char *const *argv,
                     const char *const *environment, struct arena *arena, struct role_start *ret,
                     const char **ret_error) must_check;

/* Runs the role as the process's only node until SIGTERM or SIGINT, or until it fails. The exit
 * status. */
int role_start_run(struct role_start *start);

/* Makes the role's node on a loop: "storage-1001", with its log level. Configurations that are
 * pushed to it change the settings of @start, which outlives it: all of their HOT keys or nothing.
 */
struct node *role_node_new(struct role_start *start, struct loop *loop);
/* Blocks the signals that signal_wait() is for; before any thread is made. */
void role_block_signals(void);
/* Waits for one that ends the process, from a fiber of @node; SIGUSR1 logs all fibers meanwhile. */
int role_wait_signal(struct node *node) fiber_fn must_check;

/* Whether @toml may be the configuration of all nodes of the role (config/settings.h). */
int role_check_template(const struct role *role, struct arena *arena, struct bytes toml,
                        const char **ret_error) must_check;

/* The whole of a role's main(): exit status 0, 1 after a failure, 2 for a wrong command line. */
int role_main(const struct role *role, int argc, char *const *argv, const char *const *environment);

/* The settings of the role and the shared ones, in one table. */
const struct setting *role_settings(const struct role *role, struct arena *arena);

/* A loop of the kind that the setting names, with a line on stderr if it had to fall back. */
int role_loop_new(const struct common_settings *common, const char *who,
                  struct loop **ret) must_check;
