/* commands.c - all commands of the admin tool. */
#include "admin/commands.h"

/* clang-format off */
const struct command_spec *const command_groups[] = {
    cluster_commands,
    bootstrap_commands,
    status_commands,
    drain_commands,
    event_commands,
    top_commands,
    config_commands,
    live_config_commands,
    user_commands,
    node_commands,
    chain_commands,
    chain_file_commands,
    target_commands,
    chunk_commands,
    file_commands,
    stat_commands,
    data_commands,
    checksum_commands,
    fault_commands,
    meta_commands,
    fsck_commands,
    tree_commands,
    fill_commands,
    bench_commands,
    read_bench_commands,
    NULL,
};
/* clang-format on */
