/* reference.h - the files of 3FS (*_app.toml, *_launcher.toml, *_main.toml), read as ours.
 *
 * A key of 3FS has the meaning of one of ours, or means nothing here and is left out, or would mean
 * something that this build cannot do and is refused. All others are unknown.
 */
#pragma once
#include "config/settings.h"

/* What ours is called: @key itself when @table has it, another name, or "" for a key of 3FS that
 * means nothing here. NULL: nobody knows it. */
const char *reference_key(const struct setting *table, const char *key);

/* A flat document (settings_flatten()) under our keys. *ret_ignored: which keys, or which whole
 * parts ("common.*"), were left out, each once. -ERR_CONFIG_REDUNDANT_KEY,
 * -ERR_CONFIG_INVALID_VALUE with *ret_error one line with line and column (arena). */
int reference_translate(const struct setting *table, struct arena *arena,
                        const struct toml_value *flat, struct toml_value *ret,
                        struct setting_text_list *ret_ignored, const char **ret_error) must_check;

/* Markdown rows of the keys of 3FS and what becomes of them (docs/configuration.md). */
char *reference_to_markdown(struct arena *arena);
