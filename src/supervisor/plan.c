/* plan.c - mgmtd 1.., meta 101.., storage 1001.., one mount, and the bootstrap in between.
 *
 * Ports of the block: 0 the first mgmtd, 1.. meta, 11.. storage, 75.. the other mgmtds.
 */
#include "supervisor/plan.h"

#include "base/check.h"
#include "base/units.h"
#include "supervisor/files.h"
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MGMTD_PORT = 0,
    META_PORT = 1,
    STORAGE_PORT = 11,
    MGMTD_MORE_PORT = STORAGE_PORT + STORAGE_COUNT_MAX,
    MGMTD_ID = 1,
    META_ID = 101,
    STORAGE_ID = 1001
};

_Static_assert(META_PORT + META_COUNT_MAX <= STORAGE_PORT, "ports of meta and storage");
_Static_assert(MGMTD_MORE_PORT + MGMTD_COUNT_MAX - 1 <= PORT_BLOCK_SIZE, "ports of a block");

struct maker {
    const struct cluster_options *options;
    const struct cluster_settings *settings;
    const char *binary, *key;
    struct arena *arena;
    struct plan *plan;
    const char **ret_error;
};

static const char *quoted(struct maker *m, const char *text)
{
    struct toml_value value = { .kind = TOML_STRING, .text = bytes_of_text(text) };
    return toml_to_text(m->arena, &value);
}

static const char *path_below(struct maker *m, const char *name)
{
    return arena_printf(m->arena, "%s/%s", m->options->dir, name);
}

static uint16_t port_of(struct maker *m, uint32_t offset)
{
    return (uint16_t)(m->plan->port_base + offset);
}

static uint32_t mgmtd_port(uint32_t index)
{
    return index == 0 ? MGMTD_PORT : MGMTD_MORE_PORT + index - 1;
}

/* By which address others reach what listens at the port. */
static const char *advertised(struct maker *m, uint32_t port_offset)
{
    const struct cluster_settings *s = m->settings;
    return arena_printf(m->arena, "TCP://%s:%u", s->advertise[0] ? s->advertise : s->listen,
                        port_of(m, port_offset));
}

/* The line that tells others where the cluster managers are. */
static const char *mgmtd_servers(struct maker *m)
{
    char *text = arena_printf(m->arena, "mgmtd_server_addresses = [");
    for (uint32_t i = 0; i < m->settings->mgmtd_count; i++) {
        text =
            arena_printf(m->arena, "%s%s\"%s\"", text, i ? ", " : "", advertised(m, mgmtd_port(i)));
    }
    return arena_printf(m->arena, "%s]\n", text);
}

/* ---- files ---- */

/* The key is made once and kept. */
static int load_key(struct maker *m)
{
    const char *path = path_below(m, "cluster.key");
    struct bytes text;
    int r = text_read(path, m->arena, &text, m->ret_error);
    if (r >= 0) {
        size_t size = 0;
        while (size < text.size && text.base[size] > ' ')
            size++;
        m->key = arena_text(m->arena, bytes_of(text.base, size));
        return 0;
    }
    if (r != error_from_errno(ENOENT)) return r;
    uint8_t key[32];
    char *hex = arena_printf(m->arena, "k1:%064d", 0);
    check(getrandom(key, sizeof key, 0) == (ssize_t)sizeof key);
    for (size_t i = 0; i < sizeof key; i++)
        snprintf(hex + 3 + 2 * i, 3, "%02x", key[i]);
    m->key = hex;
    return text_write(path, arena_printf(m->arena, "%s\n", hex), 0600, m->arena, m->ret_error);
}

static int write_config(struct maker *m, const char *name, const char *text)
{
    const char *path = path_below(m, arena_printf(m->arena, "etc/%s.toml", name));
    return text_write(path, text, 0644, m->arena, m->ret_error);
}

/* What mgmtd, meta and storage have in common. */
static const char *server_config(struct maker *m, uint32_t node_id, uint32_t port_offset)
{
    return arena_printf(m->arena,
                        "# made by c3fs up; changes are lost\n"
                        "cluster_id = %s\nnode_id = %u\nlisten = \"TCP://%s:%u\"\n",
                        quoted(m, m->settings->cluster_id), node_id, m->settings->listen,
                        port_of(m, port_offset));
}

static const char *mgmtd_config(struct maker *m, uint32_t index)
{
    uint32_t port = mgmtd_port(index);
    return arena_printf(m->arena, "%sadvertise = \"%s\"\nkv_path = %s\n",
                        server_config(m, MGMTD_ID + index, port), advertised(m, port),
                        quoted(m, path_below(m, "kv")));
}

static const char *meta_config(struct maker *m, uint32_t index)
{
    return arena_printf(m->arena, "%sadvertise = \"%s\"\nkv_path = %s\n%s",
                        server_config(m, META_ID + index, META_PORT + index),
                        advertised(m, META_PORT + index), quoted(m, path_below(m, "kv")),
                        mgmtd_servers(m));
}

static const char *storage_config(struct maker *m, uint32_t index, const char *directory)
{
    return arena_printf(m->arena, "%sadvertise = [\"%s\"]\n%starget_paths = [%s]\n",
                        server_config(m, STORAGE_ID + index, STORAGE_PORT + index),
                        advertised(m, STORAGE_PORT + index), mgmtd_servers(m),
                        quoted(m, directory));
}

/* Mounts of users are for themselves alone unless the host's settings of FUSE say otherwise. */
static bool may_allow_other(struct maker *m)
{
    struct bytes text;
    const char *error;
    if (geteuid() == 0) return true;
    if (text_read("/etc/fuse.conf", m->arena, &text, &error) < 0) return false;
    const char *conf = arena_text(m->arena, text), *word = "user_allow_other";
    for (const char *line = conf; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, word, strlen(word)) == 0) return true;
    }
    return false;
}

static const char *fuse_config(struct maker *m)
{
    return arena_printf(m->arena,
                        "# made by c3fs up; changes are lost\n"
                        "cluster_id = %s\n%stoken_file = %s\nmountpoint = %s\nallow_other = %s\n"
                        "timeout = \"%llums\"\n",
                        quoted(m, m->settings->cluster_id), mgmtd_servers(m),
                        quoted(m, path_below(m, "token.txt")), quoted(m, m->plan->mount),
                        may_allow_other(m) ? "true" : "false",
                        (unsigned long long)(m->settings->timeout_ns / MSEC));
}

/* ---- children ---- */

static struct child_plan *child_add(struct maker *m, const char *name, uint32_t stage,
                                    enum stop_rank rank)
{
    check(m->plan->count < PLAN_CHILD_COUNT_MAX);
    struct child_plan *child = &m->plan->children[m->plan->count++];
    *child = (struct child_plan){ .name = name, .stage = stage, .rank = rank };
    child->log_path = path_below(m, arena_printf(m->arena, "log/%s.log", name));
    child->environment = arena_array(m->arena, const char *, 2);
    child->environment[0] = arena_printf(m->arena, "C3FS_CLUSTER_KEY=%s", m->key);
    m->plan->stage_count = MAX_OF(m->plan->stage_count, stage + 1);
    return child;
}

/* BINARY WORD... */
static char **words(struct maker *m, const char *const *after, uint32_t count)
{
    char **argv = arena_array(m->arena, char *, count + 2u);
    argv[0] = arena_printf(m->arena, "%s", m->binary);
    for (uint32_t i = 0; i < count; i++)
        argv[1 + i] = arena_printf(m->arena, "%s", after[i]);
    return argv;
}

/* A service with a file of settings: BINARY ROLE --cfg FILE, and the same as a part of one process.
 */
struct part {
    const char *role, *name, *config;
    enum stop_rank rank;
    uint32_t stage;
};

/* In the reverse of the order in which they stop. */
static int parts_make(struct maker *m, struct part *parts, uint32_t *count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->settings->meta_count; i++) {
        const char *name = arena_printf(m->arena, "meta-%u", META_ID + i);
        parts[n++] = (struct part){ "meta", name, meta_config(m, i), RANK_SERVICE, 1 };
    }
    for (uint32_t i = 0; i < m->settings->storage_count; i++) {
        const char *name = arena_printf(m->arena, "storage-%u", STORAGE_ID + i);
        const char *directory = path_below(m, name);
        int r = directory_make(directory, m->arena, m->ret_error);
        if (r < 0) return r;
        parts[n++] =
            (struct part){ "storage", name, storage_config(m, i, directory), RANK_SERVICE, 1 };
    }
    for (uint32_t i = 0; i < m->settings->mgmtd_count; i++) {
        const char *name = arena_printf(m->arena, "mgmtd-%u", MGMTD_ID + i);
        parts[n++] = (struct part){ "mgmtd", name, mgmtd_config(m, i), RANK_MGMTD, 1 };
    }
    if (m->plan->mount) {
        parts[n++] = (struct part){ "fuse", "fuse", fuse_config(m), RANK_MOUNT, 3 };
    }
    *count = n;
    return 0;
}

/* For `c3fs admin` without options on this host. */
static int admin_config_write(struct maker *m)
{
    return write_config(m, "admin_cli",
                        arena_printf(m->arena,
                                     "# made by c3fs up; changes are lost\n"
                                     "cluster_id = %s\nkv_path = %s\n%stoken_file = %s\n",
                                     quoted(m, m->settings->cluster_id),
                                     quoted(m, path_below(m, "kv")), mgmtd_servers(m),
                                     quoted(m, path_below(m, "token.txt"))));
}

static int bootstrap_add(struct maker *m)
{
    const struct cluster_settings *s = m->settings;
    int r = write_config(
        m, "bootstrap",
        arena_printf(m->arena,
                     "# made by c3fs up; changes are lost\n"
                     "cluster_id = %s\nkv_path = %s\n%stoken_file = %s\n"
                     "storages = %u\nreplicas = %u\nchunk_size = %llu\nstripe = %u\n"
                     "owner_uid = %u\nowner_gid = %u\n",
                     quoted(m, s->cluster_id), quoted(m, path_below(m, "kv")), mgmtd_servers(m),
                     quoted(m, path_below(m, "token.txt")), s->storage_count, s->replica_count,
                     (unsigned long long)s->chunk_bytes, s->storage_count, geteuid(), getegid()));
    if (r >= 0) r = admin_config_write(m);
    if (r < 0) return r;
    const char *file = path_below(m, "etc/bootstrap.toml");
    const char *store[] = { "bootstrap", "--cfg", file, "--config.store_only=true" };
    struct child_plan *child = child_add(m, "bootstrap-store", 0, RANK_MOUNT);
    child->is_task = true;
    child->argv = words(m, store, 4);
    child->done_path = path_below(m, "run/store-is-made");
    if (s->one_process && m->plan->mount) return 0; /* there it is a part of the process */
    child = child_add(m, "bootstrap", 2, RANK_MOUNT);
    child->is_task = true;
    child->argv = words(m, store, 3);
    child->done_path = path_below(m, "run/cluster-is-made");
    return 0;
}

static int services_add(struct maker *m)
{
    struct part parts[PLAN_CHILD_COUNT_MAX];
    uint32_t count;
    int r = parts_make(m, parts, &count);
    for (uint32_t i = 0; r >= 0 && i < count; i++) {
        r = write_config(m, parts[i].name, parts[i].config);
    }
    if (r < 0) return r;
    if (m->settings->one_process) {
        /* The bootstrap is one of the parts: it ends before the next one starts. */
        const char *after[PLAN_CHILD_COUNT_MAX] = { "run" };
        uint32_t n = 1;
        for (uint32_t i = 0; i < count; i++) {
            if (parts[i].rank == RANK_MOUNT) {
                after[n++] =
                    arena_printf(m->arena, "bootstrap:%s", path_below(m, "etc/bootstrap.toml"));
            }
            const char *file = arena_printf(m->arena, "etc/%s.toml", parts[i].name);
            after[n++] = arena_printf(m->arena, "%s:%s", parts[i].role, path_below(m, file));
        }
        struct child_plan *child = child_add(m, "cluster", 1, RANK_SERVICE);
        child->argv = words(m, after, n);
        child->mount = m->plan->mount;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *file = path_below(m, arena_printf(m->arena, "etc/%s.toml", parts[i].name));
        const char *after[] = { parts[i].role, "--cfg", file };
        struct child_plan *child = child_add(m, parts[i].name, parts[i].stage, parts[i].rank);
        child->argv = words(m, after, 3);
        if (parts[i].rank == RANK_MOUNT) child->mount = m->plan->mount;
    }
    return 0;
}

int plan_make(const struct cluster_options *options, const char *binary, uint16_t keep_port_base,
              struct arena *arena, struct plan *ret, const char **ret_error)
{
    static const char *const folders[] = { "etc", "log", "run", "kv" };
    const struct cluster_settings *settings = &options->settings;
    struct maker m = { .options = options,
                       .settings = settings,
                       .binary = binary,
                       .arena = arena,
                       .plan = ret,
                       .ret_error = ret_error };
    *ret = (struct plan){ .mount = settings->no_mount ? NULL : settings->mount };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        int r = directory_make(path_below(&m, folders[i]), arena, ret_error);
        if (r < 0) return r;
    }
    uint32_t port_count = settings->mgmtd_count > 1 ? mgmtd_port(settings->mgmtd_count)
                                                    : STORAGE_PORT + settings->storage_count;
    ret->port_base =
        keep_port_base
            ?: port_block_find((uint16_t)settings->port_base, port_count, settings->listen);
    if (ret->port_base == 0) {
        *ret_error = arena_printf(arena, "no block of %u free ports from %u on", port_count,
                                  settings->port_base);
        return -ERR_RPC_LISTEN_FAILED;
    }
    int r = load_key(&m);
    if (r >= 0) r = bootstrap_add(&m);
    if (r >= 0) r = services_add(&m);
    return r;
}
