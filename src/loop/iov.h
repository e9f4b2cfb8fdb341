/* iov.h - what is left of an iovec array after a short transfer; private to src/loop. */
#pragma once
#include "base/cleanup.h"
#include <stdbool.h>
#include <sys/uio.h>

/* How many pieces one system call gets at most. */
enum { IOV_WINDOW = 64 };

/* Position in a borrowed array: piece @at, @skip bytes into it. */
struct iov_cursor {
    const struct iovec *iov;
    int count, at;
    size_t skip;
    struct iovec window[IOV_WINDOW];
};

static inline struct iov_cursor *iov_cursor_init(struct iov_cursor *c, const struct iovec *iov,
                                                 int count)
{
    c->iov = iov;
    c->count = count;
    c->at = 0;
    c->skip = 0;
    return c;
}

/* Passes over @size bytes and over empty pieces after them. */
static inline void iov_cursor_advance(struct iov_cursor *c, size_t size)
{
    while (c->at < c->count) {
        size_t left = c->iov[c->at].iov_len - c->skip;
        if (size < left) {
            c->skip += size;
            return;
        }
        size -= left;
        c->at++;
        c->skip = 0;
    }
}

static inline bool iov_cursor_at_end(const struct iov_cursor *c)
{
    return c->at == c->count;
}

/* The next pieces, at most IOV_WINDOW; the caller's own array while nothing was skipped inside a
 * piece. */
static inline int iov_cursor_window(struct iov_cursor *c, const struct iovec **ret)
{
    int n = MIN_OF(c->count - c->at, (int)IOV_WINDOW);
    *ret = c->iov + c->at;
    if (c->skip == 0 || n == 0) return n;
    for (int i = 0; i < n; i++) {
        c->window[i] = c->iov[c->at + i];
    }
    c->window[0].iov_base = (char *)c->window[0].iov_base + c->skip;
    c->window[0].iov_len -= c->skip;
    *ret = c->window;
    return n;
}
