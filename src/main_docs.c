/* main_docs.c - every setting of every role as Markdown. tests/docs compares it with
 * docs/configuration.md, so that the document cannot be older than the tables.
 */
#include "main_docs.h"

#include "admin/admin.h"
#include "config/reference.h"
#include "main_table.h"
#include "main_tool.h"
#include "supervisor/options.h"
#include <stdio.h>

static const char tool[] = "c3fs config-docs";

static const char intro[] =
    "# Configuration\n"
    "\n"
    "Made by `c3fs config-docs > docs/configuration.md`; a test compares the two.\n"
    "\n"
    "A role reads one TOML file, with what an operator sets and nothing else: "
    "`c3fs storage --cfg FILE`. Later sources win: default,\n"
    "variable `C3FS_A_B_C`, file, `--config.a.b.c=VALUE` (or `--config.a.b.c VALUE`). "
    "`--check` says whether all of it is valid, `--print-config` shows\n"
    "every setting as a file. A key that nobody knows, or a value of the wrong kind, is refused "
    "with its line, its column and the nearest valid\n"
    "name; nothing starts. The variables of a container are in docs/containers.md.\n"
    "\n"
    "*Changes*: `at once` also while the service runs (`set-config`, `hot-update-config`); "
    "`after a restart`; `of one node`: never part of a\n"
    "template, the configuration that all services of a type share.\n";

static const char reference_intro[] =
    "\n## Files of 3FS\n"
    "`--app_cfg FILE`, `--launcher_cfg FILE` (one or two dashes, `_` or `-`) and keys of 3FS's "
    "`*_main.toml` are accepted by every role and merged\n"
    "with `--cfg`; two files that contradict each other are refused. What has no meaning here is "
    "ignored with one line at start, what nobody\n"
    "knows is refused. `--app_config.K=V` and `--launcher_config.K=V` are `--config.K=V`. Of "
    "`server.base.groups` the port of the first group\n"
    "that is not Core's is taken: a service here listens at one port.\n"
    "\n"
    "Options of 3FS's services, with one or two dashes, `_` or `-`: `--dump_cfg` is "
    "`--print-config`; `--dump_default_cfg`, `--dump_default_app_cfg` and\n"
    "`--dump_default_launcher_cfg` show the defaults of all settings; with `--use_local_cfg` a "
    "configuration that is pushed is refused with\n"
    "`CannotPushConfig` (settings may still be changed by hand); `--cfg_persist_prefix P` writes "
    "the settings, without secrets, to\n"
    "`P_YYYYMMDD_HHMMSS_uuuuuu` at the start and at each change; `--release_version` shows the "
    "version. The admin tool has `--dump_cfg`,\n"
    "`--dump_default_cfg`, `--dump_path FILE` and `--release_version`.\n"
    "\n| key of 3FS | here |\n|---|---|\n";

static void print_table(const char *title, const char *what, const char *rows)
{
    printf("\n## %s\n%s\n\n| key | kind | default | changes | meaning |\n|---|---|---|---|---|\n%s",
           title, what, rows);
}

static void print_roles(struct arena *arena)
{
    for (const struct role *role = role_table; role->name; role++) {
        print_table(role->name, arena_printf(arena, "`c3fs %s`: %s.", role->name, role->help),
                    settings_to_markdown(role->settings, arena));
    }
    const struct role *any = role_table;
    size_t own = 0;
    while (any->settings[own].key)
        own++;
    print_table("All of these", "Each role also has:",
                settings_to_markdown(role_settings(any, arena) + own, arena));
}

int config_docs_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = { { NULL, NULL, ARG_FLAG, false, NULL } };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, tool, "c3fs config-docs - all settings as Markdown",
                           "example:\n  c3fs config-docs > docs/configuration.md\n", spec, argc,
                           argv, &args);
    if (r >= 0) return r;
    fputs(intro, stdout);
    print_roles(&arena);
    print_table("admin", "`c3fs admin`, `admin_cli`: the tool's own file, `admin_cli.toml`.",
                settings_to_markdown(admin_settings_table, &arena));
    print_table("up",
                "`c3fs up`: each is a flag, with `-` for `_`; DIR/cluster.toml keeps them. "
                "`after a restart` is of the cluster for good.",
                settings_to_markdown(cluster_settings_table, &arena));
    fputs(reference_intro, stdout);
    fputs(reference_to_markdown(&arena), stdout);
    return fflush(stdout) == 0 ? 0 : tool_fail(tool, "cannot write");
}
