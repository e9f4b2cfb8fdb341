/* prompt.c - lines that are typed: prompt, completion, history.
 *
 * libedit runs on the fiber; it waits for a key through the loop, so that the connections go on
 * living meanwhile, and completion may call servers. Standard input is not buffered: what is typed
 * ahead is left to whoever reads next.
 */
#include "admin/admin.h"

#include "admin/complete.h"
#include "admin/history_file.h"
#include "loop/loop.h"
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <wchar.h>

#define COMPLETE_NS (3 * SEC)
enum { SHOWN_COUNT_MAX = 200, CHARACTER_BYTES_MAX = 8, TERMINAL = 0 };

static char *prompt(EditLine *edit)
{
    struct admin *a = NULL;
    el_get(edit, EL_CLIENTDATA, &a);
    return arena_printf(&a->arena, "%s > ", a->cwd);
}

/* One character, of as many bytes as it has: 1, 0 at the end, -1. */
static int get_character(EditLine *edit, wchar_t *ret)
{
    struct admin *a = NULL;
    mbstate_t state = { 0 };
    el_get(edit, EL_CLIENTDATA, &a);
    for (int i = 0; i < CHARACTER_BYTES_MAX; i++) {
        if (fd_wait(a->node, TERMINAL, POLLIN) < 0) return -1;
        int c = getc(stdin);
        if (c == EOF) return 0;
        char byte = (char)c;
        size_t n = mbrtowc(ret, &byte, 1, &state);
        if (n != (size_t)-2) return n == (size_t)-1 ? -1 : 1;
    }
    return -1;
}

/* ---- completion ---- */

/* The names of one page that begin with @start. False when no more can come. */
static bool take_names(struct arena *arena, const struct list_reply *rep, const char *start,
                       struct complete_names *ret)
{
    struct bytes prefix = bytes_of_text(start);
    for (uint32_t i = 0; i < rep->entries.count && ret->count < COMPLETE_COUNT_MAX; i++) {
        const struct dentry *e = &rep->entries.items[i];
        bool is_directory = (e->mode & 0170000) == 0040000;
        if (bytes_has_prefix(e->name, prefix))
            ret->items[ret->count++] =
                arena_printf(arena, "%.*s%s", (int)e->name.size, (const char *)e->name.base,
                             is_directory ? "/" : "");
        else if (bytes_compare(e->name, prefix) > 0)
            return false;
    }
    return rep->more && rep->entries.count > 0 && ret->count < COMPLETE_COUNT_MAX;
}

/* The greatest name before those that begin with @start, or nearly so. */
static struct bytes just_before(struct arena *arena, const char *start)
{
    size_t size = strlen(start);
    if (size == 0) return bytes_of_text("");
    char *name = arena_printf(arena, "%s\xff", start);
    name[size - 1] = (char)(name[size - 1] - 1);
    return bytes_of(name, name[size - 1] ? size + 1 : size - 1);
}

static int list_directory(struct admin *a, struct arena *arena, const char *dir, const char *start,
                          struct complete_names *ret)
{
    struct inode inode;
    struct list_request q = { .after = just_before(arena, start) };
    struct list_reply rep;
    int r = admin_need_meta(a);
    if (r < 0) return r;
    r = meta_walk(a->meta, &a->user, arena, admin_path(a, dir[0] ? dir : "."), true, &inode);
    q.parent = inode.id;
    do {
        rep = (struct list_reply){ 0 };
        const char *why = NULL;
        if (r < 0) return r;
        admin_meta_base(a, &q.base);
        r = meta_call(a->meta, RPC_METHOD(meta, list), arena, &q, &rep, &why);
        if (rep.entries.count) q.after = rep.entries.items[rep.entries.count - 1].name;
    } while (r >= 0 && take_names(arena, &rep, start, ret));
    return r;
}

/* A failure is no candidate, and says nothing: its text would stand in the line that is typed. */
static void list_quietly(void *arg, struct arena *arena, const char *dir, const char *start,
                         struct complete_names *ret)
{
    struct admin *a = arg;
    FILE *out = a->printer.out;
    char *said = NULL;
    size_t size = 0;
    FIBER_TIMEOUT(COMPLETE_NS);
    a->printer.out = open_memstream(&said, &size);
    int r = a->printer.out ? list_directory(a, arena, dir, start, ret) : -ERR_BUSY;
    if (r < 0) ret->count = 0;
    if (a->printer.out) fclose(a->printer.out);
    a->printer.out = out;
    free(said);
}

static void show_names(const struct complete_names *names)
{
    putchar('\n');
    for (uint32_t i = 0; i < names->count && i < SHOWN_COUNT_MAX; i++)
        printf("%s  ", names->items[i]);
    if (names->count > SHOWN_COUNT_MAX) printf("... (%u)", names->count);
    putchar('\n');
    fflush(stdout);
}

static unsigned char complete(EditLine *edit, int ch)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct admin *a = NULL;
    struct completion found;
    el_get(edit, EL_CLIENTDATA, &a);
    const LineInfo *info = el_line(edit);
    const char *line =
        arena_text(&arena, bytes_of(info->buffer, (size_t)(info->cursor - info->buffer)));
    complete_line(&arena, line, list_quietly, a, &found);
    if (found.insert[0]) return el_insertstr(edit, found.insert) == 0 ? CC_REFRESH : CC_ERROR;
    if (found.shown.count == 0) return CC_ERROR;
    show_names(&found.shown);
    return CC_REDISPLAY;
}

/* ---- history ---- */

static void load_history(struct admin *a, History *past)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct history_lines lines = { 0 };
    HistEvent event;
    char code[64];
    if (!a->history_path) return;
    int r = history_load(a->node, a->history_path, &arena, &lines);
    if (r < 0) {
        fprintf(stderr, "what is typed is not kept: %s: %s\n", a->history_path,
                error_to_text(r, code, sizeof code));
        a->history_path = NULL;
    }
    for (uint32_t i = 0; i < lines.count; i++)
        history(past, &event, H_ENTER, lines.items[i]);
}

static void keep_line(struct admin *a, History *past, const char *line)
{
    HistEvent event;
    if (!line[strspn(line, " \t")]) return;
    history(past, &event, H_ENTER, line);
    if (a->history_path && history_add(a->node, a->history_path, line) < 0) a->history_path = NULL;
}

/* ---- the shell ---- */

/* The terminal is raw before the prompt shows: el_gets() prints first, and an end of input typed in
 * between would be lost. */
static const char *read_line(EditLine *edit, int *ret_size)
{
    el_set(edit, EL_PREP_TERM, 1);
    return el_gets(edit, ret_size);
}

int admin_run_shell(struct admin *a)
{
    HistEvent event;
    int size = 0;
    setlocale(LC_CTYPE, "C.UTF-8"); /* names are bytes; what is typed is UTF-8 */
    setvbuf(stdin, NULL, _IONBF, 0);
    History *past = history_init();
    EditLine *edit = el_init("admin_cli", stdin, stdout, stderr);
    history(past, &event, H_SETSIZE, HISTORY_LINE_COUNT);
    el_set(edit, EL_CLIENTDATA, a);
    el_set(edit, EL_PROMPT, prompt);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_SIGNAL, 1);
    el_set(edit, EL_HIST, history, past);
    el_set(edit, EL_GETCFN, get_character);
    el_set(edit, EL_ADDFN, "complete", "completes commands, options and paths", complete);
    el_set(edit, EL_BIND, "^I", "complete", NULL);
    load_history(a, past);
    a->is_interactive = true;
    for (const char *typed; (typed = read_line(edit, &size));) {
        cleanup_(freep) char *line = xstrdup(typed);
        line[strcspn(line, "\r\n")] = 0;
        keep_line(a, past, line);
        admin_run_line(a, line);
    }
    el_end(edit);
    history_end(past);
    return 0;
}
