/* progress.c - one line of a terminal, written over. */
#include "admin/progress.h"

#include <unistd.h>

enum { BAR_CELLS = 30 };

void progress_begin(struct progress *p, struct admin *a, const char *what, const char *unit,
                    uint64_t total)
{
    *p = (struct progress){ .admin = a,
                            .what = what,
                            .unit = unit,
                            .total = total,
                            .next_ns = node_now_ns(a->node) + a->settings->progress_after_ns,
                            .is_terminal = isatty(STDERR_FILENO) && !a->printer.is_json };
}

void progress_show(struct progress *p, uint64_t done)
{
    if (!p->is_terminal) return;
    uint64_t now_ns = node_now_ns(p->admin->node);
    if (now_ns < p->next_ns) return;
    p->next_ns = now_ns + 200 * MSEC;
    p->is_shown = true;
    if (p->total == 0) {
        fprintf(stderr, "\r%s: %llu %s\x1b[K", p->what, (unsigned long long)done, p->unit);
        return;
    }
    double part = (double)MIN_OF(done, p->total) / (double)p->total;
    int cells = (int)(part * BAR_CELLS);
    fprintf(stderr, "\r%s [%.*s%*s] %3.0f %%, %llu of %llu %s\x1b[K", p->what, cells,
            "##############################", BAR_CELLS - cells, "", part * 100,
            (unsigned long long)done, (unsigned long long)p->total, p->unit);
}

void progress_hide(struct progress *p)
{
    if (p->is_shown) fputs("\r\x1b[K", stderr);
    p->is_shown = false;
}

void progress_end(struct progress *p)
{
    progress_hide(p);
    p->is_terminal = false;
}
