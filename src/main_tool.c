/* main_tool.c - what the small tools of the command line share. */
#include "main_tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

int tool_fail(const char *name, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return TOOL_EXIT_FAILED;
}

static void print_help(const char *name, const char *intro, const char *examples,
                       const struct argument_spec *spec)
{
    printf("%s\n\nusage: %s [OPTION VALUE]...\n\n", intro, name);
    for (const struct argument_spec *s = spec; s->name; s++) {
        char names[96];
        snprintf(names, sizeof names, "%s%s%s", s->name, s->alias ? ", " : "", s->alias ?: "");
        printf("  %-44s %s\n", names, s->help);
    }
    printf("\n%s", examples);
}

int tool_arguments(struct arena *arena, const char *name, const char *intro, const char *examples,
                   const struct argument_spec *spec, int argc, char *const *argv,
                   struct arguments *ret)
{
    const char *error = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        print_help(name, intro, examples, spec);
        return 0;
    }
    if (arguments_parse(arena, spec, argv + 1, (uint32_t)argc - 1, ret, &error) >= 0) return -1;
    fprintf(stderr, "%s: %s; %s --help explains\n", name, error, name);
    return TOOL_EXIT_USAGE;
}

int tool_read(struct arena *arena, const char *name, const char *path, struct bytes *ret)
{
    enum { FILE_BYTES_MAX = 64 << 20 };
    FILE *f = fopen(path, "re");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) {
        int eno = errno;
        if (f) fclose(f);
        return tool_fail(name, "cannot read %s: %s", path, strerrordesc_np(eno));
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
        fclose(f);
        return tool_fail(name, "cannot read %s: it is no file, or larger than 64 MiB", path);
    }
    char *text = arena_alloc(arena, (size_t)st.st_size + 1);
    size_t size = fread(text, 1, (size_t)st.st_size, f);
    fclose(f);
    *ret = bytes_of(text, size);
    return 0;
}

static int make_directories(struct arena *arena, const char *dir)
{
    char *path = arena_printf(arena, "%s", dir);
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST) return -1;
        *at = '/';
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

int tool_write(struct arena *arena, const char *name, const char *dir, const char *file,
               const char *text)
{
    if (make_directories(arena, dir) < 0)
        return tool_fail(name, "cannot make the directory %s: %s", dir, strerrordesc_np(errno));
    const char *path = arena_printf(arena, "%s/%s", dir, file);
    const char *fresh = arena_printf(arena, "%s.new", path);
    FILE *f = fopen(fresh, "we");
    bool is_good = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0) is_good = false;
    if (is_good && rename(fresh, path) == 0) return 0;
    int eno = errno;
    remove(fresh);
    return tool_fail(name, "cannot write %s: %s", path, strerrordesc_np(eno));
}
