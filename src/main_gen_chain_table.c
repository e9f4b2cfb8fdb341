/* main_gen_chain_table.c - gen_chain_table: chains, a chain table and the commands that make their
 * targets, from a matrix of data_placement. Flags and files are those of 3FS's tool of that name.
 */
#include "main_placement.h"

#include "main_tool.h"
#include "placement/chain_table.h"
#include "placement/incidence.h"
#include <stdio.h>

static const char tool[] = "gen_chain_table";

static const struct argument_spec spec[] = {
    { "--chain_table_type", "-type", ARG_TEXT, true, "CR or EC" },
    { "--node_id_begin", "-b", ARG_U32, true, "the first storage node" },
    { "--node_id_end", "-e", ARG_U32, true, "the last one" },
    { "--num_disks_per_node", "-d", ARG_U32, true, "" },
    { "--num_targets_per_disk", "-r", ARG_U32, true, "as in the matrix" },
    { "--target_id_prefix", "-tp", ARG_U64, false, "10" },
    { "--chain_id_prefix", "-cp", ARG_U64, false, "10" },
    { "--chunk_size", "-cs", ARG_U64S, false, "chunk sizes of the targets, in bytes" },
    { "--incidence_matrix_path", "-mat", ARG_TEXT, true, "what data_placement has saved" },
    { "--output", "-o,--output_path", ARG_TEXT, false, "output" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run(struct arena *arena, const struct arguments *args)
{
    const char *path = argument_text(args, "--incidence_matrix_path", "");
    const char *out = argument_text(args, "--output", "output"), *error = NULL;
    const char *type = argument_text(args, "--chain_table_type", "");
    struct chain_table_options o = {
        .is_ec = strcmp(type, "EC") == 0,
        .node_id_begin = (uint32_t)argument_number(args, "--node_id_begin", 0),
        .node_id_end = (uint32_t)argument_number(args, "--node_id_end", 0),
        .disks_per_node = (uint32_t)argument_number(args, "--num_disks_per_node", 0),
        .targets_per_disk = (uint32_t)argument_number(args, "--num_targets_per_disk", 0),
        .target_id_prefix = argument_number(args, "--target_id_prefix", 10),
        .chain_id_prefix = argument_number(args, "--chain_id_prefix", 10),
        .chunk_sizes = argument(args, "--chunk_size")->numbers,
        .chunk_size_count = argument(args, "--chunk_size")->count,
    };
    struct bytes text;
    struct design d;
    struct chain_table_files files;
    if (!o.is_ec && strcmp(type, "CR") != 0)
        return tool_fail(tool, "--chain_table_type must be CR or EC, not '%s'", type);
    int r = tool_read(arena, tool, path, &text);
    if (r) return r;
    if (incidence_parse(arena, text, &d, &error) < 0) return tool_fail(tool, "%s: %s", path, error);
    design_sort_groups(&d);
    error = design_verify(&d, arena);
    if (error) return tool_fail(tool, "%s: %s", path, error);
    if (chain_table_make(arena, &d, &o, &files, &error) < 0) return tool_fail(tool, "%s", error);
    r = tool_write(arena, tool, out, "create_target_cmd.txt", files.create_targets);
    if (!r) r = tool_write(arena, tool, out, "remove_target_cmd.txt", files.remove_targets);
    if (!r) r = tool_write(arena, tool, out, "generated_chains.csv", files.chains);
    if (!r) r = tool_write(arena, tool, out, "generated_chain_table.csv", files.table);
    if (r) return r;
    printf("%u targets, %u chains: %s/create_target_cmd.txt, remove_target_cmd.txt, "
           "generated_chains.csv, generated_chain_table.csv\n",
           files.target_count, files.chain_count, out);
    return 0;
}

int gen_chain_table_main(int argc, char *const *argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(
        &arena, tool, "gen_chain_table - chains and targets from a matrix of data_placement",
        "example:\n  gen_chain_table --chain_table_type CR --node_id_begin 1001 --node_id_end 1005 "
        "--num_disks_per_node 1 \\\n    --num_targets_per_disk 6 --target_id_prefix 1 "
        "--chain_id_prefix 9 \\\n    --incidence_matrix_path "
        "output/DataPlacementModel-.../incidence_matrix.pickle\n",
        spec, argc, argv, &args);
    return r >= 0 ? r : run(&arena, &args);
}
