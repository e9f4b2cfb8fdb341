/* toml.c - documents: tables, dotted keys, arrays of tables and nested values, over the tokens of
 * toml_scan.h.
 *
 * Who may still add to a table or array is its origin:
 *   IMPLICIT  a table made on the way by [a.b.c]: anybody, once also a header of its own
 *   EXPLICIT  a table with a header: the lines below it, and headers of its sub-tables
 *   DOTTED    a table made by a dotted key: dotted keys of its section, headers of sub-tables
 *   CLOSED    an inline table or array: nobody
 *   ELEMENTS  an array of [[tables]]: another [[header]]
 *
 * Tables lie in the items array of their parent, which moves when it grows: a pointer to a table is
 * kept only while nothing is added to its parents.
 *
 * The level of a value is the number of keys and elements on the way to it; the root's is 0.
 */
#include "config/toml.h"

#include "base/check.h"
#include "config/toml_scan.h"

enum origin { ORIGIN_IMPLICIT, ORIGIN_EXPLICIT, ORIGIN_DOTTED, ORIGIN_CLOSED, ORIGIN_ELEMENTS };

struct key_part {
    struct bytes text;
    struct toml_place at;
};
struct key {
    struct key_part parts[TOML_DEPTH_MAX];
    uint32_t count;
};

/* An array or inline table that is not closed yet. */
struct frame {
    struct toml_value container;
    uint32_t level;
    struct key key; /* of the value being read, in a table */
};

struct parser {
    struct toml_scan scan;
    struct frame *frames; /* TOML_DEPTH_MAX of them */
    uint32_t depth;
};

/* ---- items ---- */

/* The array doubles: its capacity is the count rounded up to a power of two. */
static struct toml_item *item_add(struct arena *arena, struct toml_value *to)
{
    uint32_t count = to->item_count;
    if ((count & (count - 1)) == 0) {
        struct toml_item *grown =
            arena_array(arena, struct toml_item, count ? 2 * (size_t)count : 1);
        if (count) memcpy(grown, to->items, count * sizeof *grown);
        to->items = grown;
    }
    to->item_count++;
    to->items[count] = (struct toml_item){ 0 };
    return &to->items[count];
}

static struct toml_item *item_find(const struct toml_value *table, struct bytes key)
{
    for (uint32_t i = 0; i < table->item_count; i++) {
        if (bytes_equal(table->items[i].key, key)) return &table->items[i];
    }
    return NULL;
}

static int item_add_key(struct toml_scan *s, struct toml_value *table, const struct key_part *part,
                        struct toml_value value)
{
    if (table->item_count >= TOML_TABLE_KEYS_MAX) {
        return toml_scan_fail_at(s, part->at, "the table has more than %d keys",
                                 TOML_TABLE_KEYS_MAX);
    }
    struct toml_item *item = item_add(s->arena, table);
    *item = (struct toml_item){
        .key = part->text, .line = part->at.line, .column = part->at.column, .value = value
    };
    return 0;
}

static struct toml_value container_at(enum toml_kind kind, enum origin origin, struct toml_place at)
{
    return (struct toml_value){
        .kind = kind, .origin = (uint8_t)origin, .line = at.line, .column = at.column
    };
}

static int fail_taken(struct toml_scan *s, const struct key_part *part)
{
    return toml_scan_fail_at(s, part->at, "'%.*s' is defined already",
                             (int)MIN_OF(part->text.size, 100u), (const char *)part->text.base);
}

/* ---- keys ---- */

static int fail_deep(struct toml_scan *s)
{
    return toml_scan_fail(s, "tables and values are nested deeper than %d", TOML_DEPTH_MAX);
}

/* A key of the table at @level. Blanks around it are skipped. */
static int scan_key(struct toml_scan *s, uint32_t level, struct key *ret)
{
    ret->count = 0;
    do {
        toml_scan_skip_blank(s);
        if (level + ret->count >= TOML_DEPTH_MAX) return fail_deep(s);
        struct key_part *part = &ret->parts[ret->count++];
        part->at = toml_scan_place(s);
        int r = toml_scan_key_part(s, &part->text);
        if (r < 0) return r;
        toml_scan_skip_blank(s);
    } while (toml_scan_skip_byte(s, '.'));
    return 0;
}

/* Puts @value under the dotted @key of @table. */
static int assign(struct toml_scan *s, struct toml_value *table, const struct key *key,
                  struct toml_value value)
{
    for (uint32_t i = 0; i + 1 < key->count; i++) {
        const struct key_part *part = &key->parts[i];
        struct toml_item *item = item_find(table, part->text);
        if (!item) {
            int r = item_add_key(s, table, part, container_at(TOML_TABLE, ORIGIN_DOTTED, part->at));
            if (r < 0) return r;
            item = &table->items[table->item_count - 1];
        }
        if (item->value.kind != TOML_TABLE) return fail_taken(s, part);
        if (item->value.origin == ORIGIN_IMPLICIT) item->value.origin = ORIGIN_DOTTED;
        if (item->value.origin != ORIGIN_DOTTED) return fail_taken(s, part);
        table = &item->value;
    }
    const struct key_part *last = &key->parts[key->count - 1];
    return item_find(table, last->text) ? fail_taken(s, last) : item_add_key(s, table, last, value);
}

static int scan_equals(struct toml_scan *s)
{
    if (!toml_scan_skip_byte(s, '=')) return toml_scan_fail(s, "'=' is expected behind the key");
    toml_scan_skip_blank(s);
    return 0;
}

/* ---- values ---- */

/* At an opening bracket. @level is that of the outermost value. */
static int frame_push(struct parser *p, enum toml_kind kind, uint32_t level)
{
    if (p->depth > 0) {
        const struct frame *outer = &p->frames[p->depth - 1];
        level = outer->level + (outer->container.kind == TOML_TABLE ? outer->key.count : 1);
    }
    if (level > TOML_DEPTH_MAX || p->depth == TOML_DEPTH_MAX) return fail_deep(&p->scan);
    struct frame *frame = &p->frames[p->depth++];
    frame->container = container_at(kind, ORIGIN_CLOSED, toml_scan_place(&p->scan));
    frame->level = level;
    p->scan.pos++;
    return 0;
}

/* Adds a finished value to the container that it stands in. */
static int frame_add(struct parser *p, struct frame *frame, struct toml_value value)
{
    if (frame->container.kind == TOML_TABLE) {
        return assign(&p->scan, &frame->container, &frame->key, value);
    }
    item_add(p->scan.arena, &frame->container)->value = value;
    return 0;
}

/* After the container's begin or after one of its values. 1: at the next value; 0: behind its end.
 */
static int frame_next(struct parser *p, struct frame *frame, bool after_value)
{
    struct toml_scan *s = &p->scan;
    bool is_table = frame->container.kind == TOML_TABLE, has_comma = false;
    int r = 0;
    if (is_table) toml_scan_skip_blank(s);
    if (!is_table) r = toml_scan_skip_lines(s);
    if (r < 0) return r;
    if (after_value && toml_scan_skip_byte(s, ',')) {
        has_comma = true;
        if (is_table) toml_scan_skip_blank(s);
        if (!is_table) r = toml_scan_skip_lines(s);
        if (r < 0) return r;
    }
    bool may_end = !is_table || !has_comma;
    if (may_end && toml_scan_skip_byte(s, is_table ? '}' : ']')) return 0;
    if (after_value && !has_comma) {
        return toml_scan_fail(s, "',' or '%c' is expected here", is_table ? '}' : ']');
    }
    if (!is_table) return 1;
    r = scan_key(s, frame->level, &frame->key);
    if (r < 0) return r;
    r = scan_equals(s);
    return r < 0 ? r : 1;
}

/* The value at @level with all that it contains. Nested ones are kept on a stack of frames, not on
 * the C stack. */
static int scan_value(struct parser *p, uint32_t level, struct toml_value *ret)
{
    struct toml_scan *s = &p->scan;
    check(p->frames);
    p->depth = 0;
    for (;;) {
        struct toml_value value = { 0 };
        int c = toml_scan_peek(s), r, more = 0;
        if (c == '[' || c == '{') {
            r = frame_push(p, c == '[' ? TOML_ARRAY : TOML_TABLE, level);
            if (r < 0) return r;
            more = frame_next(p, &p->frames[p->depth - 1], false);
            if (more < 0) return more;
            if (more) continue;
            value = p->frames[--p->depth].container;
        } else {
            r = toml_scan_scalar(s, &value);
            if (r < 0) return r;
        }
        while (!more &&
               p->depth > 0) { /* the value is complete: perhaps its containers are as well */
            struct frame *frame = &p->frames[p->depth - 1];
            r = frame_add(p, frame, value);
            if (r < 0) return r;
            more = frame_next(p, frame, true);
            if (more < 0) return more;
            if (!more) value = p->frames[--p->depth].container;
        }
        if (!more) {
            *ret = value;
            return 0;
        }
    }
}

/* ---- headers ---- */

/* The table that the parts before the last of a header lead to. */
static int descend(struct toml_scan *s, struct toml_value *root, const struct key *key,
                   struct toml_value **ret, uint32_t *ret_level)
{
    struct toml_value *table = root;
    *ret_level = key->count - 1;
    for (uint32_t i = 0; i + 1 < key->count; i++) {
        const struct key_part *part = &key->parts[i];
        struct toml_item *item = item_find(table, part->text);
        if (!item) {
            int r =
                item_add_key(s, table, part, container_at(TOML_TABLE, ORIGIN_IMPLICIT, part->at));
            if (r < 0) return r;
            item = &table->items[table->item_count - 1];
        }
        table = &item->value;
        if (table->origin == ORIGIN_CLOSED) return fail_taken(s, part);
        if (table->kind == TOML_ARRAY) {
            table = &table->items[table->item_count - 1].value;
            ++*ret_level;
        }
        if (table->kind != TOML_TABLE) return fail_taken(s, part);
    }
    *ret = table;
    return 0;
}

/* [a.b]: the table, new or made on the way before. */
static int open_table(struct toml_scan *s, struct toml_value *parent, const struct key_part *part,
                      struct toml_value **ret)
{
    struct toml_item *item = item_find(parent, part->text);
    if (item) {
        if (item->value.kind != TOML_TABLE || item->value.origin != ORIGIN_IMPLICIT) {
            return fail_taken(s, part);
        }
        item->value.origin = ORIGIN_EXPLICIT;
        *ret = &item->value;
        return 0;
    }
    int r = item_add_key(s, parent, part, container_at(TOML_TABLE, ORIGIN_EXPLICIT, part->at));
    if (r >= 0) *ret = &parent->items[parent->item_count - 1].value;
    return r;
}

/* [[a.b]]: one more element. */
static int open_element(struct toml_scan *s, struct toml_value *parent, const struct key_part *part,
                        struct toml_value **ret)
{
    struct toml_item *item = item_find(parent, part->text);
    if (!item) {
        int r = item_add_key(s, parent, part, container_at(TOML_ARRAY, ORIGIN_ELEMENTS, part->at));
        if (r < 0) return r;
        item = &parent->items[parent->item_count - 1];
    }
    if (item->value.origin != ORIGIN_ELEMENTS) return fail_taken(s, part);
    struct toml_item *element = item_add(s->arena, &item->value);
    element->value = container_at(TOML_TABLE, ORIGIN_EXPLICIT, part->at);
    *ret = &element->value;
    return 0;
}

/* The section that a header opens, and its level. */
static int scan_header(struct toml_scan *s, struct toml_value *root, struct key *key,
                       struct toml_value **ret, uint32_t *ret_level)
{
    s->pos++;
    bool is_element = toml_scan_skip_byte(s, '[');
    int r = scan_key(s, 0, key);
    if (r < 0) return r;
    if (!toml_scan_skip_byte(s, ']')) return toml_scan_fail(s, "']' is expected here");
    if (is_element && !toml_scan_skip_byte(s, ']')) {
        return toml_scan_fail(s, "a second ']' is expected here");
    }
    struct toml_value *parent = root;
    r = descend(s, root, key, &parent, ret_level);
    if (r < 0) return r;
    *ret_level += is_element ? 2 : 1;
    if (*ret_level > TOML_DEPTH_MAX) return fail_deep(s);
    const struct key_part *last = &key->parts[key->count - 1];
    return is_element ? open_element(s, parent, last, ret) : open_table(s, parent, last, ret);
}

/* ---- the document ---- */

static int scan_document(struct parser *p, struct toml_value *root)
{
    struct toml_scan *s = &p->scan;
    struct key *key = arena_alloc(s->arena, sizeof *key);
    struct toml_value *section = root;
    uint32_t level = 0;
    for (;;) {
        int r = toml_scan_skip_lines(s);
        if (r < 0) return r;
        if (s->pos == s->end) return 0;
        if (toml_scan_peek(s) == '[') {
            r = scan_header(s, root, key, &section, &level);
        } else {
            struct toml_value value = { 0 };
            r = scan_key(s, level, key);
            if (r >= 0) r = scan_equals(s);
            if (r >= 0) r = scan_value(p, level + key->count, &value);
            if (r >= 0) r = assign(s, section, key, value);
        }
        if (r >= 0) r = toml_scan_end_of_line(s);
        if (r < 0) return r;
    }
}

int toml_parse(struct arena *arena, struct bytes text, struct toml_value *ret,
               const char **ret_error)
{
    struct parser p = { .depth = 0 };
    struct toml_value root = container_at(TOML_TABLE, ORIGIN_EXPLICIT, (struct toml_place){ 1, 1 });
    int r = toml_scan_init(&p.scan, arena, text);
    if (r >= 0) {
        p.frames = arena_alloc(arena, TOML_DEPTH_MAX * sizeof *p.frames);
        r = scan_document(&p, &root);
    }
    if (r < 0) {
        check(p.scan.error);
        *ret_error = p.scan.error;
        return r;
    }
    *ret = root;
    return 0;
}

/* ---- access ---- */

static const struct toml_value *find_bytes(const struct toml_value *table, struct bytes key)
{
    if (table->kind != TOML_TABLE) return NULL;
    const struct toml_item *item = item_find(table, key);
    return item ? &item->value : NULL;
}

const struct toml_value *toml_find(const struct toml_value *table, const char *key)
{
    return find_bytes(table, bytes_of_text(key));
}

const struct toml_value *toml_find_path(const struct toml_value *root, const char *path)
{
    while (root) {
        size_t size = strcspn(path, ".");
        root = find_bytes(root, bytes_of(path, size));
        if (!path[size]) return root;
        path += size + 1;
    }
    return NULL;
}

const char *toml_kind_name(enum toml_kind kind)
{
    static const char *const names[TOML_KIND_MAX] = {
        [TOML_STRING] = "string",
        [TOML_INTEGER] = "integer",
        [TOML_FLOAT] = "float",
        [TOML_BOOLEAN] = "boolean",
        [TOML_OFFSET_DATETIME] = "date and time with offset",
        [TOML_LOCAL_DATETIME] = "date and time",
        [TOML_LOCAL_DATE] = "date",
        [TOML_LOCAL_TIME] = "time",
        [TOML_ARRAY] = "array",
        [TOML_TABLE] = "table",
    };
    check(kind < TOML_KIND_MAX);
    return names[kind];
}
