/* main_role.c - from a command line to a running role. */
#include "main_role.h"

#include "loop/fault.h"
#include "main_persist.h"

#include <signal.h>
#include <stdio.h>

#define SETTING_STRUCT_NAME common_settings
static SETTINGS_TABLE(common_table, COMMON_SETTINGS)

    /* Of these the ones of 3FS are taken with one or two dashes, '_' or '-'. */
    static const char *const option_names[] = { "--cfg",
                                                "--check",
                                                "--config.",
                                                "--help",
                                                "--print-config",
                                                "--use-local-cfg",
                                                "--dump-cfg",
                                                "--dump-default-cfg",
                                                "--dump-default-app-cfg",
                                                "--dump-default-launcher-cfg",
                                                "--cfg-persist-prefix",
                                                "--release-version" };

struct override {
    const char *key, *text;
};

/* ---- the joined settings: the shared ones, then those of the role ---- */

struct joined {
    struct setting *table;
    void *settings;
};

static size_t common_size(void)
{
    return (sizeof(struct common_settings) + 15) & ~(size_t)15;
}

static struct joined join(const struct role *role, struct arena *arena)
{
    size_t common_count = ARRAY_SIZE(common_table) - 1, role_count = 0;
    while (role->settings[role_count].key)
        role_count++;
    struct joined joined = {
        .table = arena_array(arena, struct setting, common_count + role_count + 1),
        .settings = arena_zalloc(arena, common_size() + role->settings_size),
    };
    for (size_t i = 0; i < role_count; i++) {
        joined.table[i] = role->settings[i];
        joined.table[i].offset += common_size();
    }
    memcpy(joined.table + role_count, common_table, common_count * sizeof *joined.table);
    return joined;
}

const struct setting *role_settings(const struct role *role, struct arena *arena)
{
    return join(role, arena).table;
}

static void *copy_settings(const struct role *role, struct arena *arena, const void *joined)
{
    size_t size = common_size() + role->settings_size;
    return memcpy(arena_alloc(arena, size), joined, size);
}

/* ---- the command line ---- */

/* The value of "NAME=V", or of "NAME V" with @next. Returns how many arguments it was. */
static int take_value(const char *argument, const char *next, const char **ret)
{
    const char *equals = strchr(argument, '=');
    *ret = equals ? equals + 1 : next;
    return *ret ? 1 + !equals : -ERR_WRONG_USAGE;
}

/* The name of an option as gflags takes it, one or two dashes, '_' or '-': "--app-cfg". */
static const char *option_name(struct arena *arena, const char *argument)
{
    size_t dashes = strspn(argument, "-");
    if (dashes == 0 || dashes > 2) return argument;
    char *name =
        arena_printf(arena, "--%.*s", (int)strcspn(argument + dashes, "="), argument + dashes);
    for (char *p = name; *p; p++)
        if (*p == '_') *p = '-';
    return name;
}

/* The key of "--config.a.b", "--app_config.a" and "--launcher_config.a.b", or NULL. */
static const char *override_key(const char *argument)
{
    static const char *const prefixes[] = { "config.", "app_config.", "launcher_config.",
                                            "app-config.", "launcher-config." };
    size_t dashes = strspn(argument, "-");
    if (dashes == 0 || dashes > 2) return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t size = strlen(prefixes[i]);
        if (strncmp(argument + dashes, prefixes[i], size) == 0) return argument + dashes + size;
    }
    return NULL;
}

static int fail_option(struct arena *arena, const char *argument, const char **ret_error)
{
    const char *name = arena_text(arena, bytes_of(argument, strcspn(argument, "=")));
    const char *near = nearest_name(name, option_names, ARRAY_SIZE(option_names));
    *ret_error = near ? arena_printf(arena, "unknown option '%s'; did you mean '%s'?", name, near)
                      : arena_printf(arena, "unknown option '%s'", name);
    return -ERR_WRONG_USAGE;
}

static int take_file(struct role_start *start, enum settings_file which, const char *argument,
                     const char *next, struct arena *arena, const char **ret_error)
{
    static const char *const names[FILE_MAX] = { "--app_cfg", "--launcher_cfg", "--cfg" };
    const char *path = NULL;
    int n = take_value(argument, next, &path);
    if (n < 0 || !path[0]) {
        *ret_error = arena_printf(arena, "%s needs a file", names[which]);
        return -ERR_WRONG_USAGE;
    }
    if (start->files.paths[which]) {
        *ret_error = arena_printf(arena, "%s is given twice", names[which]);
        return -ERR_WRONG_USAGE;
    }
    start->files.paths[which] = path;
    return n;
}

/* Options of 3FS, of which @name is in the form of option_name(). 0: it is none of them. */
static int take_reference_option(struct role_start *start, const char *name, const char *argument,
                                 const char *next, struct arena *arena, const char **ret_error)
{
    const char *equals = strchr(argument, '=');
    if (!strcmp(name, "--cfg-persist-prefix")) {
        int n = take_value(argument, next, &start->persist_prefix);
        if (n > 0 && start->persist_prefix[0]) return n;
        *ret_error = "--cfg-persist-prefix needs the beginning of a file's name";
        return -ERR_WRONG_USAGE;
    }
    bool is_default = !strncmp(name, "--dump-default-", strlen("--dump-default-"));
    bool *flag = !strcmp(name, "--use-local-cfg")     ? &start->is_local
                 : !strcmp(name, "--release-version") ? &start->version_only
                 : !strcmp(name, "--dump-cfg")        ? &start->print_only
                 : is_default && (!strcmp(name, "--dump-default-cfg") ||
                                  !strcmp(name, "--dump-default-app-cfg") ||
                                  !strcmp(name, "--dump-default-launcher-cfg"))
                     ? &start->defaults_only
                     : NULL;
    if (!flag) return 0;
    bool is_off = equals && (!strcmp(equals, "=false") || !strcmp(equals, "=0"));
    if (equals && !is_off && strcmp(equals, "=true") != 0 && strcmp(equals, "=1") != 0) {
        *ret_error = arena_printf(arena, "%s is true or false, not '%s'", name, equals + 1);
        return -ERR_WRONG_USAGE;
    }
    *flag = !is_off;
    return 1;
}

/* One option and its value. Returns how many arguments it was. */
static int take_option(int argc, char *const *argv, int at, struct role_start *start,
                       struct override *overrides, uint32_t *count, struct arena *arena,
                       const char **ret_error)
{
    const char *argument = argv[at], *next = at + 1 < argc ? argv[at + 1] : NULL;
    const char *name = option_name(arena, argument), *key = override_key(argument);
    if (key) {
        struct override *o = &overrides[*count];
        int n = take_value(argument, next, &o->text);
        o->key = arena_text(arena, bytes_of(key, strcspn(key, "=")));
        *ret_error = "the last --config.KEY has no value";
        *count += n > 0;
        return n;
    }
    if (strcmp(name, "--cfg") == 0)
        return take_file(start, FILE_MAIN, argument, next, arena, ret_error);
    if (strcmp(name, "--app-cfg") == 0)
        return take_file(start, FILE_APP, argument, next, arena, ret_error);
    if (strcmp(name, "--launcher-cfg") == 0)
        return take_file(start, FILE_LAUNCHER, argument, next, arena, ret_error);
    int n = take_reference_option(start, name, argument, next, arena, ret_error);
    if (n != 0) return n;
    if (strcmp(argument, "--check") == 0) {
        start->check_only = true;
    } else if (strcmp(argument, "--print-config") == 0) {
        start->print_only = true;
    } else if (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0) {
        start->help_only = true;
    } else {
        return fail_option(arena, argument, ret_error);
    }
    return 1;
}

/* ---- all of it ---- */

static int check_common(const struct common_settings *common, struct arena *arena,
                        const char **ret_error)
{
    static const char *const backends[] = { "auto", "uring", "posix" };
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        is_known |= strcmp(common->loop_backend, backends[i]) == 0;
    }
    if (!is_known) {
        const char *near = nearest_name(common->loop_backend, backends, ARRAY_SIZE(backends));
        *ret_error = arena_printf(arena, "key 'loop.backend': '%s' is not auto, uring or posix%s%s",
                                  common->loop_backend, near ? "; nearest: " : "", near ?: "");
        return -ERR_CONFIG_INVALID_VALUE;
    }
    if (log_level_parse(common->log_level) < 0) {
        const char *near = nearest_name(common->log_level, levels, ARRAY_SIZE(levels));
        *ret_error =
            arena_printf(arena, "key 'log.level': '%s' is not debug, info, warn or error%s%s",
                         common->log_level, near ? "; nearest: " : "", near ?: "");
        return -ERR_CONFIG_INVALID_VALUE;
    }
    return 0;
}

/* All that is known of @joined beyond the kinds of its values. */
static int check_joined(const struct role *role, const void *joined, struct arena *arena,
                        const char **ret_error)
{
    int r = check_common(joined, arena, ret_error);
    if (r < 0 || !role->check) return r;
    return role->check((const char *)joined + common_size(), arena, ret_error);
}

int role_start_parse(const struct role *role, int argc, char *const *argv,
                     const char *const *environment, struct arena *arena, struct role_start *ret,
                     const char **ret_error)
{
    struct role_start start = { .role = role };
    struct override *overrides = arena_array(arena, struct override, (size_t)argc + 1);
    uint32_t override_count = 0;
    int r;
    for (int i = 1; i < argc; i += r) {
        r = take_option(argc, argv, i, &start, overrides, &override_count, arena, ret_error);
        if (r < 0) return r;
    }
    struct joined joined = join(role, arena);
    settings_init(joined.table, joined.settings, arena);
    start.defaults = settings_to_toml(joined.table, joined.settings, arena);
    r = settings_set_environment(joined.table, joined.settings, arena, environment, ret_error);
    if (r >= 0)
        r = settings_files_load(&start.files, joined.table, joined.settings, arena, ret_error);
    for (uint32_t i = 0; r >= 0 && i < override_count; i++) {
        r = settings_override(&start.files, joined.table, joined.settings, arena, overrides[i].key,
                              overrides[i].text, ret_error);
    }
    if (r < 0) return r;
    memcpy(&start.common, joined.settings, sizeof start.common);
    start.table = joined.table;
    start.joined = joined.settings;
    start.pushed = copy_settings(role, arena, joined.settings);
    start.arena = arena;
    r = check_joined(role, joined.settings, arena, ret_error);
    if (r < 0) return r;
    start.settings = (char *)joined.settings + common_size();
    start.config = settings_to_toml(joined.table, joined.settings, arena);
    *ret = start;
    return 0;
}

/* ---- running ---- */

int role_loop_new(const struct common_settings *common, const char *who, struct loop **ret)
{
    const char *why = NULL;
    enum loop_backend backend = LOOP_AUTO;
    if (strcmp(common->loop_backend, "uring") == 0) backend = LOOP_URING;
    if (strcmp(common->loop_backend, "posix") == 0) backend = LOOP_POSIX;
    int r = loop_new(backend, ret, &why);
    char text[64];
    if (r < 0) {
        fprintf(stderr, "%s: no event loop: %s: %s\n", who, error_to_text(r, text, sizeof text),
                why ?: error_sentence(r));
    } else if (why) {
        fprintf(stderr, "%s: without io_uring (%s); the %s back end is used\n", who, why,
                loop_backend_name(*ret));
    }
    return r;
}

static const int watched_signals[] = { SIGTERM, SIGINT, SIGUSR1 };

void role_block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < ARRAY_SIZE(watched_signals); i++)
        sigaddset(&signals, watched_signals[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void log_fiber(void *arg, const char *name, const char *wait, uint64_t waited_ns)
{
    const struct log *log = arg;
    log_info(log, "fiber %s: %s for %.3f s", name, wait, (double)waited_ns / (double)SEC);
}

int role_wait_signal(struct node *node)
{
    int r;
    while ((r = signal_wait(node, watched_signals, ARRAY_SIZE(watched_signals))) == SIGUSR1)
        sched_each(sched_current(), log_fiber, &node->log);
    return r;
}

int role_check_template(const struct role *role, struct arena *arena, struct bytes toml,
                        const char **ret_error)
{
    struct toml_value root;
    struct joined joined = join(role, arena);
    int r = toml_parse(arena, toml, &root, ret_error);
    if (r < 0) return r;
    r = settings_check_template(joined.table, arena, &root, ret_error);
    if (r < 0) return r;
    settings_init(joined.table, joined.settings, arena);
    r = settings_load(joined.table, joined.settings, arena, &root, ret_error);
    return r < 0 ? r : check_joined(role, joined.settings, arena, ret_error);
}

/* @root over @settings. On a copy first: nothing is changed by a text that is refused. */
static int update_settings(const struct role_start *start, void *settings,
                           const struct toml_value *root, const char **ret_error)
{
    void *copy = copy_settings(start->role, start->arena, settings);
    int r = settings_update(start->table, copy, start->arena, root, ret_error);
    if (r >= 0) r = check_joined(start->role, copy, start->arena, ret_error);
    if (r >= 0) memcpy(settings, copy, common_size() + start->role->settings_size);
    return r;
}

static int update_all(const struct role_start *start, struct bytes toml, enum config_source source,
                      const char **ret_error)
{
    struct toml_value root;
    /* what the new settings point to must stay */
    int r = toml_parse(start->arena, arena_copy(start->arena, toml), &root, ret_error);
    if (r >= 0) r = update_settings(start, start->joined, &root, ret_error);
    if (r >= 0 && source == CONFIG_PUSHED)
        r = update_settings(start, start->pushed, &root, ret_error);
    return r;
}

static bool is_dirty(const struct role_start *start)
{
    for (const struct setting *s = start->table; s->key; s++) {
        if (!settings_equal(s, start->joined, start->pushed)) return true;
    }
    return false;
}

static bool is_secret(const char *key)
{
    return strcmp(key, "cluster_key") == 0 || strcmp(key, "token") == 0;
}

static const char *show_config(void *arg, struct arena *arena)
{
    const struct role_start *start = arg;
    char *copy = copy_settings(start->role, arena, start->joined);
    for (const struct setting *s = start->table; s->key; s++)
        if (s->kind == SETTING_TEXT && is_secret(s->key)) *(setting_TEXT *)(copy + s->offset) = "";
    return settings_to_toml(start->table, copy, arena);
}

static void persist(const struct role_start *start, struct node *node)
{
    cleanup_arena_ struct arena arena = { 0 };
    if (start->persist_prefix)
        config_persist(node, start->persist_prefix, show_config((void *)(uintptr_t)start, &arena));
}

static int take_config(void *arg, struct node *node, struct bytes toml, enum config_source source,
                       struct arena *arena, const char **ret_error)
{
    const struct role_start *start = arg;
    const char *error = "it was started with --use-local-cfg";
    bool is_refused = start->is_local && source == CONFIG_PUSHED;
    int r = is_refused ? -ERR_CANNOT_PUSH_CONFIG : update_all(start, toml, source, &error);
    struct config_update *last = &node->last_config_update;
    *last = (struct config_update){ .wall_ns = node_wall_ns(node), .source = source, .result = r };
    if (r < 0) {
        snprintf(last->error, sizeof last->error, "%s", error);
        *ret_error = arena_printf(arena, "%s", error);
        return log_error(&node->log, r, "a configuration that was %s is refused: %s",
                         source == CONFIG_PUSHED ? "pushed" : "given by hand", error);
    }
    node->config_is_dirty = is_dirty(start);
    const struct common_settings *common = start->joined;
    node->log.level = (enum log_level)log_level_parse(common->log_level);
    log_info(&node->log, "took over a configuration");
    persist(start, node);
    return 0;
}

static int try_config(void *arg, struct bytes toml, bool is_hot, struct arena *arena,
                      const char **ret_error)
{
    const struct role_start *start = arg;
    struct toml_value root;
    void *copy = copy_settings(start->role, arena, start->joined);
    int r = toml_parse(arena, toml, &root, ret_error);
    if (r >= 0 && is_hot) r = settings_update(start->table, copy, arena, &root, ret_error);
    if (r >= 0 && !is_hot) r = settings_check_template(start->table, arena, &root, ret_error);
    if (r >= 0 && !is_hot) r = settings_load(start->table, copy, arena, &root, ret_error);
    if (r >= 0) r = check_joined(start->role, copy, arena, ret_error);
    for (const struct setting *s = start->table; r == 0 && s->key; s++)
        if (!settings_equal(s, start->joined, copy)) r = 1;
    return r;
}

struct node *role_node_new(struct role_start *start, struct loop *loop)
{
    const struct setting *setting = settings_find(start->role->settings, "node_id");
    char name[64];
    snprintf(name, sizeof name, "%s", start->role->name);
    if (setting && setting->kind == SETTING_U32) {
        const void *at = (const char *)start->settings + setting->offset;
        snprintf(name, sizeof name, "%s-%u", start->role->name, *(const setting_U32 *)at);
    }
    struct node *node = node_new(loop, NULL, name);
    node->log.level = (enum log_level)log_level_parse(start->common.log_level);
    node->allows_faults = start->common.fault_injection;
    /* From here on points are counted, and can be listed. */
    if (node->allows_faults) node->faults = fault_table_new();
    node->take_config = take_config;
    node->try_config = try_config;
    if (start->common.uploads_template) node->config_template = start->files.template ?: "";
    node->show_config = show_config;
    node->config_arg = start;
    return node;
}

struct running {
    const struct role_start *start;
    struct node *node;
    struct scope role_scope;
    bool is_asked_to_end;
};

static int watch_signals(void *arg)
{
    struct running *running = arg;
    int r = role_wait_signal(running->node);
    if (r < 0) return r;
    running->is_asked_to_end = true;
    log_info(&running->node->log, "stopping: %s", sigabbrev_np(r));
    scope_cancel(&running->role_scope);
    return 0;
}

static int run_role(void *arg)
{
    struct running *running = arg;
    return running->start->role->run(running->node, running->start->settings);
}

static int main_fiber(void *arg)
{
    struct running *running = arg;
    struct scope signals;
    scope_init(&signals, NULL);
    scope_init(&running->role_scope, NULL);
    int r = fiber_spawn(&signals, "signals", watch_signals, running);
    if (r >= 0) r = fiber_spawn(&running->role_scope, "role", run_role, running);
    if (r >= 0) r = scope_wait(&running->role_scope);
    scope_done(&running->role_scope);
    scope_done(&signals);
    return r;
}

int role_start_run(struct role_start *start)
{
    role_block_signals();
    cleanup_(loop_freep) struct loop *loop = NULL;
    if (role_loop_new(&start->common, start->role->name, &loop) < 0) return 1;
    cleanup_(node_freep) struct node *node = role_node_new(start, loop);
    struct running running = { .start = start, .node = node };
    persist(start, node);
    int r = loop_run_main(loop, node, main_fiber, &running);
    if (running.is_asked_to_end) return 0;
    if (r < 0) log_error(&node->log, r, "ended");
    return r < 0 ? 1 : 0;
}

static void print_help(const struct role *role)
{
    printf(
        "c3fs %s - %s\n\n"
        "usage: c3fs %s [--cfg FILE] [--config.KEY=VALUE]... [--check | --print-config]\n\n"
        "  --cfg FILE          settings in TOML\n"
        "  --app-cfg FILE, --launcher-cfg FILE\n"
        "                      the same, for who has 3FS's files: no two may contradict each "
        "other\n"
        "  --config.KEY=VALUE  one setting; wins over the file and over the variable C3FS_KEY\n"
        "  --check             says whether all of it is valid, and ends\n"
        "  --print-config      shows all settings as TOML with what they mean, and ends\n\n"
        "Of 3FS, with one or two dashes, '_' or '-':\n"
        "  --dump-cfg          as --print-config\n"
        "  --dump-default-cfg, --dump-default-app-cfg, --dump-default-launcher-cfg\n"
        "                      shows the defaults of all settings, and ends: there is one file "
        "here\n"
        "  --use-local-cfg     configurations that the cluster manager pushes are refused\n"
        "  --cfg-persist-prefix P\n"
        "                      at the start and at each change the settings, without secrets, are "
        "written to\n"
        "                      P_YYYYMMDD_HHMMSS_uuuuuu\n"
        "  --release-version   shows the version, and ends\n\n"
        "SIGTERM and SIGINT end it in order; SIGUSR1 writes what each of its fibers waits for to "
        "its log.\n",
        role->name, role->help, role->name);
}

int role_main(const struct role *role, int argc, char *const *argv, const char *const *environment)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct role_start start;
    const char *error = NULL;
    int r = role_start_parse(role, argc, argv, environment, &arena, &start, &error);
    if (r < 0) {
        char text[64];
        fprintf(stderr, "c3fs %s: %s: %s\n", role->name, error_to_text(r, text, sizeof text),
                error);
        return 2;
    }
    if (start.help_only) {
        print_help(role);
        return 0;
    }
    if (start.version_only) {
        puts("c3fs " C3FS_VERSION);
        return 0;
    }
    if (start.defaults_only) {
        fputs(start.defaults, stdout);
        return 0;
    }
    for (uint32_t i = 0; i < start.files.notes.count; i++)
        fprintf(stderr, "c3fs %s: %s\n", role->name, start.files.notes.items[i]);
    if (start.print_only) {
        fputs(start.config, stdout);
        return 0;
    }
    if (start.check_only) {
        printf("%s: valid\n", start.files.paths[FILE_MAIN] ?: role->name);
        return 0;
    }
    return role_start_run(&start);
}
