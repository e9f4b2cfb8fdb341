/* report.h - what runs, as a table for people or as JSON. */
#pragma once
#include "supervisor/state.h"

/* Exit status: 0 when the cluster is ready, 3 when it is not. */
int report_print(const struct cluster_options *options, bool as_json);
