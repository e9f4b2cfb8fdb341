/* files.h - small files of the supervisor, read and written whole. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

/* -ERR_SYSTEM codes, *ret_error "PATH: reason". A file longer than 1 MiB is an error. */
int text_read(const char *path, struct arena *arena, struct bytes *ret,
              const char **ret_error) must_check;
/* Atomic: a temporary file that is renamed. */
int text_write(const char *path, const char *text, unsigned mode, struct arena *arena,
               const char **ret_error) must_check;
/* All missing directories of @path. */
int directory_make(const char *path, struct arena *arena, const char **ret_error) must_check;
/* False only when entries are seen in it. */
bool mount_point_is_empty(const char *path);
