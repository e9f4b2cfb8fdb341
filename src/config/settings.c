/* settings.c - values into the struct of a role, from defaults, variables, documents and flags.
 *
 * Every source is first turned into a struct setting_value and only then stored, so that a document
 * with an error changes nothing.
 */
#include "config/settings.h"

#include "base/check.h"
#include "base/units.h"
#include <errno.h>
#include <math.h>

/* A value of any kind; the setting tells which. */
struct setting_value {
    bool boolean;
    uint64_t number; /* U32, U64, SIZE, DURATION */
    double real;
    const char *text;
    struct setting_text_list list;
};

const char *setting_kind_name(enum setting_kind kind)
{
    static const char *const names[SETTING_KIND_MAX] = {
        [SETTING_BOOL] = "true or false",
        [SETTING_U32] = "a whole number below 2^32",
        [SETTING_U64] = "a whole number below 2^63",
        [SETTING_DOUBLE] = "a number",
        [SETTING_TEXT] = "text",
        [SETTING_TEXT_LIST] = "a list of texts",
        [SETTING_SIZE] = "a size, as \"64KB\"",
        [SETTING_DURATION] = "a time span, as \"5s\"",
    };
    check(kind < SETTING_KIND_MAX);
    return names[kind];
}

const struct setting *settings_find(const struct setting *table, const char *key)
{
    for (; table->key; table++) {
        if (strcmp(table->key, key) == 0) return table;
    }
    return NULL;
}

const char *settings_nearest(const struct setting *table, struct arena *arena, const char *key)
{
    size_t count = 0;
    while (table[count].key)
        count++;
    const char **names = arena_array(arena, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = table[i].key;
    return nearest_name(key, names, count);
}

/* ---- parts of a text ---- */

static int parse_unsigned(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return -ERR_CONFIG_INVALID_TYPE;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end) return -ERR_CONFIG_INVALID_TYPE;
    if (errno == ERANGE || value > max) return -ERR_CONFIG_INVALID_VALUE;
    *ret = value;
    return 0;
}

static int parse_double(const char *text, double *ret)
{
    char *end;
    if (!text[0] || strspn(text, "+-0123456789.eE") != strlen(text))
        return -ERR_CONFIG_INVALID_TYPE;
    double value = strtod(text, &end);
    if (*end) return -ERR_CONFIG_INVALID_TYPE;
    if (!isfinite(value)) return -ERR_CONFIG_INVALID_VALUE;
    *ret = value;
    return 0;
}

static int parse_with_unit(const struct setting *setting, const char *text, uint64_t *ret)
{
    int r = setting->kind == SETTING_SIZE ? size_parse(text, ret) : duration_parse(text, ret);
    return r < 0 ? -ERR_CONFIG_INVALID_VALUE : 0;
}

/* "a, b,c": items without the blanks around them; empty text is an empty list. */
static struct setting_text_list split_list(struct arena *arena, const char *text)
{
    struct setting_text_list list = { 0 };
    uint32_t commas = 0;
    for (const char *p = text; *p; p++)
        commas += *p == ',';
    list.items = arena_array(arena, const char *, commas + 1u);
    while (*text) {
        size_t size = strcspn(text, ","), begin = strspn(text, " \t");
        const char *next = text + size + (text[size] == ',');
        while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
            size--;
        if (size > begin) {
            list.items[list.count++] = arena_text(arena, bytes_of(text + begin, size - begin));
        }
        text = next;
    }
    return list;
}

/* ---- from a document ---- */

static int list_from_toml(struct arena *arena, const struct toml_value *from,
                          struct setting_text_list *ret)
{
    if (from->kind != TOML_ARRAY) return -ERR_CONFIG_INVALID_TYPE;
    struct setting_text_list list = { .items =
                                          arena_array(arena, const char *, from->item_count + 1u) };
    for (uint32_t i = 0; i < from->item_count; i++) {
        const struct toml_value *item = &from->items[i].value;
        if (item->kind != TOML_STRING) return -ERR_CONFIG_INVALID_TYPE;
        if (memchr(item->text.base, 0, item->text.size)) return -ERR_CONFIG_INVALID_VALUE;
        list.items[list.count++] = arena_text(arena, item->text);
    }
    *ret = list;
    return 0;
}

static int number_from_toml(const struct toml_value *from, uint64_t max, uint64_t *ret)
{
    if (from->kind != TOML_INTEGER) return -ERR_CONFIG_INVALID_TYPE;
    if (from->integer < 0 || (uint64_t)from->integer > max) return -ERR_CONFIG_INVALID_VALUE;
    *ret = (uint64_t)from->integer;
    return 0;
}

/* A size may also be a number of bytes. */
static int value_from_toml(struct arena *arena, const struct setting *setting,
                           const struct toml_value *from, struct setting_value *ret)
{
    bool is_string = from->kind == TOML_STRING;
    *ret = (struct setting_value){ 0 };
    if (is_string && memchr(from->text.base, 0, from->text.size)) return -ERR_CONFIG_INVALID_VALUE;
    switch (setting->kind) {
    case SETTING_BOOL:
        ret->boolean = from->boolean;
        return from->kind == TOML_BOOLEAN ? 0 : -ERR_CONFIG_INVALID_TYPE;
    case SETTING_U32: return number_from_toml(from, UINT32_MAX, &ret->number);
    case SETTING_U64: return number_from_toml(from, INT64_MAX, &ret->number);
    case SETTING_DOUBLE:
        if (from->kind != TOML_FLOAT && from->kind != TOML_INTEGER) return -ERR_CONFIG_INVALID_TYPE;
        ret->real = from->kind == TOML_FLOAT ? from->real : (double)from->integer;
        return isfinite(ret->real) ? 0 : -ERR_CONFIG_INVALID_VALUE;
    case SETTING_TEXT:
        if (!is_string) return -ERR_CONFIG_INVALID_TYPE;
        ret->text = arena_text(arena, from->text);
        return 0;
    case SETTING_TEXT_LIST: return list_from_toml(arena, from, &ret->list);
    case SETTING_SIZE:
        if (!is_string) return number_from_toml(from, INT64_MAX, &ret->number);
        return parse_with_unit(setting, arena_text(arena, from->text), &ret->number);
    case SETTING_DURATION:
        if (!is_string) return -ERR_CONFIG_INVALID_TYPE;
        return parse_with_unit(setting, arena_text(arena, from->text), &ret->number);
    case SETTING_KIND_MAX: break;
    }
    check(!"a setting without a kind");
    return 0;
}

/* ---- from text ---- */

/* Text that is written as TOML writes a string or an array. @ret stays as it is when it is not. */
static bool value_from_quoted(struct arena *arena, const struct setting *setting, const char *text,
                              struct setting_value *ret)
{
    struct toml_value root;
    const char *error;
    if (setting->kind != SETTING_TEXT && setting->kind != SETTING_TEXT_LIST) return false;
    if (text[0] == '\0' || !strchr("\"'[", text[0])) return false;
    if (toml_parse(arena, bytes_of_text(arena_printf(arena, "v = %s", text)), &root, &error) < 0) {
        return false;
    }
    return root.item_count == 1 && value_from_toml(arena, setting, &root.items[0].value, ret) >= 0;
}

static int value_from_text(struct arena *arena, const struct setting *setting, const char *text,
                           struct setting_value *ret)
{
    *ret = (struct setting_value){ 0 };
    if (value_from_quoted(arena, setting, text, ret)) return 0;
    switch (setting->kind) {
    case SETTING_BOOL:
        ret->boolean = strcmp(text, "true") == 0;
        return ret->boolean || strcmp(text, "false") == 0 ? 0 : -ERR_CONFIG_INVALID_TYPE;
    case SETTING_U32: return parse_unsigned(text, UINT32_MAX, &ret->number);
    case SETTING_U64: return parse_unsigned(text, INT64_MAX, &ret->number);
    case SETTING_DOUBLE: return parse_double(text, &ret->real);
    case SETTING_TEXT: ret->text = arena_text(arena, bytes_of_text(text)); return 0;
    case SETTING_TEXT_LIST: ret->list = split_list(arena, text); return 0;
    case SETTING_SIZE:
    case SETTING_DURATION: return parse_with_unit(setting, text, &ret->number);
    case SETTING_KIND_MAX: break;
    }
    check(!"a setting without a kind");
    return 0;
}

/* ---- in the struct ---- */

static void *member_of(const struct setting *setting, const void *settings)
{
    return (char *)(uintptr_t)settings + setting->offset;
}

static void value_store(const struct setting *setting, void *settings,
                        const struct setting_value *value)
{
    void *at = member_of(setting, settings);
    switch (setting->kind) {
    case SETTING_BOOL: *(setting_BOOL *)at = value->boolean; break;
    case SETTING_U32: *(setting_U32 *)at = (uint32_t)value->number; break;
    case SETTING_U64: *(setting_U64 *)at = value->number; break;
    case SETTING_DOUBLE: *(setting_DOUBLE *)at = value->real; break;
    case SETTING_TEXT: *(setting_TEXT *)at = value->text; break;
    case SETTING_TEXT_LIST: *(setting_TEXT_LIST *)at = value->list; break;
    case SETTING_SIZE: *(setting_SIZE *)at = value->number; break;
    case SETTING_DURATION: *(setting_DURATION *)at = value->number; break;
    case SETTING_KIND_MAX: check(!"a setting without a kind");
    }
}

static bool list_equals(const struct setting_text_list *a, const struct setting_text_list *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    }
    return true;
}

static struct setting_value value_read(const struct setting *setting, const void *settings)
{
    const void *at = member_of(setting, settings);
    struct setting_value value = { 0 };
    switch (setting->kind) {
    case SETTING_BOOL: value.boolean = *(const setting_BOOL *)at; break;
    case SETTING_U32: value.number = *(const setting_U32 *)at; break;
    case SETTING_U64: value.number = *(const setting_U64 *)at; break;
    case SETTING_DOUBLE: value.real = *(const setting_DOUBLE *)at; break;
    case SETTING_TEXT: value.text = *(const setting_TEXT *)at; break;
    case SETTING_TEXT_LIST: value.list = *(const setting_TEXT_LIST *)at; break;
    case SETTING_SIZE: value.number = *(const setting_SIZE *)at; break;
    case SETTING_DURATION: value.number = *(const setting_DURATION *)at; break;
    case SETTING_KIND_MAX: check(!"a setting without a kind");
    }
    return value;
}

/* Members that the kind does not use are zero in both. */
static bool value_equals(const struct setting_value *a, const struct setting_value *b)
{
    bool same_text = a->text == b->text || (a->text && b->text && strcmp(a->text, b->text) == 0);
    return a->boolean == b->boolean && a->number == b->number && a->real == b->real && same_text &&
           list_equals(&a->list, &b->list);
}

bool settings_equal(const struct setting *setting, const void *a, const void *b)
{
    struct setting_value in_a = value_read(setting, a), in_b = value_read(setting, b);
    return value_equals(&in_a, &in_b);
}

static bool value_is_stored(const struct setting *setting, const void *settings,
                            const struct setting_value *value)
{
    struct setting_value stored = value_read(setting, settings);
    return value_equals(&stored, value);
}

void settings_init(const struct setting *table, void *settings, struct arena *arena)
{
    for (; table->key; table++) {
        struct setting_value value;
        int r = value_from_text(arena, table, table->default_text, &value);
        check(r >= 0);
        value_store(table, settings, &value);
    }
}

/* ---- one value ---- */

static int fail_unknown(const struct setting *table, struct arena *arena, const char *where,
                        const char *key, const char **ret_error)
{
    const char *near = settings_nearest(table, arena, key);
    *ret_error =
        near ? arena_printf(arena, "%sunknown key '%s'; did you mean '%s'?", where, key, near)
             : arena_printf(arena, "%sunknown key '%s'", where, key);
    return -ERR_CONFIG_REDUNDANT_KEY;
}

int settings_set(const struct setting *table, void *settings, struct arena *arena, const char *key,
                 const char *text, const char **ret_error)
{
    struct setting_value value;
    const struct setting *setting = settings_find(table, key);
    if (!setting) return fail_unknown(table, arena, "", key, ret_error);
    int r = value_from_text(arena, setting, text, &value);
    if (r < 0) {
        *ret_error = arena_printf(arena, "key '%s': '%s' is not %s", key, text,
                                  setting_kind_name(setting->kind));
        return r;
    }
    value_store(setting, settings, &value);
    return 0;
}

char *settings_variable_name(struct arena *arena, const char *key)
{
    char *name = arena_printf(arena, "C3FS_%s", key);
    for (char *p = name; *p; p++) {
        if (*p == '.') *p = '_';
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
    }
    return name;
}

int settings_set_environment(const struct setting *table, void *settings, struct arena *arena,
                             const char *const *environment, const char **ret_error)
{
    for (const struct setting *setting = table; setting->key; setting++) {
        const char *name = settings_variable_name(arena, setting->key);
        size_t size = strlen(name);
        for (const char *const *e = environment; *e; e++) {
            if (strncmp(*e, name, size) != 0 || (*e)[size] != '=') continue;
            const char *error;
            int r = settings_set(table, settings, arena, setting->key, *e + size + 1, &error);
            if (r < 0) {
                *ret_error = arena_printf(arena, "variable %s: %s", name, error);
                return r;
            }
        }
    }
    return 0;
}

/* ---- a document ---- */

/* What is done with each key and value of a document. */
struct visit {
    const struct setting *table;
    struct arena *arena;
    void *settings;     /* stored into; NULL: only checked */
    const void *before; /* COLD and NODE keys must be as here; NULL: any */
    bool is_template;   /* NODE keys are refused */
    const char *error;
};

static int visit_fail(struct visit *v, int r, const struct toml_item *item, const char *key,
                      const char *what)
{
    v->error = arena_printf(v->arena, "line %u, column %u: key '%s' %s", item->line, item->column,
                            key, what);
    return r;
}

static int visit_leaf(struct visit *v, const char *key, const struct toml_item *item)
{
    const struct setting *setting = settings_find(v->table, key);
    if (!setting) {
        const char *where =
            arena_printf(v->arena, "line %u, column %u: ", item->line, item->column);
        return fail_unknown(v->table, v->arena, where, key, &v->error);
    }
    struct setting_value value;
    int r = value_from_toml(v->arena, setting, &item->value, &value);
    if (r < 0) {
        const char *kind = setting_kind_name(setting->kind);
        return visit_fail(v, r, item, key, arena_printf(v->arena, "must be %s", kind));
    }
    if (v->is_template && setting->class == SETTING_NODE) {
        return visit_fail(v, -ERR_CONFIG_UPDATE_FAILED, item, key,
                          "belongs to one node and cannot be part of a template");
    }
    if (v->before && setting->class != SETTING_HOT &&
        !value_is_stored(setting, v->before, &value)) {
        return visit_fail(v, -ERR_CONFIG_UPDATE_FAILED, item, key, "cannot change while running");
    }
    if (v->settings) value_store(setting, v->settings, &value);
    return 0;
}

/* All values with their keys. */
static int visit_all(struct visit *v, const struct toml_value *flat)
{
    for (uint32_t i = 0; i < flat->item_count; i++) {
        const struct toml_item *item = &flat->items[i];
        int r = visit_leaf(v, (const char *)item->key.base, item);
        if (r < 0) return r;
    }
    return 0;
}

/* First everything is checked, then, if @settings is given, everything is stored. */
static int visit_run(struct visit v, void *settings, const struct toml_value *root,
                     const char **ret_error)
{
    struct toml_value flat;
    int r = settings_flatten(v.table, v.arena, root, &flat, &v.error);
    if (r >= 0) r = visit_all(&v, &flat);
    if (r < 0) {
        *ret_error = v.error;
        return r;
    }
    v.settings = settings;
    v.before = NULL;
    if (settings) check(visit_all(&v, &flat) >= 0);
    return 0;
}

int settings_load(const struct setting *table, void *settings, struct arena *arena,
                  const struct toml_value *root, const char **ret_error)
{
    struct visit v = { .table = table, .arena = arena };
    return visit_run(v, settings, root, ret_error);
}

int settings_update(const struct setting *table, void *settings, struct arena *arena,
                    const struct toml_value *root, const char **ret_error)
{
    struct visit v = { .table = table, .arena = arena, .before = settings };
    return visit_run(v, settings, root, ret_error);
}

int settings_check_template(const struct setting *table, struct arena *arena,
                            const struct toml_value *root, const char **ret_error)
{
    struct visit v = { .table = table, .arena = arena, .is_template = true };
    return visit_run(v, NULL, root, ret_error);
}
