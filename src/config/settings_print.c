/* settings_print.c - settings back to text: a TOML file with docs as comments, and rows of the
 * reference. */
#include "config/settings.h"

#include "base/check.h"
#include "base/units.h"
#include <stdio.h>

/* The text of a member as a TOML value. */
static const char *value_text(struct arena *arena, const struct setting *setting,
                              const void *settings)
{
    const void *at = (const char *)settings + setting->offset;
    struct toml_value value = { .kind = TOML_STRING };
    char text[64];
    switch (setting->kind) {
    case SETTING_BOOL: return *(const setting_BOOL *)at ? "true" : "false";
    case SETTING_U32: return arena_printf(arena, "%u", *(const setting_U32 *)at);
    case SETTING_U64:
        return arena_printf(arena, "%llu", (unsigned long long)*(const setting_U64 *)at);
    case SETTING_DOUBLE:
        value.kind = TOML_FLOAT;
        value.real = *(const setting_DOUBLE *)at;
        break;
    case SETTING_TEXT: value.text = bytes_of_text(*(const setting_TEXT *)at); break;
    case SETTING_TEXT_LIST: {
        const struct setting_text_list *list = at;
        value.kind = TOML_ARRAY;
        value.item_count = list->count;
        value.items = arena_array(arena, struct toml_item, list->count + 1u);
        for (uint32_t i = 0; i < list->count; i++) {
            value.items[i].value.kind = TOML_STRING;
            value.items[i].value.text = bytes_of_text(list->items[i]);
        }
        break;
    }
    case SETTING_SIZE:
        value.text = bytes_of_text(size_to_text(*(const setting_SIZE *)at, text, sizeof text));
        break;
    case SETTING_DURATION:
        value.text =
            bytes_of_text(duration_to_text(*(const setting_DURATION *)at, text, sizeof text));
        break;
    case SETTING_KIND_MAX: check(!"a setting without a kind");
    }
    return toml_to_text(arena, &value);
}

/* "a.b." of "a.b.c"; 0 of "c". */
static size_t section_size(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? (size_t)(dot - key) + 1 : 0;
}

static bool same_section(const char *a, const char *b)
{
    size_t size = section_size(a);
    return size == section_size(b) && memcmp(a, b, size) == 0;
}

/* Is @setting the first of its section? */
static bool is_first(const struct setting *table, const struct setting *setting)
{
    for (; table < setting; table++) {
        if (same_section(table->key, setting->key)) return false;
    }
    return true;
}

static void print_section(FILE *out, const struct setting *table, const char *key,
                          const void *settings, struct arena *arena)
{
    size_t size = section_size(key);
    if (size > 0) fprintf(out, "\n[%.*s]\n", (int)size - 1, key);
    for (; table->key; table++) {
        if (!same_section(table->key, key)) continue;
        fprintf(out, "# %s\n%s = %s\n", table->doc, table->key + size,
                value_text(arena, table, settings));
    }
}

static char *stream_finish(FILE *out, char **text, size_t *size, struct arena *arena)
{
    check(fclose(out) == 0);
    char *copy = arena_text(arena, bytes_of(*text, *size));
    free(*text);
    return copy;
}

char *settings_to_toml(const struct setting *table, const void *settings, struct arena *arena)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out);
    print_section(out, table, "", settings, arena); /* keys without a section come first */
    for (const struct setting *s = table; s->key; s++) {
        if (section_size(s->key) > 0 && is_first(table, s)) {
            print_section(out, table, s->key, settings, arena);
        }
    }
    return stream_finish(out, &text, &size, arena);
}

char *settings_to_markdown(const struct setting *table, struct arena *arena)
{
    static const char *const changes[SETTING_CLASS_MAX] = {
        [SETTING_COLD] = "after a restart",
        [SETTING_HOT] = "at once",
        [SETTING_NODE] = "of one node",
    };
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out);
    for (; table->key; table++) {
        const char *quote = table->default_text[0] ? "`" : "";
        fprintf(out, "| `%s` | %s | %s%s%s | %s | %s |\n", table->key,
                setting_kind_name(table->kind), quote, table->default_text, quote,
                changes[table->class], table->doc);
    }
    return stream_finish(out, &text, &size, arena);
}
