/* complete.c - a word that was begun, and what it may become. */
#include "admin/complete.h"

#include "admin/admin.h"
#include <ctype.h>

/* The piece before the cursor. */
struct begun {
    char **words;
    uint32_t count;
    char *word; /* at the cursor, without quotes; "" for none yet */
    char quote; /* the open one; 0: none */
};

/* False in a comment, and behind a backslash that quotes nothing yet. */
static bool read_begun(struct arena *arena, const char *line, struct begun *ret)
{
    size_t room = strlen(line) + 1, size = 0;
    bool in_word = false;
    *ret = (struct begun){ .words = arena_array(arena, char *, room),
                           .word = arena_alloc(arena, room) };
    for (const char *p = line; *p; p++) {
        if (ret->quote) {
            if (*p == ret->quote)
                ret->quote = 0;
            else
                ret->word[size++] = *p;
        } else if (*p == '\'' || *p == '"') {
            ret->quote = *p;
            in_word = true;
        } else if (*p == ';') {
            ret->count = 0;
            size = 0;
            in_word = false;
        } else if (isspace((unsigned char)*p)) {
            if (in_word) ret->words[ret->count++] = arena_text(arena, bytes_of(ret->word, size));
            size = 0;
            in_word = false;
        } else {
            if (*p == '#' && !in_word) return false;
            if (*p == '\\' && !*++p) return false;
            ret->word[size++] = *p;
            in_word = true;
        }
    }
    ret->word[size] = 0;
    return true;
}

static void add(struct complete_names *names, const char *name, const char *start)
{
    if (names->count < COMPLETE_COUNT_MAX && !strncmp(name, start, strlen(start)))
        names->items[names->count++] = name;
}

static void add_commands(struct complete_names *names, const char *start)
{
    for (const struct command_spec *const *group = command_groups; *group; group++)
        for (const struct command_spec *c = *group; c->name; c++)
            add(names, c->name, start);
}

static void add_options(struct arena *arena, struct complete_names *names,
                        const struct argument_spec *spec, const char *start)
{
    for (; spec->name; spec++) {
        if (spec->name[0] != '-') continue;
        add(names, spec->name, start);
        for (const char *p = spec->alias ?: ""; *p;) {
            size_t size = strcspn(p, ",");
            if (size > 2) add(names, arena_text(arena, bytes_of(p, size)), start);
            p += size + (p[size] == ',');
        }
    }
    add(names, "--json", start);
}

/* Names of a directory, as they would stand in the word: with the directory in front. */
static void add_paths(struct arena *arena, struct complete_names *names, const char *start,
                      complete_list_fn list, void *arg)
{
    const char *slash = strrchr(start, '/');
    const char *dir = arena_text(arena, bytes_of(start, slash ? (size_t)(slash + 1 - start) : 0));
    struct complete_names found = { arena_array(arena, const char *, COMPLETE_COUNT_MAX), 0 };
    list(arg, arena, dir, slash ? slash + 1 : start, &found);
    for (uint32_t i = 0; i < found.count; i++)
        add(names, arena_printf(arena, "%s%s", dir, found.items[i]), start);
}

/* What the candidates have in common behind @size bytes, as it is to be typed. */
static const char *common_rest(struct arena *arena, const struct complete_names *names, size_t size,
                               char quote)
{
    const char *first = names->items[0];
    size_t end = strlen(first), out = 0;
    for (uint32_t i = 1; i < names->count; i++) {
        size_t same = size;
        while (same < end && names->items[i][same] == first[same])
            same++;
        end = same;
    }
    /* Not into the middle of a character. */
    while (end > size && ((uint8_t)first[end] & 0xc0) == 0x80)
        end--;
    char *rest = arena_alloc(arena, 2 * (end - size) + 3);
    bool is_whole = names->count == 1 && first[strlen(first) - 1] != '/';
    for (size_t i = size; i < end; i++) {
        bool is_special = isspace((unsigned char)first[i]) || strchr("'\"\\;#", first[i]);
        if (quote && first[i] == quote) { /* no way to type it in there */
            is_whole = false;
            break;
        }
        if (is_special && !quote) rest[out++] = '\\';
        rest[out++] = first[i];
    }
    if (is_whole && quote) rest[out++] = quote;
    if (is_whole) rest[out++] = ' ';
    rest[out] = 0;
    return rest;
}

static void find_candidates(struct arena *arena, const struct begun *b, complete_list_fn list,
                            void *arg, struct complete_names *names)
{
    const struct command_spec *command = b->count ? command_find(b->words[0]) : NULL;
    if (b->count == 0 || (!strcmp(b->words[0], "help") && b->count == 1)) {
        add_commands(names, b->word);
    } else if (command) {
        const struct argument_spec *next =
            arguments_next(command->arguments, b->words + 1, b->count - 1);
        bool is_path = next && (next->kind == ARG_PATH || next->kind == ARG_PATHS);
        if (b->word[0] == '-' && !b->quote)
            add_options(arena, names, command->arguments, b->word);
        else if (is_path)
            add_paths(arena, names, b->word, list, arg);
    }
}

void complete_line(struct arena *arena, const char *line, complete_list_fn list, void *arg,
                   struct completion *ret)
{
    struct begun b;
    struct complete_names names = { arena_array(arena, const char *, COMPLETE_COUNT_MAX), 0 };
    *ret = (struct completion){ .insert = "" };
    if (!read_begun(arena, line, &b)) return;
    find_candidates(arena, &b, list, arg, &names);
    if (names.count == 0) return;
    ret->insert = common_rest(arena, &names, strlen(b.word), b.quote);
    if (names.count > 1) ret->shown = names;
}
