/* history_file.c - reading, appending, and cutting down when it is read. */
#include "admin/history_file.h"

#include "cluster/token.h"
#include "loop/file.h"

enum { FILE_BYTES_MAX = 4 << 20 };

static bool has_token(const char *line)
{
    uint32_t uid;
    uint64_t random;
    size_t size = strlen(line);
    for (size_t at = 0; at + TOKEN_TEXT_SIZE <= size; at++)
        if (token_parse(bytes_of(line + at, TOKEN_TEXT_SIZE), &uid, &random) >= 0) return true;
    return false;
}

static int make_directories(struct node *node, const char *path)
{
    cleanup_(freep) char *part = xstrdup(path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int r = path_exists(node, part) ? 0 : dir_make(node, part, 0700);
        if (r < 0) return r;
        *p = '/';
    }
    return 0;
}

/* Written anew, so that it does not grow for ever and only its owner may read it. */
static int write_lines(struct node *node, const char *path, const struct history_lines *lines)
{
    cleanup_arena_ struct arena arena = { 0 };
    size_t size = 0;
    for (uint32_t i = 0; i < lines->count; i++)
        size += strlen(lines->items[i]) + 1;
    char *text = arena_alloc(&arena, size + 1), *p = text;
    for (uint32_t i = 0; i < lines->count; i++) {
        size_t line = strlen(lines->items[i]);
        memcpy(p, lines->items[i], line);
        p[line] = '\n';
        p += line + 1;
    }
    return file_replace(node, path, text, size, 0600);
}

int history_load(struct node *node, const char *path, struct arena *arena,
                 struct history_lines *ret)
{
    cleanup_(freep) char *text = NULL;
    size_t size = 0;
    int r = make_directories(node, path);
    if (r < 0) return r;
    *ret = (struct history_lines){ 0 };
    if (!path_exists(node, path)) return 0;
    r = file_read_all(node, path, FILE_BYTES_MAX, &text, &size);
    if (r < 0) return r;
    uint32_t count = 0, skipped;
    for (size_t i = 0; i < size; i++)
        count += text[i] == '\n';
    skipped = count > HISTORY_LINE_COUNT ? count - HISTORY_LINE_COUNT : 0;
    ret->items = arena_array(arena, char *, count - skipped);
    for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        if (skipped > 0)
            skipped--;
        else if (*p && ret->count < HISTORY_LINE_COUNT)
            ret->items[ret->count++] = arena_printf(arena, "%s", p);
    }
    return write_lines(node, path, ret);
}

int history_add(struct node *node, const char *path, const char *line)
{
    cleanup_(file_closep) struct file *file = NULL;
    cleanup_arena_ struct arena arena = { 0 };
    uint64_t end = 0;
    if (has_token(line)) return 0;
    const char *text = arena_printf(&arena, "%s\n", line);
    int r = file_open(node, path, O_RDWR | O_CREAT, 0600, &file);
    if (r >= 0) r = file_size(file, &end);
    return r < 0 ? r : file_write(file, text, strlen(text), end);
}
