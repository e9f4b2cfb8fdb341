/* reference.c - the table of 3FS's keys. Roles share it: a row whose key a role does not have is
 * without meaning for that role. */
#include "config/reference.h"

#include "base/check.h"
#include <stdio.h>

/* "a.*": a, and whatever is below a, but for keys beside a setting of ours: those are misspelt.
 * Rows are in order: the first that fits counts. */
struct reference_row {
    const char *path;
    const char *key;     /* ours; NULL: none */
    const char *refusal; /* when it has a value other than "", false or []: why, and the remedy */
};

#define NO_FDB "this build has no FoundationDB; leave it empty and set kv_path"
#define NO_MEM "metadata in memory is lost with the process; leave it false and set kv_path"

static const struct reference_row rows[] = {
    { "mgmtd_client.mgmtd_server_addresses", "mgmtd_server_addresses", NULL },
    { "server.mgmtd_client.mgmtd_server_addresses", "mgmtd_server_addresses", NULL },
    { "server.mgmtd.mgmtd_server_addresses", "mgmtd_server_addresses", NULL },
    { "server.base.groups", "listen", NULL },
    { "server.targets.target_paths", "target_paths", NULL },
    { "server.service.client_session_timeout", "session.timeout", NULL },
    { "server.service.try_adjust_target_order_as_preferred", "try_adjust_target_order_as_preferred",
      NULL },
    { "server.meta.gc.gc_file_delay", "gc.file_delay", NULL },
    { "server.meta.gc.gc_file_concurrent", "gc.concurrency", NULL },
    { "server.meta.idempotent_record_expire", "idempotency.expire", NULL },
    { "fdb.clusterFile", NULL, NO_FDB },
    { "kv_engine.fdb.clusterFile", NULL, NO_FDB },
    { "server.fdb.clusterFile", NULL, NO_FDB },
    { "server.kv_engine.fdb.clusterFile", NULL, NO_FDB },
    { "use_memkv", NULL, NO_MEM },
    { "kv_engine.use_memkv", NULL, NO_MEM },
    { "server.use_memkv", NULL, NO_MEM },
    { "server.kv_engine.use_memkv", NULL, NO_MEM },
    { "allow_empty_node_id", NULL, NULL },
    { "allow_dev_version", NULL, NULL },
    { "fdb.*", NULL, NULL },
    { "kv_engine.*", NULL, NULL },
    { "ib_devices.*", NULL, NULL },
    { "client.*", NULL, NULL },
    { "mgmtd_client.*", NULL, NULL },
    { "common.*", NULL, NULL },
    { "server.*", NULL, NULL },
    /* hf3fs_fuse_main.toml has no [common] and [server] */
    { "log", NULL, NULL },
    { "log.categories", NULL, NULL },
    { "log.handlers", NULL, NULL },
    { "monitor.*", NULL, NULL },
    { "mgmtd.*", NULL, NULL },
    { "meta.*", NULL, NULL },
    { "storage.*", NULL, NULL },
    { "storage_io.*", NULL, NULL },
    { "io_bufs.max_buf_size", NULL, NULL },
    { "io_bufs.max_readahead", NULL, NULL },
    { "io_jobq_sizes.*", NULL, NULL },
    { "periodic_sync.limit", NULL, NULL },
    { "memset_before_read", NULL, NULL },
    { "enable_priority", NULL, NULL },
    { "enable_interrupt", NULL, NULL },
    { "enable_writeback_cache", NULL, NULL },
    { "fsync_length_hint", NULL, NULL },
    { "fdatasync_update_length", NULL, NULL },
    { "check_rmrf", NULL, NULL },
    { "chunk_size_limit", NULL, NULL },
    { "io_job_deq_timeout", NULL, NULL },
    { "submit_wait_jitter", NULL, NULL },
    { "max_jobs_per_ioring", NULL, NULL },
    { "max_threads", NULL, NULL },
    { "max_idle_threads", NULL, NULL },
    { "max_background", NULL, NULL },
    { "iov_limit", NULL, NULL },
    { "io_jobq_size", NULL, NULL },
    { "batch_io_coros", NULL, NULL },
    { "rdma_buf_pool_size", NULL, NULL },
    { "time_granularity", NULL, NULL },
    { "notify_inval_threads", NULL, NULL },
    { "max_uid", NULL, NULL },
    { "remount_prefix", NULL, NULL },
    /* admin_cli.toml */
    { "meta_client.*", NULL, NULL },
    { "storage_client.*", NULL, NULL },
    { "num_timeout_ms", NULL, NULL },
};

static bool row_fits(const struct reference_row *row, const char *key)
{
    size_t size = strlen(row->path);
    if (row->path[size - 1] != '*') return strcmp(row->path, key) == 0;
    size -= 2; /* without ".*" */
    return strncmp(row->path, key, size) == 0 && (key[size] == '.' || key[size] == '\0');
}

/* Whether a setting of ours is in the same table of a document. */
static bool has_sibling(const struct setting *table, const char *key)
{
    const char *dot = strrchr(key, '.');
    size_t size = dot ? (size_t)(dot - key) + 1 : 0;
    for (const struct setting *s = table; s->key; s++)
        if (strncmp(s->key, key, size) == 0 && !strchr(s->key + size, '.')) return true;
    return false;
}

static const struct reference_row *find_row(const struct setting *table, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!row_fits(&rows[i], key)) continue;
        bool is_any = rows[i].path[strlen(rows[i].path) - 1] == '*';
        return is_any && strchr(key, '.') && has_sibling(table, key) ? NULL : &rows[i];
    }
    return NULL;
}

const char *reference_key(const struct setting *table, const char *key)
{
    if (settings_find(table, key)) return key;
    const struct reference_row *row = find_row(table, key);
    if (!row) return NULL;
    return row->key && settings_find(table, row->key) ? row->key : "";
}

/* ---- documents ---- */

struct translation {
    const struct setting *table;
    struct arena *arena;
    struct toml_value *to;
    struct setting_text_list ignored;
    const char **ret_error;
};

static int fail_at(struct translation *t, int r, const struct toml_item *item, const char *what)
{
    *t->ret_error =
        arena_printf(t->arena, "line %u, column %u: %s", item->line, item->column, what);
    return r;
}

static void ignore(struct translation *t, const char *path)
{
    for (uint32_t i = 0; i < t->ignored.count; i++)
        if (strcmp(t->ignored.items[i], path) == 0) return;
    t->ignored.items[t->ignored.count++] = path;
}

static bool is_core_group(const struct toml_value *group)
{
    const struct toml_value *services = toml_find(group, "services");
    if (!services || services->kind != TOML_ARRAY || services->item_count != 1) return false;
    const struct toml_value *only = &services->items[0].value;
    return only->kind == TOML_STRING && bytes_equal_text(only->text, "Core");
}

/* [[server.base.groups]]: the port of the first group that is not the Core service's; ours listens
 * at one port for all. False when the document leaves it to the default. */
static bool port_of_groups(struct translation *t, const struct toml_value *groups,
                           struct toml_value *ret)
{
    for (uint32_t i = 0; groups->kind == TOML_ARRAY && i < groups->item_count; i++) {
        const struct toml_value *group = &groups->items[i].value;
        if (group->kind != TOML_TABLE || is_core_group(group)) continue;
        const struct toml_value *port = toml_find_path(group, "listener.listen_port");
        if (!port || port->kind != TOML_INTEGER || port->integer < 1 || port->integer > 65535)
            return false;
        *ret = *port;
        ret->kind = TOML_STRING;
        ret->text =
            bytes_of_text(arena_printf(t->arena, "TCP://0.0.0.0:%lld", (long long)port->integer));
        return true;
    }
    return false;
}

static bool is_empty(const struct toml_value *value)
{
    switch (value->kind) {
    case TOML_STRING: return value->text.size == 0;
    case TOML_BOOLEAN: return !value->boolean;
    case TOML_ARRAY: return value->item_count == 0;
    default: return false;
    }
}

static int fail_unknown(struct translation *t, const struct toml_item *item)
{
    const char *key = (const char *)item->key.base;
    const char *near = settings_nearest(t->table, t->arena, key), *names[ARRAY_SIZE(rows)];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        names[i] = rows[i].path;
    near = near ?: nearest_name(key, names, ARRAY_SIZE(rows));
    return fail_at(t, -ERR_CONFIG_REDUNDANT_KEY, item,
                   near ? arena_printf(t->arena, "unknown key '%s'; did you mean '%s'?", key, near)
                        : arena_printf(t->arena, "unknown key '%s'", key));
}

/* Adds the item under our key; two keys of a document may not mean the same. */
static int put(struct translation *t, const struct toml_item *item, const char *key)
{
    for (uint32_t i = 0; i < t->to->item_count; i++) {
        if (!bytes_equal_text(t->to->items[i].key, key)) continue;
        return fail_at(t, -ERR_CONFIG_INVALID_VALUE, item,
                       arena_printf(t->arena, "key '%s' and the one of line %u both mean '%s'",
                                    (const char *)item->key.base, t->to->items[i].line, key));
    }
    t->to->items[t->to->item_count] = *item;
    t->to->items[t->to->item_count++].key = bytes_of_text(key);
    return 0;
}

static int translate_item(struct translation *t, const struct toml_item *item)
{
    const char *key = (const char *)item->key.base;
    if (settings_find(t->table, key)) return put(t, item, key);
    const struct reference_row *row = find_row(t->table, key);
    bool is_nothing = item->value.kind == TOML_TABLE && item->value.item_count == 0;
    if (!row) return is_nothing ? 0 : fail_unknown(t, item);
    if (row->refusal) {
        if (is_empty(&item->value)) return 0;
        return fail_at(t, -ERR_CONFIG_INVALID_VALUE, item,
                       arena_printf(t->arena, "key '%s': %s", key, row->refusal));
    }
    if (!row->key || !settings_find(t->table, row->key)) {
        ignore(t, row->path);
        return 0;
    }
    struct toml_item ours = *item;
    if (strcmp(row->key, "listen") == 0 && !port_of_groups(t, &item->value, &ours.value)) return 0;
    return put(t, &ours, row->key);
}

int reference_translate(const struct setting *table, struct arena *arena,
                        const struct toml_value *flat, struct toml_value *ret,
                        struct setting_text_list *ret_ignored, const char **ret_error)
{
    struct toml_value to = { .kind = TOML_TABLE,
                             .items = arena_array(arena, struct toml_item, flat->item_count + 1u) };
    struct translation t = { .table = table,
                             .arena = arena,
                             .to = &to,
                             .ignored.items = arena_array(arena, const char *, ARRAY_SIZE(rows)),
                             .ret_error = ret_error };
    for (uint32_t i = 0; i < flat->item_count; i++) {
        int r = translate_item(&t, &flat->items[i]);
        if (r < 0) return r;
    }
    *ret = to;
    *ret_ignored = t.ignored;
    return 0;
}

char *reference_to_markdown(struct arena *arena)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct reference_row *row = &rows[i];
        if (row->key) {
            fprintf(out, "| `%s` | `%s` |\n", row->path, row->key);
        } else {
            fprintf(out, "| `%s` | %s%s |\n", row->path, row->refusal ? "refused: " : "ignored",
                    row->refusal ?: "");
        }
    }
    check(fclose(out) == 0);
    char *copy = arena_text(arena, bytes_of(text, size));
    free(text);
    return copy;
}
