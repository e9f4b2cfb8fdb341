/* main_tool.h - what the small tools of the command line share: arguments, help, files. */
#pragma once
#include "admin/arguments.h"

enum { TOOL_EXIT_FAILED = 1, TOOL_EXIT_USAGE = 2 };

/* Prints "NAME: what" and returns the exit status of a failure. */
int tool_fail(const char *name, const char *fmt, ...) printf_(2, 3);
/* -1: go on with *ret. Else the exit status; help or what is wrong was printed. */
int tool_arguments(struct arena *arena, const char *name, const char *intro, const char *examples,
                   const struct argument_spec *spec, int argc, char *const *argv,
                   struct arguments *ret);
/* The whole file; 0, or the exit status after a message. */
int tool_read(struct arena *arena, const char *name, const char *path, struct bytes *ret);
/* Replaces DIR/FILE as a whole, making DIR and what is above it; 0, or the exit status. */
int tool_write(struct arena *arena, const char *name, const char *dir, const char *file,
               const char *text);
