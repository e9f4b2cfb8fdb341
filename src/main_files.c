/* main_files.c - files of settings: read, translated, held against each other, merged. */
#include "main_files.h"

#include "config/reference.h"
#include <errno.h>
#include <stdio.h>

enum { NOTES_MAX = 64 };

int settings_file_read(const char *path, struct arena *arena, struct bytes *ret,
                       const char **ret_error)
{
    FILE *f = fopen(path, "re");
    size_t size_max = TOML_TEXT_BYTES_MAX + 1, size = 0;
    char *text = arena_alloc(arena, size_max);
    if (f) size = fread(text, 1, size_max, f);
    int eno = f && !ferror(f) ? 0 : errno;
    if (f) fclose(f);
    if (eno) {
        *ret_error = arena_printf(arena, "%s: %s", path, strerrordesc_np(eno));
        return error_from_errno(eno);
    }
    *ret = bytes_of(text, size);
    return 0;
}

static void add_note(struct settings_files *files, struct arena *arena, const char *note)
{
    if (!files->notes.items) files->notes.items = arena_array(arena, const char *, NOTES_MAX);
    if (files->notes.count < NOTES_MAX) files->notes.items[files->notes.count++] = note;
}

static void note_ignored(struct settings_files *files, struct arena *arena, const char *path,
                         const struct setting_text_list *ignored)
{
    const char *names = "";
    for (uint32_t i = 0; i < ignored->count; i++)
        names = arena_printf(arena, "%s%s%s", names, i ? ", " : "", ignored->items[i]);
    if (ignored->count)
        add_note(files, arena,
                 arena_printf(arena, "%s: keys of 3FS that mean nothing here are ignored: %s", path,
                              names));
}

/* Two files may say the same, but not two things. */
static int check_contradiction(const struct toml_value *earlier, const char *earlier_path,
                               const struct toml_value *later, struct arena *arena,
                               const char **ret_error)
{
    for (uint32_t i = 0; i < later->item_count; i++) {
        const struct toml_item *b = &later->items[i];
        for (uint32_t j = 0; j < earlier->item_count; j++) {
            const struct toml_item *a = &earlier->items[j];
            if (bytes_compare(a->key, b->key) != 0) continue;
            const char *in_a = toml_to_text(arena, &a->value);
            const char *in_b = toml_to_text(arena, &b->value);
            if (strcmp(in_a, in_b) == 0) continue;
            *ret_error = arena_printf(
                arena, "line %u, column %u: key '%.*s' is %s here and %s in %s, line %u", b->line,
                b->column, (int)b->key.size, (const char *)b->key.base, in_b, in_a, earlier_path,
                a->line);
            return -ERR_CONFIG_INVALID_VALUE;
        }
    }
    return 0;
}

static int load_one(struct settings_files *files, enum settings_file which,
                    struct toml_value *documents, const struct setting *table, void *settings,
                    struct arena *arena, const char **ret_error)
{
    struct bytes text = { 0 };
    struct toml_value root = { 0 };
    struct setting_text_list ignored = { 0 };
    const char *path = files->paths[which], *error = NULL;
    int r = settings_file_read(path, arena, &text, ret_error);
    if (r < 0) return r;
    r = toml_parse(arena, text, &root, &error);
    if (r >= 0) r = settings_flatten(table, arena, &root, &root, &error);
    if (r >= 0) r = reference_translate(table, arena, &root, &documents[which], &ignored, &error);
    for (int i = 0; r >= 0 && i < (int)which; i++)
        r = check_contradiction(&documents[i], files->paths[i], &documents[which], arena, &error);
    if (r >= 0) r = settings_load(table, settings, arena, &documents[which], &error);
    if (r < 0) {
        *ret_error = arena_printf(arena, "%s: %s", path, error);
        return r;
    }
    note_ignored(files, arena, path, &ignored);
    return 0;
}

int settings_files_load(struct settings_files *files, const struct setting *table, void *settings,
                        struct arena *arena, const char **ret_error)
{
    struct toml_value documents[FILE_MAX] = { 0 };
    int r = 0;
    for (enum settings_file which = 0; r >= 0 && which < FILE_MAX; which++)
        if (files->paths[which])
            r = load_one(files, which, documents, table, settings, arena, ret_error);
    if (r >= 0) files->template = settings_template(table, &documents[FILE_MAIN], arena);
    return r;
}

int settings_override(struct settings_files *files, const struct setting *table, void *settings,
                      struct arena *arena, const char *key, const char *text,
                      const char **ret_error)
{
    const char *ours = reference_key(table, key);
    if (ours && !ours[0]) {
        add_note(files, arena,
                 arena_printf(arena, "--config.%s is a key of 3FS that means nothing here: ignored",
                              key));
        return 0;
    }
    return settings_set(table, settings, arena, ours ?: key, text, ret_error);
}
