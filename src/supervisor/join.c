/* join.c - the files of a directory of c3fs join, and its plan. */
#include "supervisor/join.h"

#include "supervisor/files.h"
#include <errno.h>

#define SETTING_STRUCT_NAME join_settings
SETTINGS_TABLE(join_settings_table, JOIN_SETTINGS)

static const char *below(struct arena *arena, const char *dir, const char *name)
{
    return arena_printf(arena, "%s/%s", dir, name);
}

int join_load(const char *dir, struct arena *arena, struct join_settings *ret,
              const char **ret_error)
{
    const char *path = below(arena, dir, "join.toml"), *error = NULL;
    struct bytes text;
    struct toml_value root;
    struct join_settings settings;
    int r = text_read(path, arena, &text, ret_error);
    if (r == error_from_errno(ENOENT)) return 0;
    if (r < 0) return r;
    settings_init(join_settings_table, &settings, arena);
    r = toml_parse(arena, text, &root, &error);
    if (r >= 0) r = settings_load(join_settings_table, &settings, arena, &root, &error);
    if (r < 0) {
        *ret_error = arena_printf(arena, "%s: %s", path, error);
        return r;
    }
    *ret = settings;
    return 1;
}

int join_save(const char *dir, const struct join_settings *settings, const char *key,
              struct arena *arena, const char **ret_error)
{
    int r = directory_make(dir, arena, ret_error);
    if (r >= 0)
        r = text_write(below(arena, dir, "cluster.key"), arena_printf(arena, "%s\n", key), 0600,
                       arena, ret_error);
    if (r >= 0)
        r = text_write(below(arena, dir, "join.toml"),
                       settings_to_toml(join_settings_table, settings, arena), 0644, arena,
                       ret_error);
    return r;
}

static const char *quoted(struct arena *arena, const char *text)
{
    struct toml_value value = { .kind = TOML_STRING, .text = bytes_of_text(text) };
    return toml_to_text(arena, &value);
}

static const char *list(struct arena *arena, const struct setting_text_list *items)
{
    const char *text = "[";
    for (uint32_t i = 0; i < items->count; i++)
        text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", quoted(arena, items->items[i]));
    return arena_printf(arena, "%s]", text);
}

static const char *storage_config(struct arena *arena, const struct join_settings *s)
{
    return arena_printf(arena,
                        "# made by c3fs join; changes are lost\n"
                        "cluster_id = %s\nnode_id = %u\nlisten = %s\nadvertise = [%s]\n"
                        "mgmtd_server_addresses = %s\ntarget_paths = %s\n",
                        quoted(arena, s->cluster_id), s->node_id, quoted(arena, s->listen),
                        quoted(arena, s->advertise), list(arena, &s->mgmtd),
                        list(arena, &s->disks));
}

static int read_key(const char *dir, struct arena *arena, const char **ret, const char **ret_error)
{
    struct bytes text;
    int r = text_read(below(arena, dir, "cluster.key"), arena, &text, ret_error);
    if (r < 0) return r;
    char *key = arena_text(arena, text);
    key[strcspn(key, "\r\n")] = 0;
    *ret = key;
    return 0;
}

int join_plan_make(const char *dir, const struct join_settings *settings, const char *binary,
                   struct arena *arena, struct plan *ret, const char **ret_error)
{
    static const char *const folders[] = { "etc", "log", "run" };
    const char *key = NULL, *name = arena_printf(arena, "storage-%u", settings->node_id);
    const char *file = below(arena, dir, arena_printf(arena, "etc/%s.toml", name));
    int r = read_key(dir, arena, &key, ret_error);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++)
        r = directory_make(below(arena, dir, folders[i]), arena, ret_error);
    if (r >= 0) r = text_write(file, storage_config(arena, settings), 0644, arena, ret_error);
    if (r < 0) return r;
    *ret = (struct plan){ .count = 1, .stage_count = 1 };
    struct child_plan *child = &ret->children[0];
    *child = (struct child_plan){ .name = name, .rank = RANK_SERVICE };
    child->log_path = below(arena, dir, arena_printf(arena, "log/%s.log", name));
    child->argv = arena_array(arena, char *, 5);
    child->argv[0] = arena_printf(arena, "%s", binary);
    child->argv[1] = arena_printf(arena, "storage");
    child->argv[2] = arena_printf(arena, "--cfg");
    child->argv[3] = arena_printf(arena, "%s", file);
    child->environment = arena_array(arena, const char *, 2);
    child->environment[0] = arena_printf(arena, "C3FS_CLUSTER_KEY=%s", key);
    return 0;
}
