/* base_fake.c - a base for tests in the simulator: a sorted array in memory, saved whole as one
 * file a step. */
#include "base/check.h"
#include "kv/base.h"
#include "loop/file.h"
#include "wire/wire.h"

#include <limits.h>

/* One version; readers share it. */
struct state {
    uint32_t ref_count;
    uint64_t version;
    struct arena arena;
    struct kv_pair *pairs;
    size_t count;
};

struct base {
    struct node *node;
    char *path;
    struct state *state;
};

struct base_reader {
    struct state *state;
    size_t at; /* of the pair that was given out */
};

static void state_put(struct state *s)
{
    if (!s || --s->ref_count > 0) return;
    arena_done(&s->arena);
    free(s);
}

static struct state *state_new(size_t count_max)
{
    struct state *s = new_zero(struct state);
    s->ref_count = 1;
    s->pairs = arena_array(&s->arena, struct kv_pair, count_max);
    return s;
}

static int load(struct base *base) fiber_fn
{
    cleanup_(freep) char *text = NULL;
    size_t size;
    base->state = state_new(0);
    if (!path_exists(base->node, base->path)) return 0;
    int r = file_read_all(base->node, base->path, 1 << 30, &text, &size);
    if (r < 0) return r;
    struct wire_in in = wire_in_of(bytes_of(text, size), NULL);
    uint32_t count = wire_get_count(&in);
    struct state *s = state_new(count);
    u64_get(&in, &s->version);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes key = { 0 }, value = { 0 };
        blob_get(&in, &key);
        blob_get(&in, &value);
        s->pairs[s->count++] =
            (struct kv_pair){ arena_copy(&s->arena, key), arena_copy(&s->arena, value) };
    }
    check(!in.failed);
    state_put(base->state);
    base->state = s;
    return 0;
}

int base_open(struct node *node, const struct base_options *options, struct base **ret)
{
    struct base *base = new_zero(struct base);
    cleanup_arena_ struct arena arena = { 0 };
    base->node = node;
    base->path = xstrdup(arena_printf(&arena, "%s/base", options->dir));
    int r = load(base);
    if (r < 0) {
        base_close(base);
        return r;
    }
    *ret = base;
    return 0;
}

struct base *base_close(struct base *base)
{
    if (!base) return NULL;
    check(base->state->ref_count == 1);
    state_put(base->state);
    free(base->path);
    free(base);
    return NULL;
}

uint64_t base_version(const struct base *base)
{
    return base->state->version;
}

int base_reader_open(struct base *base, struct base_reader **ret)
{
    struct base_reader *reader = new_zero(struct base_reader);
    reader->state = base->state;
    reader->state->ref_count++;
    *ret = reader;
    return 0;
}

struct base_reader *base_reader_close(struct base_reader *reader)
{
    if (reader) state_put(reader->state);
    free(reader);
    return NULL;
}

/* Index of the first pair at or behind @key. */
static size_t lower_bound(const struct state *s, struct bytes key)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (bytes_compare(s->pairs[mid].key, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

int base_get(struct base_reader *reader, struct bytes key, struct bytes *ret)
{
    size_t at = lower_bound(reader->state, key);
    if (at == reader->state->count || !bytes_equal(reader->state->pairs[at].key, key)) return 0;
    *ret = reader->state->pairs[at].value;
    return 1;
}

static int give(struct base_reader *reader, size_t at, struct kv_pair *ret)
{
    reader->at = at;
    if (at >= reader->state->count) return 0; /* before the first is SIZE_MAX */
    *ret = reader->state->pairs[at];
    return 1;
}

int base_seek(struct base_reader *reader, struct bytes key, bool is_reverse, struct kv_pair *ret)
{
    return give(reader, lower_bound(reader->state, key) - (is_reverse ? 1 : 0), ret);
}

int base_step(struct base_reader *reader, bool is_reverse, struct kv_pair *ret)
{
    return give(reader, is_reverse ? reader->at - 1 : reader->at + 1, ret);
}

static void add(struct state *s, struct bytes key, struct bytes value)
{
    s->pairs[s->count++] =
        (struct kv_pair){ arena_copy(&s->arena, key), arena_copy(&s->arena, value) };
}

static struct state *changed(const struct state *old, const struct base_change *changes,
                             size_t count, uint64_t version)
{
    struct state *s = state_new(old->count + count);
    s->version = version;
    size_t at = 0;
    for (size_t i = 0; i <= count; i++) {
        for (; at < old->count; at++) {
            if (i < count && bytes_compare(old->pairs[at].key, changes[i].key) >= 0) break;
            add(s, old->pairs[at].key, old->pairs[at].value);
        }
        if (i == count) break;
        check(i == 0 || bytes_compare(changes[i - 1].key, changes[i].key) < 0);
        if (at < old->count && bytes_equal(old->pairs[at].key, changes[i].key)) at++;
        if (!changes[i].is_clear) add(s, changes[i].key, changes[i].value);
    }
    return s;
}

int base_apply(struct base *base, const struct base_change *changes, size_t count, uint64_t version)
{
    struct state *s = changed(base->state, changes, count, version);
    struct wire_out out = wire_out_heap();
    wire_put_count(&out, (uint32_t)s->count);
    u64_put(&out, &version);
    for (size_t i = 0; i < s->count; i++) {
        blob_put(&out, &s->pairs[i].key);
        blob_put(&out, &s->pairs[i].value);
    }
    struct bytes data = wire_out_bytes(&out);
    int r = file_replace(base->node, base->path, data.base, data.size, 0600);
    wire_out_free(&out);
    if (r < 0) {
        state_put(s);
        return r;
    }
    state_put(base->state);
    base->state = s;
    return 0;
}

bool base_has_room(const struct base *base, uint64_t key_count, uint64_t bytes)
{
    return true;
}
