/* base.h - the durable sorted base of the embedded store: pairs at one version, changed in large
 * atomic steps.
 *
 * base_lmdb.c is the one; tests of the layers above put one of their own in its place. Reading
 * never suspends: it is memory (a page that is not resident costs a read of the disk). A reader
 * sees the version at which it was opened until it is closed. Keys that begin with 0xff are the
 * base's own and are never shown.
 */
#pragma once
#include "kv/kv.h"

struct base;
struct base_reader;

struct base_change {
    struct bytes key, value;
    bool is_clear;
};

struct base_options {
    const char *dir;
    uint64_t map_bytes;
};

/* @dir exists. -ERR_NOT_SUPPORTED: not a local file system. -ERR_FORMAT_TOO_NEW,
 * -ERR_DATA_CORRUPTION, or a system code. Nobody else may have it open. */
int base_open(struct node *node, const struct base_options *options,
              struct base **ret) fiber_fn must_check;
struct base *base_close(struct base *base); /* no reader is left; NULL is fine; returns NULL */
CLEANUP_FUNC(struct base *, base_close)
/* Of the last step that was applied. */
uint64_t base_version(const struct base *base);

int base_reader_open(struct base *base, struct base_reader **ret) must_check;
struct base_reader *base_reader_close(struct base_reader *reader); /* NULL is fine; returns NULL */
/* 1 and the pair (borrowed from the base until the reader is closed), 0 when there is none, or an
 * error. */
int base_get(struct base_reader *reader, struct bytes key, struct bytes *ret) must_check;
/* The first pair at or behind @key, or the last before it; then the next in the same direction. */
int base_seek(struct base_reader *reader, struct bytes key, bool is_reverse,
              struct kv_pair *ret) must_check;
int base_step(struct base_reader *reader, bool is_reverse, struct kv_pair *ret) must_check;

/* Durable when it returns 0; nothing of it has happened on an error. @changes are sorted by key,
 * each key once, lent until the call returns; it is not interrupted. -ERR_KV_FULL: no room in the
 * map or on the disk. */
int base_apply(struct base *base, const struct base_change *changes, size_t count,
               uint64_t version) fiber_fn must_check;
/* Would changes of so many keys and bytes surely find room? */
bool base_has_room(const struct base *base, uint64_t key_count, uint64_t bytes);
