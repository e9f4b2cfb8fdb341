/* complete_test.c - what the tab key adds, over a table of lines and a directory that is made up.
 */
#include "admin/complete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const entries[] = { "alpha/", "alpine",   "beta gamma", "beta;delta",
                                       "it's",   "\xc3\xa4", "\xc3\xb6",   NULL };

static void list_entries(void *arg, struct arena *arena, const char *dir, const char *start,
                         struct complete_names *ret)
{
    const char **ret_dir = arg;
    *ret_dir = arena_printf(arena, "%s", dir);
    if (!strcmp(dir, "/none/")) return;
    for (int i = 0; entries[i]; i++)
        if (!strncmp(entries[i], start, strlen(start))) ret->items[ret->count++] = entries[i];
}

static void test_table(void **state)
{
    static const struct {
        const char *line, *insert;
        uint32_t shown;
        const char *dir; /* that was listed; NULL: none */
    } rows[] = {
        { "mkd", "ir ", 0, NULL },
        { "ls /; mkd", "ir ", 0, NULL },
        { "list-cl", "ients ", 0, NULL },
        { "list-ch", "ain", 2, NULL }, /* list-chains, list-chain-tables */
        { "nosuch", "", 0, NULL },
        { "nosuch /al", "", 0, NULL },
        { "help mkd", "ir ", 0, NULL },
        { "help mkdir x", "", 0, NULL },
        { "# mkd", "", 0, NULL },
        { "mkdir --rec", "ursive ", 0, NULL },
        { "mkdir --ch", "", 4, NULL }, /* --chain-..., --chunk-size */
        { "mkdir --chu", "nk-size ", 0, NULL },
        { "ls --js", "on ", 0, NULL },
        { "init-cluster --mgmtd-c", "onfig-path ", 0, NULL },
        { "mkdir --nosuch", "", 0, NULL },
        { "ls al", "p", 2, "" },
        { "ls alph", "a/", 0, "" },
        { "ls /d/alpi", "ne ", 0, "/d/" },
        { "ls /none/a", "", 0, "/none/" },
        { "ls beta", "", 2, "" },
        { "ls beta\\ ", "gamma ", 0, "" },
        { "ls 'beta ", "gamma' ", 0, "" },
        { "ls \"beta;", "delta\" ", 0, "" },
        { "ls beta\\;", "delta ", 0, "" },
        { "ls i", "t\\'s ", 0, "" },
        { "ls 'i", "t", 0, "" },
        { "ls x\\", "", 0, NULL },
        { "ls \xc3\xa4", " ", 0, "" },
        { "ls a b al", "", 0, NULL },             /* no third argument */
        { "checksum a b alpi", "ne ", 0, "" },    /* any number */
        { "mkdir --chunk-size al", "", 0, NULL }, /* a size, no path */
        { "mkdir --chunk-size 1MB alpi", "ne ", 0, "" },
        { "mkdir --recursive alpi", "ne ", 0, "" },
        { "mv a alpi", "ne ", 0, "" },
        { "drain 10", "", 0, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        struct completion got;
        const char *dir = NULL;
        complete_line(&arena, rows[i].line, list_entries, &dir, &got);
        if (strcmp(got.insert, rows[i].insert) != 0 || got.shown.count != rows[i].shown)
            fail_msg("'%s' gives '%s', %u shown", rows[i].line, got.insert, got.shown.count);
        if (!dir != !rows[i].dir || (dir && strcmp(dir, rows[i].dir) != 0))
            fail_msg("'%s' lists %s", rows[i].line, dir ?: "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
