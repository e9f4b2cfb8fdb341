/* shell.c - running lines: one, or a script. What is typed: prompt.c. */
#include "admin/admin.h"

const struct command_spec *command_find(const char *name)
{
    for (const struct command_spec *const *group = command_groups; *group; group++)
        for (const struct command_spec *c = *group; c->name; c++)
            if (!strcmp(c->name, name)) return c;
    return NULL;
}

int command_unknown(struct admin *a, const char *name)
{
    const char *names[256];
    size_t count = 0;
    for (const struct command_spec *const *group = command_groups; *group; group++)
        for (const struct command_spec *c = *group; c->name && count < ARRAY_SIZE(names); c++)
            names[count++] = c->name;
    const char *near = nearest_name(name, names, count);
    return admin_fail(a, -ERR_INVALID_ARG, "Unknown method name: %s%s%s", name,
                      near ? "; did you mean " : "", near ?: "");
}

/* "--json" may stand anywhere in the line. */
static bool take_json(char **words, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (strcmp(words[i], "--json") != 0) continue;
        memmove(words + i, words + i + 1, (*count - i - 1) * sizeof *words);
        --*count;
        return true;
    }
    return false;
}

static int run_command(struct admin *a, const struct command_spec *c, const char *piece,
                       const struct arguments *args)
{
    /* What these say is not part of a JSON document. */
    FILE *out = a->printer.is_json ? stderr : a->printer.out;
    uint64_t begin_ns = node_now_ns(a->node);
    if (a->settings->verbose) fprintf(out, "> Execute %s\n", piece);
    FIBER_TIMEOUT(a->is_interactive ? 3600 * SEC : 24 * 3600 * SEC);
    int r = c->run(a, args);
    if (a->settings->profile)
        fprintf(out, "> Time: %.3f s\n", (double)(node_now_ns(a->node) - begin_ns) / SEC);
    return r;
}

static int run_piece(struct admin *a, const char *piece)
{
    char **words;
    uint32_t count;
    const char *error = NULL;
    int r = words_split(&a->arena, piece, &words, &count, &error);
    if (r < 0) return admin_fail(a, r, "%s", error);
    bool was_json = a->printer.is_json;
    if (take_json(words, &count)) a->printer.is_json = true;
    if (count > 0) {
        const struct command_spec *c = command_find(words[0]);
        struct arguments args;
        if (!c) {
            r = command_unknown(a, words[0]);
        } else if ((r = arguments_parse(&a->arena, c->arguments, words + 1, count - 1, &args,
                                        &error)) < 0) {
            admin_fail(a, r, "%s\nUsage: %s %s", error, c->name,
                       arguments_usage(&a->arena, c->arguments));
        } else {
            r = run_command(a, c, piece, &args);
        }
    }
    a->printer.is_json = was_json;
    return MIN_OF(r, 0);
}

int admin_run_line(struct admin *a, const char *line)
{
    char **pieces;
    uint32_t count;
    const char *error = NULL;
    arena_done(&a->arena);
    int first = words_split_pieces(&a->arena, line, &pieces, &count, &error);
    if (first < 0) return admin_fail(a, first, "%s", error);
    for (uint32_t i = 0; i < count; i++) {
        int r = run_piece(a, pieces[i]);
        if (first >= 0 && r < 0) first = r;
        if (r < 0 && a->settings->stops_at_failure) break;
    }
    fflush(a->printer.out);
    return first;
}

int admin_run_script(struct admin *a, FILE *in)
{
    cleanup_(freep) char *line = NULL;
    size_t capacity = 0;
    int first = 0;
    while (getline(&line, &capacity, in) >= 0) {
        line[strcspn(line, "\r\n")] = 0;
        int r = admin_run_line(a, line);
        if (first >= 0 && r < 0) first = r;
        if (r == -ERR_CANCELED) break;
    }
    return first;
}
