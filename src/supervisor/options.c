/* options.c - flags of up, down and status. */
#include "supervisor/options.h"

#include "base/units.h"
#include "loop/net.h"
#include "supervisor/files.h"
#include "supervisor/join.h"
#include <errno.h>
#include <unistd.h>

#define SETTING_STRUCT_NAME cluster_settings
SETTINGS_TABLE(cluster_settings_table, CLUSTER_SETTINGS)

enum { FLAG_COUNT_MAX = 32, SETTING_COUNT = ARRAY_SIZE(cluster_settings_table) - 1 };

struct flag {
    const struct setting *setting;
    const char *text;
};
struct flags {
    struct flag items[FLAG_COUNT_MAX];
    uint32_t count;
};

/* "--port-base" of "port_base". */
static const char *flag_name(const char *key, struct arena *arena)
{
    char *name = arena_printf(arena, "--%s", key);
    for (char *p = name; *p; p++) {
        if (*p == '_') *p = '-';
    }
    return name;
}

static int fail_unknown(const char *name, struct arena *arena, const char **ret_error)
{
    const char *names[SETTING_COUNT + 4] = { "--dir", "--json", "--foreground", "--help" };
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        names[4 + i] = flag_name(cluster_settings_table[i].key, arena);
    }
    const char *near = nearest_name(name, names, ARRAY_SIZE(names));
    *ret_error = near ? arena_printf(arena, "unknown option '%s'; did you mean '%s'?", name, near)
                      : arena_printf(arena, "unknown option '%s'", name);
    return -ERR_WRONG_USAGE;
}

static const struct setting *find_setting(const char *name, struct arena *arena)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &cluster_settings_table[i];
        if (strcmp(flag_name(setting->key, arena), name) == 0) return setting;
    }
    return NULL;
}

/* One flag with its value. Returns how many arguments it was. */
static int take_flag(const char *argument, const char *next, struct cluster_options *options,
                     struct flags *flags, struct arena *arena, const char **ret_error)
{
    const char *equals = strchr(argument, '='), *name = argument, *value = NULL;
    if (equals) {
        name = arena_text(arena, bytes_of(argument, (size_t)(equals - argument)));
        value = equals + 1;
    }
    bool *boolean = strcmp(name, "--json") == 0         ? &options->json
                    : strcmp(name, "--foreground") == 0 ? &options->foreground
                    : strcmp(name, "--help") == 0       ? &options->help
                    : strcmp(name, "-h") == 0           ? &options->help
                                                        : NULL;
    if (boolean) {
        *boolean = true;
        *ret_error = arena_printf(arena, "option '%s' takes no value", name);
        return value ? -ERR_WRONG_USAGE : 1;
    }
    const struct setting *setting = find_setting(name, arena);
    if (!setting && strcmp(name, "--dir") != 0) return fail_unknown(name, arena, ret_error);
    int used = value ? 1 : 2;
    if (!value && setting && setting->kind == SETTING_BOOL) {
        value = "true";
        used = 1;
    }
    if (!value) value = next;
    if (!value || flags->count == FLAG_COUNT_MAX) {
        *ret_error = arena_printf(arena, "option '%s' needs a value", name);
        return -ERR_WRONG_USAGE;
    }
    if (setting && !options->first_setting) options->first_setting = name;
    if (setting) flags->items[flags->count++] = (struct flag){ setting, value };
    if (!setting) options->dir = value;
    return used;
}

static const char *default_dir(struct arena *arena)
{
    const char *home = getenv("HOME");
    if (geteuid() == 0 || !home) return "/var/lib/c3fs";
    return arena_printf(arena, "%s/.local/share/c3fs", home);
}

static const char *default_mount(struct arena *arena)
{
    const char *home = getenv("HOME");
    if (geteuid() == 0 || !home) return "/mnt/c3fs";
    return arena_printf(arena, "%s/mnt/c3fs", home);
}

static const char *absolute_path(const char *path, struct arena *arena)
{
    char here[4096];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    path = arena_text(arena, bytes_of(path, size));
    if (path[0] == '/' || !getcwd(here, sizeof here)) return path;
    return arena_printf(arena, "%s/%s", here, path);
}

/* A storage of another machine's cluster: that cluster's name is to be shown. */
static int load_joined(struct cluster_options *options, struct arena *arena, const char **ret_error)
{
    struct join_settings joined;
    int r = join_load(options->dir, arena, &joined, ret_error);
    if (r <= 0) return r;
    options->is_joined = true;
    options->settings.cluster_id = joined.cluster_id;
    return 0;
}

/* What the first up was told. 1 when there is such a cluster, 0 when not. */
static int load_saved(struct cluster_options *options, struct arena *arena, const char **ret_error)
{
    const char *path = arena_printf(arena, "%s/cluster.toml", options->dir), *error = NULL;
    struct bytes text;
    struct toml_value root;
    int r = text_read(path, arena, &text, ret_error);
    if (r == error_from_errno(ENOENT)) return load_joined(options, arena, ret_error);
    if (r < 0) return r;
    r = toml_parse(arena, text, &root, &error);
    if (r >= 0) r = settings_load(cluster_settings_table, &options->settings, arena, &root, &error);
    if (r < 0) *ret_error = arena_printf(arena, "%s: %s", path, error);
    options->settings.no_mount = false; /* said at each up, or it is mounted */
    return r < 0 ? r : 1;
}

static int apply_flags(struct cluster_options *options, const struct flags *flags,
                       struct arena *arena, const char **ret_error)
{
    for (uint32_t i = 0; i < flags->count; i++) {
        const struct flag *flag = &flags->items[i];
        struct cluster_settings before = options->settings;
        const char *name = flag_name(flag->setting->key, arena), *error = NULL;
        int r = settings_set(cluster_settings_table, &options->settings, arena, flag->setting->key,
                             flag->text, &error);
        if (r < 0) {
            *ret_error = arena_printf(arena, "option '%s': '%s' is not %s", name, flag->text,
                                      setting_kind_name(flag->setting->kind));
            return r;
        }
        if (options->is_new || flag->setting->class == SETTING_HOT) continue;
        if (!settings_equal(flag->setting, &before, &options->settings)) {
            *ret_error = arena_printf(arena,
                                      "option '%s': the cluster in %s was made with another "
                                      "value, which cannot change (see its cluster.toml)",
                                      name, options->dir);
            return -ERR_CONFIG_UPDATE_FAILED;
        }
    }
    return 0;
}

static int check_range(const char *key, uint64_t value, uint64_t min, uint64_t max,
                       struct arena *arena, const char **ret_error)
{
    if (value >= min && value <= max) return 0;
    *ret_error = arena_printf(arena, "option '%s' must be from %llu to %llu", flag_name(key, arena),
                              (unsigned long long)min, (unsigned long long)max);
    return -ERR_CONFIG_INVALID_VALUE;
}

/* Hosts as they are written into addresses: a name, IPv4, or IPv6 in brackets. */
static int check_hosts(const struct cluster_settings *s, struct arena *arena,
                       const char **ret_error)
{
    const struct {
        const char *flag, *host;
    } hosts[] = { { "--listen", s->listen }, { "--advertise", s->advertise } };
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        const char *host = hosts[i].host;
        struct net_address address;
        const char *text = arena_printf(arena, "TCP://%s:1", host);
        bool is_host =
            strcspn(host, " \t/\"\\") == strlen(host) && net_address_parse(text, &address) >= 0;
        if ((i == 1 && !host[0]) || is_host) continue;
        *ret_error = arena_printf(arena,
                                  "option '%s': '%s' is no host name or address (IPv6 in "
                                  "brackets)",
                                  hosts[i].flag, host);
        return -ERR_CONFIG_INVALID_VALUE;
    }
    if (s->advertise[0] || (strcmp(s->listen, "0.0.0.0") != 0 && strcmp(s->listen, "[::]") != 0))
        return 0;
    *ret_error = arena_printf(arena,
                              "option '--advertise' is missing: with --listen %s it says "
                              "by which address other machines reach this one",
                              s->listen);
    return -ERR_CONFIG_INVALID_VALUE;
}

static int check_settings(const struct cluster_settings *s, struct arena *arena,
                          const char **ret_error)
{
    int r = check_range("storages", s->storage_count, 1, STORAGE_COUNT_MAX, arena, ret_error);
    if (r >= 0) r = check_range("mgmtds", s->mgmtd_count, 1, MGMTD_COUNT_MAX, arena, ret_error);
    if (r >= 0) r = check_range("metas", s->meta_count, 1, META_COUNT_MAX, arena, ret_error);
    if (r >= 0)
        r = check_range("replicas", s->replica_count, 1, REPLICA_COUNT_MAX, arena, ret_error);
    if (r >= 0) r = check_range("port_base", s->port_base, 1024, 65535 - 200, arena, ret_error);
    if (r >= 0) r = check_hosts(s, arena, ret_error);
    if (r < 0) return r;
    if (s->replica_count > s->storage_count) {
        *ret_error = arena_printf(arena, "%u replicas need as many storages; there are %u",
                                  s->replica_count, s->storage_count);
        return -ERR_CONFIG_INVALID_VALUE;
    }
    if (s->timeout_ns < SEC) {
        *ret_error = "option '--timeout' must be at least 1s";
        return -ERR_CONFIG_INVALID_VALUE;
    }
    uint64_t chunk = s->chunk_bytes;
    if (chunk < 64 * 1024 || chunk > 64 * 1024 * 1024 || (chunk & (chunk - 1)) != 0) {
        *ret_error = "option '--chunk-size' must be a power of two from 64KB to 64MB";
        return -ERR_CONFIG_INVALID_VALUE;
    }
    return 0;
}

int cluster_options_parse(int argc, char *const *argv, struct arena *arena,
                          struct cluster_options *ret, const char **ret_error)
{
    struct cluster_options options = { .dir = default_dir(arena) };
    struct flags flags = { .count = 0 };
    int r;
    for (int i = 1; i < argc; i += r) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        r = take_flag(argv[i], next, &options, &flags, arena, ret_error);
        if (r < 0) return r;
    }
    options.dir = absolute_path(options.dir, arena);
    settings_init(cluster_settings_table, &options.settings, arena);
    r = load_saved(&options, arena, ret_error);
    if (r < 0) return r;
    options.is_new = r == 0;
    r = apply_flags(&options, &flags, arena, ret_error);
    if (r >= 0) r = check_settings(&options.settings, arena, ret_error);
    if (r < 0) return r;
    const char *mount = options.settings.mount;
    options.settings.mount = absolute_path(mount[0] ? mount : default_mount(arena), arena);
    *ret = options;
    return 0;
}

int cluster_options_save(const struct cluster_options *options, struct arena *arena,
                         const char **ret_error)
{
    int r = directory_make(options->dir, arena, ret_error);
    if (r < 0) return r;
    const char *path = arena_printf(arena, "%s/cluster.toml", options->dir);
    const char *text = settings_to_toml(cluster_settings_table, &options->settings, arena);
    return text_write(path, text, 0644, arena, ret_error);
}
