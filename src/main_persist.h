/* main_persist.h - what a role runs with, written to a file of its own each time: 3FS's
 * --cfg_persist_prefix. */
#pragma once
#include "loop/node.h"

/* Writes @toml to PREFIX_YYYYMMDD_HHMMSS_uuuuuu (local time, mode 0600). A failure is a line in the
 * log and nothing else. */
void config_persist(struct node *node, const char *prefix, const char *toml);
