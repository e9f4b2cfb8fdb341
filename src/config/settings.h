/* settings.h - the settings of a role, declared once as a field list, for all uses.
 *
 *     #define STORAGE_SETTINGS(S)                                                                 \
 *         S(U32,      node_id,  "node_id",    "0",  NODE, "number of this node, 1..2^31")         \
 *         S(DURATION, grace_ns, "stop.grace", "5s", HOT,  "how long a stop waits for requests")
 *     SETTINGS_STRUCT(storage_settings, STORAGE_SETTINGS)              in the header
 *
 *     #define SETTING_STRUCT_NAME storage_settings                     in one .c file
 *     SETTINGS_TABLE(storage_settings_table, STORAGE_SETTINGS)
 *
 * gives struct storage_settings and its table, which ends with a row without a key.
 *
 * Sources, later ones win: default, environment variable C3FS_A_B_C, TOML file,
 * --config.a.b.c=VALUE. An unknown key is an error that names it and the nearest valid one. Kinds:
 * BOOL, U32, U64, DOUBLE, TEXT (const char *), TEXT_LIST (comma separated in flags and variables),
 * SIZE (bytes), DURATION (ns).
 *
 * Errors are -ERR_CONFIG_REDUNDANT_KEY (unknown key), _INVALID_TYPE, _INVALID_VALUE or
 * _UPDATE_FAILED, and *ret_error is one line (arena) that names the key, and line and column where
 * there is a document.
 */
#pragma once
#include "base/arena.h"
#include "config/toml.h"

enum setting_kind {
    SETTING_BOOL,
    SETTING_U32,
    SETTING_U64,
    SETTING_DOUBLE,
    SETTING_TEXT,
    SETTING_TEXT_LIST,
    SETTING_SIZE,
    SETTING_DURATION,
    SETTING_KIND_MAX
};
enum setting_class {
    SETTING_COLD, /* needs a restart */
    SETTING_HOT,  /* may change while running */
    SETTING_NODE, /* belongs to one node: never part of a template of its type */
    SETTING_CLASS_MAX
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
    const char *key; /* "a.b.c" */
    const char *default_text;
    enum setting_class class;
    const char *doc;
    size_t offset;
};

#define SETTING_MEMBER(kind, member, key, def, class, doc) setting_##kind member;
/* clang-format off */
#define SETTING_ROW(kind, member, key, def, class, doc)                 \
    { SETTING_##kind, key, def, SETTING_##class, doc,                   \
      offsetof(struct SETTING_STRUCT_NAME, member) },
/* clang-format on */
#define SETTINGS_STRUCT(name, LIST)                                                                \
    struct name {                                                                                  \
        LIST(SETTING_MEMBER)                                                                       \
    };
/* In one .c file, after #define SETTING_STRUCT_NAME name. */
#define SETTINGS_TABLE(table, LIST)                                                                \
    const struct setting table[] = { LIST(SETTING_ROW){ .key = NULL } };

/* Fills @settings with the defaults; all memory is @arena's. A default that is not valid is a bug.
 */
void settings_init(const struct setting *table, void *settings, struct arena *arena);
/* One value from text, as given by a flag or a variable: without quotes, a list with commas between
 * its items; TOML's quoted strings and arrays are taken as well. */
int settings_set(const struct setting *table, void *settings, struct arena *arena, const char *key,
                 const char *text, const char **ret_error) must_check;
/* Takes the variables C3FS_<KEY>, upper case and '_' for each '.', out of @environment (as environ:
 * NULL at the end). Others are left alone. */
int settings_set_environment(const struct setting *table, void *settings, struct arena *arena,
                             const char *const *environment, const char **ret_error) must_check;
/* "C3FS_STOP_GRACE" of "stop.grace". */
char *settings_variable_name(struct arena *arena, const char *key);
/* A whole document; nothing is changed on failure. */
int settings_load(const struct setting *table, void *settings, struct arena *arena,
                  const struct toml_value *root, const char **ret_error) must_check;
/* As settings_load(), refusing a change of a COLD or NODE key ("key 'x' cannot change while
 * running"); the same value again is no change. */
int settings_update(const struct setting *table, void *settings, struct arena *arena,
                    const struct toml_value *root, const char **ret_error) must_check;
/* A document that is to be the template of all nodes of a type: as settings_load() into a copy that
 * is dropped, and a key of class NODE is refused. */
int settings_check_template(const struct setting *table, struct arena *arena,
                            const struct toml_value *root, const char **ret_error) must_check;
/* The values of a document in one table, each with its whole key ("a.b.c", ends with a zero); a
 * document that is flat stays as it is. Keys need not be known. */
int settings_flatten(const struct setting *table, struct arena *arena,
                     const struct toml_value *root, struct toml_value *ret,
                     const char **ret_error) must_check;
/* What of a flat document all nodes of a type may share: its keys that are not of class NODE, in
 * the order of the table, so that the same settings give the same text. */
char *settings_template(const struct setting *table, const struct toml_value *flat,
                        struct arena *arena);
/* TOML text of all keys with their docs as comments (--print-config), or Markdown rows
 * (docs/configuration.md). */
char *settings_to_toml(const struct setting *table, const void *settings, struct arena *arena);
char *settings_to_markdown(const struct setting *table, struct arena *arena);
const struct setting *settings_find(const struct setting *table,
                                    const char *key); /* NULL if unknown */
/* Whether two structs hold the same value. */
bool settings_equal(const struct setting *setting, const void *a, const void *b);
/* The key nearest to @key, or NULL. */
const char *settings_nearest(const struct setting *table, struct arena *arena, const char *key);
const char *setting_kind_name(enum setting_kind kind);

/* The valid name nearest to @name by edit distance (a swap of neighbours counts once), or NULL if
 * none is near: for every "unknown X" message. */
const char *nearest_name(const char *name, const char *const *names, size_t count);
