/* settings.h - the settings of a role, declared once as a field list: parser, --help, reference and dump.
 *
 *     #define STORAGE_SETTINGS(S)                                                                         \
 *         S(U32,      node_id,     "node_id",     "0",   COLD, "number of this node, 1..2^31")             \
 *         S(DURATION, grace_ns,    "stop.grace",  "5s",  HOT,  "how long a stop waits for running requests") \
 *     SETTINGS_STRUCT(storage_settings, STORAGE_SETTINGS)            struct storage_settings
 *     SETTINGS_TABLE(storage_settings, STORAGE_SETTINGS)             const struct setting storage_settings_table[]
 *
 * Sources, later ones win: default, environment variable, TOML file, --config.a.b.c=VALUE. An unknown key is an
 * error that names it and the nearest valid one. Kinds: BOOL, U32, U64, DOUBLE, TEXT (const char *), TEXT_LIST
 * (comma separated in variables), SIZE (bytes), DURATION (ns).
 */
#pragma once
#include "base/arena.h"
#include "config/toml.h"

enum setting_kind {
    SETTING_BOOL, SETTING_U32, SETTING_U64, SETTING_DOUBLE, SETTING_TEXT, SETTING_TEXT_LIST, SETTING_SIZE,
    SETTING_DURATION, SETTING_KIND_MAX
};
enum setting_class {
    SETTING_COLD, /* needs a restart */
    SETTING_HOT,  /* may change while running */
    SETTING_NODE  /* belongs to one node: never part of a template of its type */
};

struct setting_text_list {
    const char **items;
    uint32_t count;
};
typedef bool setting_BOOL;
typedef uint32_t setting_U32;
typedef uint64_t setting_U64;
typedef double setting_DOUBLE;
typedef const char *setting_TEXT;
typedef struct setting_text_list setting_TEXT_LIST;
typedef uint64_t setting_SIZE;
typedef uint64_t setting_DURATION;

struct setting {
    enum setting_kind kind;
    const char *key;           /* "a.b.c" */
    const char *default_text;
    enum setting_class class;
    const char *doc;
    size_t offset;
};

#define SETTING_MEMBER(kind, member, key, def, class, doc) setting_##kind member;
#define SETTING_ROW(kind, member, key, def, class, doc)                                            \
    { SETTING_##kind, key, def, SETTING_##class, doc, offsetof(struct SETTING_STRUCT_NAME, member) },
#define SETTINGS_STRUCT(name, LIST)                                                                \
    struct name {                                                                                  \
        LIST(SETTING_MEMBER)                                                                       \
    };
/* In one .c file, after #define SETTING_STRUCT_NAME name. */
#define SETTINGS_TABLE(table, LIST)                                                                \
    const struct setting table[] = { LIST(SETTING_ROW) { .key = NULL } };

/* Fills @settings with the defaults; all memory is @arena's. */
void settings_init(const struct setting *table, void *settings, struct arena *arena);
/* One value from text, as given by a flag or a variable. */
int settings_set(const struct setting *table, void *settings, struct arena *arena, const char *key,
                 const char *text, const char **ret_error) must_check;
/* A whole document; nothing is changed on failure. */
int settings_load(const struct setting *table, void *settings, struct arena *arena,
                  const struct toml_value *root, const char **ret_error) must_check;
/* As settings_load(), refusing a change of a COLD or NODE key ("key 'x' cannot change while running"). */
int settings_update(const struct setting *table, void *settings, struct arena *arena,
                    const struct toml_value *root, const char **ret_error) must_check;
/* TOML text of all keys with their docs as comments (--print-config), or Markdown rows (docs/configuration.md). */
char *settings_to_toml(const struct setting *table, const void *settings, struct arena *arena);
char *settings_to_markdown(const struct setting *table, struct arena *arena);
/* The valid name nearest to @name by edit distance, or NULL if none is near: for every "unknown X" message. */
const char *nearest_name(const char *name, const char *const *names, size_t count);
