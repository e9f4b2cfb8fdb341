/* toml_fuzz.c - a document that parses is written as text that parses to the same; settings taken
 * from it are written as a document that is taken again.
 */
#include "base/check.h"
#include "config/settings.h"

#define SAMPLE_SETTINGS(S)                                                                         \
    S(U32, a, "a", "1", HOT, "")                                                                   \
    S(TEXT, b, "b.c", "text", HOT, "")                                                             \
    S(TEXT_LIST, list, "b.list", "", HOT, "")                                                      \
    S(SIZE, size, "b.size", "1KB", HOT, "")                                                        \
    S(DURATION, time, "b.time", "1s", HOT, "")                                                     \
    S(DOUBLE, x, "x", "0.5", HOT, "")                                                              \
    S(BOOL, y, "y", "false", HOT, "")
SETTINGS_STRUCT(sample_settings, SAMPLE_SETTINGS)
#define SETTING_STRUCT_NAME sample_settings
static SETTINGS_TABLE(sample_table, SAMPLE_SETTINGS)

    static void check_error(const char *error)
{
    check(error);
    check(!strchr(error, '\n'));
}

static void check_settings(const struct toml_value *root, struct arena *arena)
{
    struct sample_settings first, again;
    struct toml_value printed;
    const char *error = NULL;
    settings_init(sample_table, &first, arena);
    settings_init(sample_table, &again, arena);
    if (settings_load(sample_table, &first, arena, root, &error) < 0) {
        check_error(error);
        return;
    }
    const char *text = settings_to_toml(sample_table, &first, arena);
    check(toml_parse(arena, bytes_of_text(text), &printed, &error) == 0);
    check(settings_load(sample_table, &again, arena, &printed, &error) == 0);
    for (const struct setting *s = sample_table; s->key; s++)
        check(settings_equal(s, &first, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct toml_value root, again;
    const char *error = NULL;
    if (toml_parse(&arena, bytes_of(data, size), &root, &error) < 0) {
        check_error(error);
        return 0;
    }
    const char *text = toml_to_text(&arena, &root);
    if (strlen(text) <= TOML_TEXT_BYTES_MAX) { /* dotted keys repeat what headers say once */
        check(toml_parse(&arena, bytes_of_text(text), &again, &error) == 0);
        check(strcmp(toml_to_text(&arena, &again), text) == 0);
    }
    check_settings(&root, &arena);
    return 0;
}
