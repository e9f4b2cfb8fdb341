/* toml_print.c - values back to text: one line "a.b.c = value" for each leaf, tables inside arrays
 * inline.
 *
 * The walk keeps its way down on a stack of steps, as deep as the parser lets a tree be.
 */
#include "config/toml.h"

#include "base/check.h"
#include <math.h>
#include <stdio.h>

enum { STEP_COUNT_MAX = TOML_DEPTH_MAX + 1 };

struct step {
    const struct toml_value *container;
    uint32_t next;  /* item */
    bool is_inline; /* printed with brackets; else its leaves are lines of their own */
};

struct print {
    FILE *out;
    uint32_t depth;
    struct step steps[STEP_COUNT_MAX];
};

static void print_string(FILE *out, struct bytes text)
{
    static const char escapes[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
    };
    fputc('"', out);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.base[i];
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < sizeof escapes && escapes[c]) {
            fprintf(out, "\\%c", escapes[c]);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(out, "\\u%04X", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void print_key(FILE *out, struct bytes key)
{
    bool is_bare = key.size > 0;
    for (size_t i = 0; i < key.size; i++) {
        uint8_t c = key.base[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        is_bare &= is_letter || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    if (is_bare) {
        fwrite(key.base, 1, key.size, out);
    } else {
        print_string(out, key);
    }
}

/* The shortest text that reads back as the same number, and as a float. */
static void print_float(FILE *out, double real)
{
    char text[64];
    if (isnan(real) || isinf(real)) {
        fprintf(out, "%s%s", signbit(real) ? "-" : "", isnan(real) ? "nan" : "inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real) break;
    }
    fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void print_scalar(FILE *out, const struct toml_value *value)
{
    switch (value->kind) {
    case TOML_STRING: print_string(out, value->text); break;
    case TOML_INTEGER: fprintf(out, "%lld", (long long)value->integer); break;
    case TOML_FLOAT: print_float(out, value->real); break;
    case TOML_BOOLEAN: fputs(value->boolean ? "true" : "false", out); break;
    default: fwrite(value->text.base, 1, value->text.size, out); break;
    }
}

static void step_into(struct print *p, const struct toml_value *container, bool is_inline)
{
    check(p->depth < STEP_COUNT_MAX);
    p->steps[p->depth++] = (struct step){ .container = container, .is_inline = is_inline };
    if (is_inline) fputs(container->kind == TOML_TABLE ? "{" : "[", p->out);
}

static void step_out(struct print *p)
{
    struct step *step = &p->steps[--p->depth];
    if (!step->is_inline) return;
    fputs(step->container->kind == TOML_TABLE ? "}" : "]", p->out);
    if (p->depth > 0 && !p->steps[p->depth - 1].is_inline) fputc('\n', p->out);
}

/* "a.b.c = " of a leaf that is a line of its own. */
static void print_path(struct print *p)
{
    for (uint32_t i = 0; i < p->depth; i++) {
        struct step *step = &p->steps[i];
        if (i > 0) fputc('.', p->out);
        print_key(p->out, step->container->items[step->next - 1].key);
    }
    fputs(" = ", p->out);
}

static void print_item(struct print *p)
{
    struct step *step = &p->steps[p->depth - 1];
    const struct toml_item *item = &step->container->items[step->next++];
    bool is_container = item->value.kind == TOML_TABLE || item->value.kind == TOML_ARRAY;
    bool is_inline =
        step->is_inline || item->value.kind == TOML_ARRAY || item->value.item_count == 0;
    if (is_container && !is_inline) {
        step_into(p, &item->value, false);
        return;
    }
    if (step->is_inline) {
        if (step->next > 1) fputs(", ", p->out);
        if (step->container->kind == TOML_TABLE) {
            print_key(p->out, item->key);
            fputs(" = ", p->out);
        }
    } else {
        print_path(p);
    }
    if (is_container) {
        step_into(p, &item->value, true);
        return;
    }
    print_scalar(p->out, &item->value);
    if (!step->is_inline) fputc('\n', p->out);
}

char *toml_to_text(struct arena *arena, const struct toml_value *value)
{
    char *text = NULL;
    size_t size = 0;
    struct print p = { .out = open_memstream(&text, &size) };
    check(p.out);
    if (value->kind == TOML_TABLE || value->kind == TOML_ARRAY) {
        step_into(&p, value, value->kind == TOML_ARRAY);
    } else {
        print_scalar(p.out, value);
    }
    while (p.depth > 0) {
        struct step *step = &p.steps[p.depth - 1];
        if (step->next < step->container->item_count) {
            print_item(&p);
        } else {
            step_out(&p);
        }
    }
    check(fclose(p.out) == 0);
    char *copy = arena_text(arena, bytes_of(text, size));
    free(text);
    return copy;
}
