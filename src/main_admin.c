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
#include "loop/loop.h"
#include "main_role.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, CFG_BYTES_MAX = 1 << 20 };

struct admin_start {
    struct arena arena;
    struct admin_settings settings;
    const char *cfg;
    const char *line; /* NULL: from standard input */
    bool is_json;
    struct node *node;
    int result;
};

static int fail(const char *text)
{
    fprintf(stderr, "admin_cli: %s\n", text);
    return EXIT_USAGE;
}

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

static int load_cfg(struct admin_start *s, const char **ret_error)
{
    FILE *f = fopen(s->cfg, "re");
    if (!f) {
        *ret_error = arena_printf(&s->arena, "%s: %s", s->cfg, strerrordesc_np(errno));
        return error_from_errno(errno);
    }
    char *text = arena_alloc(&s->arena, CFG_BYTES_MAX);
    size_t size = fread(text, 1, CFG_BYTES_MAX, f);
    fclose(f);
    struct toml_value root;
    const char *error = NULL;
    int r = toml_parse(&s->arena, bytes_of(text, size), &root, &error);
    if (r >= 0) r = settings_load(admin_settings_table, &s->settings, &s->arena, &root, &error);
    if (r < 0) *ret_error = arena_printf(&s->arena, "%s: %s", s->cfg, error);
    return r;
}

/* "--config.a.b=V" or "--config.a.b V"; the value is wiped from argv. */
static int take_override(struct admin_start *s, int argc, char *const *argv, int *at,
                         const char **ret_error)
{
    char *argument = argv[*at] + strlen("--config."), *equals = strchr(argument, '='), *value;
    if (equals) {
        value = equals + 1;
    } else if (*at + 1 < argc) {
        value = argv[++*at];
    } else {
        *ret_error = "the last --config.KEY has no value";
        return -ERR_WRONG_USAGE;
    }
    const char *key =
        equals ? arena_text(&s->arena, bytes_of(argument, (size_t)(equals - argument))) : argument;
    const char *copy = arena_printf(&s->arena, "%s", value);
    memset(value, 'x', strlen(value));
    return settings_set(admin_settings_table, &s->settings, &s->arena, key, copy, ret_error);
}

/* The options in front; @ret_rest is the first word of the command. */
static int parse(struct admin_start *s, int argc, char *const *argv, const char **ret_error)
{
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        bool is_cfg = !strcmp(argv[at], "-cfg") || !strcmp(argv[at], "--cfg");
        if (is_cfg && at + 1 < argc) s->cfg = argv[at + 1];
        if (is_cfg) at++;
        if (!strncmp(argv[at > argc - 1 ? argc - 1 : at], "--cfg=", 6)) s->cfg = argv[at] + 6;
        if (!strncmp(argv[at > argc - 1 ? argc - 1 : at], "--config.", 9) && !strchr(argv[at], '='))
            at++;
    }
    if (!s->cfg) s->cfg = default_cfg(&s->arena);
    int r = s->cfg ? load_cfg(s, ret_error) : 0;
    for (at = 1; r >= 0 && at < argc && argv[at][0] == '-'; at++) {
        if (!strcmp(argv[at], "-cfg") || !strcmp(argv[at], "--cfg")) {
            if (++at < argc) continue;
            *ret_error = "-cfg needs a file";
            return -ERR_WRONG_USAGE;
        }
        if (!strncmp(argv[at], "--cfg=", 6)) continue;
        if (!strcmp(argv[at], "--json")) {
            s->is_json = true;
        } else if (!strncmp(argv[at], "--config.", 9)) {
            r = take_override(s, argc, argv, &at, ret_error);
        } else {
            static const char *const names[] = { "-cfg", "--cfg", "--json", "--config.KEY=VALUE" };
            const char *near = nearest_name(argv[at], names, ARRAY_SIZE(names));
            *ret_error = arena_printf(&s->arena, "unknown option '%s'%s%s", argv[at],
                                      near ? "; did you mean " : "", near ?: "");
            return -ERR_WRONG_USAGE;
        }
    }
    for (; r >= 0 && at < argc; at++)
        s->line = s->line ? arena_printf(&s->arena, "%s %s", s->line, argv[at]) : argv[at];
    return r;
}

static int admin_fiber(void *arg)
{
    struct admin_start *s = arg;
    struct admin a = { .node = s->node,
                       .settings = &s->settings,
                       .printer = { stdout, s->is_json },
                       .cwd = xstrdup("/"),
                       .uid = s->settings.uid == UINT32_MAX ? geteuid() : s->settings.uid,
                       .gid = s->settings.gid == UINT32_MAX ? getegid() : s->settings.gid };
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

int admin_main(int argc, char *const *argv)
{
    struct admin_start s = { 0 };
    const char *error = NULL;
    settings_init(admin_settings_table, &s.settings, &s.arena);
    int r = parse(&s, argc, argv, &error);
    if (r < 0) {
        fail(error ?: error_sentence(r));
        arena_done(&s.arena);
        return r == -ERR_WRONG_USAGE ? EXIT_USAGE : 1;
    }
    struct common_settings common = { .log_level = "warn", .loop_backend = "posix" };
    struct loop *loop = NULL;
    if (role_loop_new(&common, "admin_cli", &loop) < 0) return 1;
    s.node = node_new(loop, NULL, "admin_cli");
    s.node->log.level = LOG_WARN;
    r = loop_run_main(loop, s.node, admin_fiber, &s);
    node_free(s.node);
    loop_free(loop);
    arena_done(&s.arena);
    if (s.result == -ERR_WRONG_USAGE) return EXIT_USAGE;
    return r < 0 || s.result < 0 ? 1 : 0;
}
