/* commands.h - the groups of commands, each in a file of its own. */
#pragma once
#include "admin/admin.h"

extern const struct command_spec cluster_commands[];
extern const struct command_spec routing_commands[];
extern const struct command_spec target_commands[];
extern const struct command_spec file_commands[];
extern const struct command_spec data_commands[];
