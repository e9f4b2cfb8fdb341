/* incidence.h - a design as text: which disks are in which group.
 *
 *   c3fs incidence matrix 1
 *   disks 5, groups 10, size 3, targets per disk 6
 *   1: 1 2 4
 *   ...
 *
 * Disks and groups count from 1, groups in order. Lines that begin with '#' say something to
 * people.
 */
#pragma once
#include "placement/design.h"

char *incidence_to_text(const struct design *d, const char *comment, struct arena *arena);
/* -ERR_INVALID_ARG, *ret_error names the line. The design need not be balanced. */
int incidence_parse(struct arena *arena, struct bytes text, struct design *ret,
                    const char **ret_error) must_check;
