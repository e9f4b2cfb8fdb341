/* commands.c - all commands of the admin tool. */
#include "admin/commands.h"

const struct command_spec *const command_groups[] = {
    cluster_commands, routing_commands, target_commands, file_commands, data_commands, NULL,
};
