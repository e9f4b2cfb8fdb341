/* main_admin.c - the admin tool's command line: its options first, the rest is one command.
 *
 *   admin_cli [-cfg FILE] [--config.KEY=VALUE]... [--json] [COMMAND [ARGUMENT]...]
 *
 * Without -cfg the first of these that exists is read: $C3FS_ADMIN_CFG, the files that `c3fs up`
 * writes, the one of the container image. A token on the command line is wiped from it before
 * anything else happens.
 */
#include "main_admin.h"

#include "admin/admin.h"
#include "cluster/token.h"
#include "loop/loop.h"
#include "main_role.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, GROUP_COUNT_MAX = 256 };

struct override {
    const char *key, *text;
};

struct admin_start {
    struct arena arena;
    struct admin_settings settings;
    struct settings_files files; /* only FILE_MAIN; what it ignores is not told at each command */
    const char *line;            /* NULL: from standard input */
    struct override *overrides;
    uint32_t override_count;
    bool is_json, shows_help, shows_version, shows_settings, shows_defaults;
    const char *dump_path; /* NULL: standard output */
    struct user_info user;
    struct node *node;
    int result;
};

static const char *default_cfg(struct arena *arena)
{
    const char *home = getenv("HOME"), *named = getenv("C3FS_ADMIN_CFG");
    if (named && named[0]) return named;
    const char *paths[] = { "/var/lib/c3fs/etc/admin_cli.toml",
                            arena_printf(arena, "%s/.local/share/c3fs/etc/admin_cli.toml",
                                         home ?: ""),
                            "/opt/3fs/etc/admin_cli.toml" };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (access(paths[i], R_OK) == 0) return paths[i];
    return NULL;
}

/* Where what is typed is kept: $C3FS_HISTORY (empty: nowhere), or among the states of the user. */
static const char *history_path(struct arena *arena)
{
    const char *named = getenv("C3FS_HISTORY"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (named) return named[0] ? named : NULL;
    if (state && state[0] == '/') return arena_printf(arena, "%s/c3fs/admin_history", state);
    if (!home || home[0] != '/') return NULL;
    return arena_printf(arena, "%s/.local/state/c3fs/admin_history", home);
}

/* ---- the options in front of the command ---- */

enum option_kind {
    OPTION_CFG,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_DUMP,
    OPTION_DUMP_DEFAULT,
    OPTION_DUMP_PATH
};
static const struct {
    const char *name; /* as given by gflags users: one or two dashes, '_' or '-' */
    enum option_kind kind;
    const char *help;
} options[] = {
    { "--cfg", OPTION_CFG, "FILE: settings in TOML" },
    { "--json", OPTION_JSON, "show results as JSON" },
    { "--dump-cfg", OPTION_DUMP, "show all settings as TOML with what they mean, and end" },
    { "--dump-default-cfg", OPTION_DUMP_DEFAULT, "the same with the defaults" },
    { "--dump-path", OPTION_DUMP_PATH, "FILE: write it there instead of showing it" },
    { "--release-version", OPTION_VERSION, "show the version, and end" },
    { "--help", OPTION_HELP, "show this, and end; 'help' lists the commands" },
};

static int find_option(struct admin_start *s, const char *word, const char **ret_error)
{
    char *name = arena_printf(&s->arena, "--%s", word + strspn(word, "-"));
    for (char *p = name; *p; p++)
        if (*p == '_') *p = '-';
    const char *names[ARRAY_SIZE(options) + 1] = { "--config.KEY" };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (!strcmp(options[i].name, name) || !strcmp(word, "-h")) {
            return !strcmp(word, "-h") ? OPTION_HELP : options[i].kind;
        }
        names[i + 1] = options[i].name;
    }
    const char *near = nearest_name(name, names, ARRAY_SIZE(names));
    *ret_error = arena_printf(&s->arena, "unknown option '%s'%s%s%s", word,
                              near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
    return -ERR_WRONG_USAGE;
}

/* "--config.a.b=V" or "--config.a.b V": kept for after the file, and wiped from argv: a token may
 * be in it. */
static int take_override(struct admin_start *s, int argc, char *const *argv, int at,
                         const char **ret_error)
{
    const char *key = argv[at] + strspn(argv[at], "-") + strlen("config.");
    char *equals = strchr(argv[at], '='), *value = equals ? equals + 1 : argv[at + 1];
    if (!equals && at + 1 == argc) {
        bool is_token = !strcmp(key, "user_info.token"); /* "... $(<token.txt)" of an empty file */
        *ret_error = is_token ? "--config.user_info.token has no value: is the token file empty?"
                              : "the last --config.KEY has no value";
        return -ERR_WRONG_USAGE;
    }
    size_t size = equals ? (size_t)(equals - key) : strlen(key);
    s->overrides[s->override_count++] =
        (struct override){ arena_text(&s->arena, bytes_of(key, size)),
                           arena_printf(&s->arena, "%s", value) };
    memset(value, 'x', strlen(value));
    return equals ? 1 : 2;
}

/* One option. How many arguments it was. */
static int take_option(struct admin_start *s, int argc, char *const *argv, int at,
                       const char **ret_error)
{
    const char *word = argv[at], *equals = strchr(word, '=');
    if (!strncmp(word + strspn(word, "-"), "config.", 7))
        return take_override(s, argc, argv, at, ret_error);
    if (equals) word = arena_text(&s->arena, bytes_of(word, (size_t)(equals - word)));
    int kind = find_option(s, word, ret_error);
    if (kind < 0) return kind;
    if (equals && kind != OPTION_CFG && kind != OPTION_DUMP_PATH) {
        *ret_error = arena_printf(&s->arena, "option '%s' takes no value", word);
        return -ERR_WRONG_USAGE;
    }
    switch ((enum option_kind)kind) {
    case OPTION_CFG:
        s->files.paths[FILE_MAIN] = equals ? equals + 1 : argv[at + 1];
        *ret_error = "--cfg needs a file";
        return s->files.paths[FILE_MAIN] ? 1 + !equals : -ERR_WRONG_USAGE;
    case OPTION_JSON: s->is_json = true; return 1;
    case OPTION_HELP: s->shows_help = true; return 1;
    case OPTION_VERSION: s->shows_version = true; return 1;
    case OPTION_DUMP: s->shows_settings = true; return 1;
    case OPTION_DUMP_DEFAULT: s->shows_defaults = true; return 1;
    case OPTION_DUMP_PATH:
        s->dump_path = equals ? equals + 1 : argv[at + 1];
        *ret_error = "--dump-path needs a file";
        return s->dump_path ? 1 + !equals : -ERR_WRONG_USAGE;
    }
    return 1;
}

/* A word of the command: copied, and then what is a token in it is wiped, wherever it stands. */
static void take_word(struct admin_start *s, char *word)
{
    uint32_t uid;
    uint64_t random;
    s->line = s->line ? arena_printf(&s->arena, "%s %s", s->line, word)
                      : arena_printf(&s->arena, "%s", word);
    size_t size = strlen(word);
    for (size_t at = 0; at + TOKEN_TEXT_SIZE <= size; at++)
        if (token_parse(bytes_of(word + at, TOKEN_TEXT_SIZE), &uid, &random) >= 0)
            memset(word + at, 'x', TOKEN_TEXT_SIZE);
}

/* The options in front; the words behind them are the command. */
static int parse(struct admin_start *s, int argc, char *const *argv, const char **ret_error)
{
    int at = 1, r = 0;
    s->overrides = arena_array(&s->arena, struct override, (size_t)argc);
    while (r >= 0 && at < argc && argv[at][0] == '-') {
        r = take_option(s, argc, argv, at, ret_error);
        at += MAX_OF(r, 0);
    }
    for (; r >= 0 && at < argc; at++)
        take_word(s, argv[at]);
    if (r < 0 || s->shows_help || s->shows_version) return MIN_OF(r, 0);
    if (!s->files.paths[FILE_MAIN]) s->files.paths[FILE_MAIN] = default_cfg(&s->arena);
    r = settings_files_load(&s->files, admin_settings_table, &s->settings, &s->arena, ret_error);
    for (uint32_t i = 0; r >= 0 && i < s->override_count; i++)
        r = settings_override(&s->files, admin_settings_table, &s->settings, &s->arena,
                              s->overrides[i].key, s->overrides[i].text, ret_error);
    return r;
}

static void print_help(void)
{
    printf("c3fs admin - commands to a cluster\n\n"
           "usage: c3fs admin [--cfg FILE] [--config.KEY=VALUE]... [--json] [COMMAND [ARGUMENT]...]"
           "\n\n"
           "Without a command it reads them from the terminal, or one a line from standard "
           "input.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        printf("  %-20s %s\n", options[i].name, options[i].help);
    printf("  %-20s %s\n", "--config.KEY=VALUE", "one setting; wins over the file");
}

/* "--config.user_info.token $(<token.txt) COMMAND" takes the command for the token when the file is
 * empty. */
static int check_token(struct admin_start *s, const char **ret_error)
{
    uint32_t uid;
    uint64_t random;
    const char *token = s->settings.token;
    if (!token[0] || token_parse(bytes_of_text(token), &uid, &random) >= 0) return 0;
    *ret_error = arena_printf(&s->arena,
                              "key 'user_info.token': that is no token; is the token file (%s) "
                              "empty?",
                              s->settings.token_file);
    return -ERR_CONFIG_INVALID_VALUE;
}

/* The supplementary groups for which commands are run. */
static int take_groups(struct admin_start *s, struct u32_list *ret, const char **ret_error)
{
    const setting_TEXT_LIST *given = &s->settings.gids;
    gid_t own[GROUP_COUNT_MAX];
    int own_count = given->count ? 0 : getgroups(ARRAY_SIZE(own), own);
    *ret = (struct u32_list){ arena_array(&s->arena, uint32_t, given->count + GROUP_COUNT_MAX), 0 };
    for (int i = 0; i < own_count; i++)
        ret->items[ret->count++] = own[i];
    for (uint32_t i = 0; i < given->count; i++) {
        uint64_t gid;
        if (!argument_number_parse(given->items[i], &gid) || gid > UINT32_MAX) {
            *ret_error = arena_printf(&s->arena, "key 'user_info.gids': '%s' is no group's number",
                                      given->items[i]);
            return -ERR_CONFIG_INVALID_VALUE;
        }
        ret->items[ret->count++] = (uint32_t)gid;
    }
    return 0;
}

static int admin_fiber(void *arg)
{
    struct admin_start *s = arg;
    struct admin a = { .node = s->node,
                       .settings = &s->settings,
                       .printer = { stdout, s->is_json },
                       .cwd = xstrdup("/"),
                       .user = s->user,
                       .history_path = history_path(&s->arena) };
    node_random_bytes(s->node, &a.client, sizeof a.client);
    if (s->line) {
        s->result = admin_run_line(&a, s->line);
    } else if (isatty(0)) {
        s->result = admin_run_shell(&a);
    } else {
        s->result = admin_run_script(&a, stdin);
    }
    admin_close(&a);
    return 0;
}

/* Where a dump goes. The exit status. */
static int dump(struct admin_start *s)
{
    struct admin_settings defaults;
    settings_init(admin_settings_table, &defaults, &s->arena);
    const char *text = settings_to_toml(admin_settings_table,
                                        s->shows_defaults ? &defaults : &s->settings, &s->arena);
    FILE *out = s->dump_path ? fopen(s->dump_path, "w") : stdout;
    if (out && fputs(text, out) >= 0 && (out == stdout || fclose(out) == 0)) return 0;
    fprintf(stderr, "admin_cli: cannot write %s: %s\n", s->dump_path ?: "standard output",
            error_sentence(error_from_errno(errno)));
    return 1;
}

/* Ends here, with what is only to be shown. */
static bool only_shows(struct admin_start *s, int *ret_status)
{
    *ret_status = 0;
    if (s->shows_help) {
        print_help();
    } else if (s->shows_version) {
        puts("c3fs " C3FS_VERSION);
    } else if (s->shows_settings || s->shows_defaults) {
        *ret_status = dump(s);
    } else {
        return false;
    }
    return true;
}

static int run(struct admin_start *s)
{
    struct common_settings common = { .log_level = "warn", .loop_backend = "posix" };
    cleanup_(loop_freep) struct loop *loop = NULL;
    if (role_loop_new(&common, "admin_cli", &loop) < 0) return 1;
    cleanup_(node_freep) struct node *node = node_new(loop, NULL, "admin_cli");
    node->log.level = LOG_WARN;
    s->node = node;
    int r = loop_run_main(loop, node, admin_fiber, s);
    if (s->result == -ERR_WRONG_USAGE) return EXIT_USAGE;
    return r < 0 || s->result < 0 ? 1 : 0;
}

int admin_main(int argc, char *const *argv)
{
    struct admin_start s = { 0 };
    const char *error = NULL;
    settings_init(admin_settings_table, &s.settings, &s.arena);
    int r = parse(&s, argc, argv, &error);
    s.user.uid = s.settings.uid == UINT32_MAX ? geteuid() : s.settings.uid;
    s.user.gid = s.settings.gid == UINT32_MAX ? getegid() : s.settings.gid;
    if (r >= 0) r = check_token(&s, &error);
    if (r >= 0) r = take_groups(&s, &s.user.groups, &error);
    if (r < 0) {
        char text[64];
        fprintf(stderr, "admin_cli: %s: %s\n", error_to_text(r, text, sizeof text),
                error ?: error_sentence(r));
    }
    int status = EXIT_USAGE;
    if (r >= 0 && !only_shows(&s, &status)) status = run(&s);
    arena_done(&s.arena);
    return status;
}
