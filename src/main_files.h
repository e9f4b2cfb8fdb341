/* main_files.h - the files of settings that a command line names, merged.
 *
 * There is one of ours (--cfg); the reference's deployments give up to three: --app_cfg with the
 * node's number, --launcher_cfg with the cluster, and --cfg. All may have keys of the reference
 * (config/reference.h). Two files that contradict each other are refused.
 */
#pragma once
#include "config/settings.h"

enum settings_file { FILE_APP, FILE_LAUNCHER, FILE_MAIN, FILE_MAX };

struct settings_files {
    const char *paths[FILE_MAX]; /* NULL: not given */
    const char *template;        /* what nodes of the type may share of FILE_MAIN; "" for nothing */
    struct setting_text_list notes; /* lines for who starts the role: what was left out */
};

/* A whole file of settings, or one line in *ret_error (arena). */
int settings_file_read(const char *path, struct arena *arena, struct bytes *ret,
                       const char **ret_error) must_check;
/* Reads the files of files->paths into @settings; fills in the rest of @files. One line with the
 * name of the file in *ret_error (arena); nothing of @settings is of use then. */
int settings_files_load(struct settings_files *files, const struct setting *table, void *settings,
                        struct arena *arena, const char **ret_error) must_check;
/* One key and its text, as settings_set(), also by its name in the reference; one that means
 * nothing here becomes a note. */
int settings_override(struct settings_files *files, const struct setting *table, void *settings,
                      struct arena *arena, const char *key, const char *text,
                      const char **ret_error) must_check;
