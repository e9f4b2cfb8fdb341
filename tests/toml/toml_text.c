/* toml_text.c - documents from standard input, each a line with its size in bytes and then the
 * document; for each the same line and toml_to_text() of it, or "-1" and nothing when it is
 * refused. For compare.py.
 */
#include "config/toml.h"

#include <stdio.h>

enum { DOCUMENT_BYTES_MAX = 1 << 16 };

static bool read_document(char *text, size_t *ret_size)
{
    char line[32], *end;
    if (!fgets(line, sizeof line, stdin)) return false;
    size_t size = strtoul(line, &end, 10);
    if (size > DOCUMENT_BYTES_MAX || *end != '\n') return false;
    *ret_size = size;
    return fread(text, 1, size, stdin) == size;
}

int main(void)
{
    static const char *const refused = "-1\n";
    char *text = malloc(DOCUMENT_BYTES_MAX);
    size_t size;
    if (!text) return 1;
    while (read_document(text, &size)) {
        cleanup_arena_ struct arena arena = { 0 };
        struct toml_value root;
        const char *error = NULL;
        if (toml_parse(&arena, bytes_of(text, size), &root, &error) < 0) {
            fputs(refused, stdout);
            continue;
        }
        const char *printed = toml_to_text(&arena, &root);
        printf("%zu\n%s", strlen(printed), printed);
    }
    free(text);
    return ferror(stdin) || fflush(stdout) != 0;
}
