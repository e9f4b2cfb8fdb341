/* write_buffer.h - what a transaction wrote and did not commit yet; private to src/kv.
 *
 * Cleared ranges (disjoint, never touching: neighbours are merged) lie below single writes: a key's
 * newest state is its single write, if there is one, else "absent" inside a cleared range, else
 * that of the snapshot. A single clear inside a cleared range is no entry of its own. All bytes are
 * copies.
 */
#pragma once
#include "kv/kv_engine.h"
#include "kv/kv_map.h"

struct kv_written {
    struct kv_map_entry entry;
    bool is_clear;
    struct bytes value; /* of a cleared range: its end */
};

struct kv_write_buffer {
    struct kv_map points, cleared; /* of kv_written; cleared: begin -> end */
    size_t bytes;                  /* keys, values and ends ever put in */
};

enum kv_state { KV_STATE_UNKNOWN, KV_STATE_ABSENT, KV_STATE_PRESENT };

void kv_write_buffer_init(struct kv_write_buffer *w);
void kv_write_buffer_done(struct kv_write_buffer *w);
bool kv_write_buffer_is_empty(const struct kv_write_buffer *w);
void kv_write_buffer_set(struct kv_write_buffer *w, struct bytes key, struct bytes value);
void kv_write_buffer_clear(struct kv_write_buffer *w, struct bytes key);
void kv_write_buffer_clear_range(struct kv_write_buffer *w, struct bytes begin, struct bytes end);
/* *ret (borrowed) is set when PRESENT. */
enum kv_state kv_write_buffer_get(const struct kv_write_buffer *w, struct bytes key,
                                  struct bytes *ret);

/* Of [begin, end), not empty, the part at its low end (at its high end with @is_reverse) that is
 * wholly inside or wholly outside of cleared ranges. Borrowed from the arguments or the buffer. */
struct kv_segment {
    struct bytes begin, end;
    bool is_cleared;
};
struct kv_segment kv_write_buffer_segment(const struct kv_write_buffer *w, struct bytes begin,
                                          struct bytes end, bool is_reverse);
/* All as a list (borrowed from the buffer; the array is of @arena), cleared ranges first. */
void kv_write_buffer_list(const struct kv_write_buffer *w, struct arena *arena,
                          struct kv_commit *commit);
