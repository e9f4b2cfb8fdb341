/* main.c - the c3fs binary: one for all roles and commands. The first argument picks one, or the
 * name that the binary was called by.
 *
 * Exit status: 0, 1 after a failure, 2 for a command line that is wrong.
 */
#include "main_table.h"

#include <stdio.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, CHOICE_COUNT_MAX = 64, VARIABLE_COUNT_MAX = 1024 };

static int print_usage(FILE *out)
{
    fputs("c3fs - a distributed file system for training data, checkpoints and model weights\n\n"
          "usage: c3fs COMMAND [ARGUMENT]...\n\n",
          out);
    for (const struct command *c = command_table; c->name; c++) {
        fprintf(out, "  %-15s %s\n", c->name, c->help);
    }
    for (const struct role *r = role_table; r->name; r++) {
        fprintf(out, "  %-15s %s\n", r->name, r->help);
    }
    fprintf(out, "  %-15s %s\n", "version", "shows the version");
    fprintf(out, "  %-15s %s\n", "help", "shows this; c3fs COMMAND --help tells more");
    return 0;
}

/* ---- variables ---- */

/* Refuses a variable C3FS_... that no role takes: it would be silently without effect. */
static int check_environment(const char *const *environment, struct arena *arena)
{
    const char *names[VARIABLE_COUNT_MAX] = { "C3FS_ADMIN_CFG", "C3FS_HISTORY" };
    size_t count = 2;
    for (const struct role *role = role_table; role->name; role++) {
        for (const struct setting *s = role_settings(role, arena); s->key; s++) {
            if (count < VARIABLE_COUNT_MAX) names[count++] = settings_variable_name(arena, s->key);
        }
    }
    for (const char *const *e = environment; *e; e++) {
        if (strncmp(*e, "C3FS_", 5) != 0) continue;
        const char *name = arena_text(arena, bytes_of(*e, strcspn(*e, "=")));
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known |= strcmp(names[i], name) == 0;
        if (is_known) continue;
        const char *near = nearest_name(name, names, count);
        fprintf(stderr, "c3fs: unknown variable %s%s%s\n", name, near ? "; did you mean " : "",
                near ?: "");
        return -ERR_WRONG_USAGE;
    }
    return 0;
}

/* ---- the choice ---- */

static const struct role *find_role(const char *name, bool by_program)
{
    for (const struct role *r = role_table; r->name; r++) {
        const char *its = by_program ? r->program : r->name;
        if (its && strcmp(its, name) == 0) return r;
    }
    return NULL;
}

static const struct command *find_command(const char *name, bool by_program)
{
    for (const struct command *c = command_table; c->name; c++) {
        const char *its = by_program ? c->program : c->name;
        if (its && strcmp(its, name) == 0) return c;
    }
    return NULL;
}

static int fail_unknown(const char *name)
{
    const char *names[CHOICE_COUNT_MAX] = { "version", "help" };
    size_t count = 2;
    for (const struct command *c = command_table; c->name; c++)
        names[count++] = c->name;
    for (const struct role *r = role_table; r->name; r++)
        names[count++] = r->name;
    const char *near = nearest_name(name, names, count);
    fprintf(stderr, "c3fs: %d(%s): unknown command '%s'%s%s%s\n", ERR_WRONG_USAGE,
            error_name(-ERR_WRONG_USAGE), name, near ? "; did you mean '" : "", near ?: "",
            near ? "'?" : "; see c3fs help");
    return EXIT_USAGE;
}

static int run_choice(const char *name, bool by_program, int argc, char **argv)
{
    const struct command *command = find_command(name, by_program);
    if (command) return command->main(argc, argv);
    const struct role *role = find_role(name, by_program);
    if (role) return role_main(role, argc, argv, (const char *const *)environ);
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        puts("c3fs " C3FS_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return print_usage(stdout);
    }
    return fail_unknown(name);
}

int main(int argc, char **argv)
{
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    if (check_environment((const char *const *)environ, &arena) < 0) return EXIT_USAGE;
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *program = slash ? slash + 1 : argc > 0 ? argv[0] : "c3fs";
    if (find_command(program, true) || find_role(program, true)) {
        return run_choice(program, true, argc, argv);
    }
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    return run_choice(argv[1], false, argc - 1, argv + 1);
}
