/* flatten.c - the values of a document under their whole keys, in the document's order. */
#include "config/settings.h"

#include "base/check.h"

enum { KEY_BYTES_MAX = 256 };

struct step {
    const struct toml_value *table;
    uint32_t next;
    size_t key_size; /* of the path to the table, with its dot */
};

struct flat {
    struct arena *arena;
    struct toml_item *items;
    uint32_t count, room;
};

static void flat_add(struct flat *flat, const struct toml_item *item, const char *key)
{
    if (flat->count == flat->room) {
        uint32_t room = flat->room ? 2 * flat->room : 64;
        struct toml_item *items = arena_array(flat->arena, struct toml_item, room);
        if (flat->count) memcpy(items, flat->items, flat->count * sizeof *items);
        flat->items = items;
        flat->room = room;
    }
    struct toml_item *added = &flat->items[flat->count++];
    *added = *item;
    added->key = bytes_of_text(arena_text(flat->arena, bytes_of_text(key)));
}

/* A table with the key of a setting is that setting's value, of the wrong type. */
static bool is_section(const struct setting *table, const char *key, const struct toml_value *value)
{
    return value->kind == TOML_TABLE && !settings_find(table, key);
}

int settings_flatten(const struct setting *table, struct arena *arena,
                     const struct toml_value *root, struct toml_value *ret, const char **ret_error)
{
    struct step steps[TOML_DEPTH_MAX + 1] = { { .table = root } };
    struct flat flat = { .arena = arena };
    char key[KEY_BYTES_MAX];
    for (uint32_t depth = 1; depth > 0;) {
        struct step *step = &steps[depth - 1];
        if (step->next == step->table->item_count) {
            depth--;
            continue;
        }
        const struct toml_item *item = &step->table->items[step->next++];
        size_t size = step->key_size + item->key.size;
        if (size + 2 > sizeof key || memchr(item->key.base, 0, item->key.size)) {
            *ret_error =
                arena_printf(arena, "line %u, column %u: key '%.*s' has an unknown key below it",
                             item->line, item->column, (int)step->key_size, key);
            return -ERR_CONFIG_REDUNDANT_KEY;
        }
        memcpy(key + step->key_size, item->key.base, item->key.size);
        key[size] = '\0';
        if (is_section(table, key, &item->value)) {
            key[size] = '.';
            check(depth <= TOML_DEPTH_MAX);
            steps[depth++] = (struct step){ .table = &item->value, .key_size = size + 1 };
        } else {
            flat_add(&flat, item, key);
        }
    }
    *ret = (struct toml_value){ .kind = TOML_TABLE, .items = flat.items, .item_count = flat.count };
    return 0;
}

char *settings_template(const struct setting *table, const struct toml_value *flat,
                        struct arena *arena)
{
    const char *text = "";
    for (; table->key; table++) {
        if (table->class == SETTING_NODE) continue;
        for (uint32_t i = 0; i < flat->item_count; i++) {
            const struct toml_item *item = &flat->items[i];
            if (!bytes_equal_text(item->key, table->key)) continue;
            text = arena_printf(arena, "%s%s = %s\n", text, table->key,
                                toml_to_text(arena, &item->value));
        }
    }
    return arena_printf(arena, "%s", text);
}
