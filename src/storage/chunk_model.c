/* chunk_model.c - see chunk_model.h. */
#include "storage/chunk_model.h"
#include "base/arena.h"
#include "base/crc32c.h"

#include <stdio.h>

static const uint32_t chunk_sizes[MODEL_CHUNKS] = { 64 << 10, 64 << 10, 1 << 20, 1 << 20, 8 << 20 };

uint64_t model_random(struct model_random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint64_t model_below(struct model_random *r, uint64_t bound)
{
    return model_random(r) % bound;
}

static int violation(struct model *m, struct chunk_id id, const char *what, int r)
{
    m->has_violation = true;
    fprintf(stderr, "chunk %llx-%x: %s (%s)\n", (unsigned long long)id.inode, id.index, what,
            error_name(r));
    return -ERR_FOUND_BUG;
}

void model_init(struct model *m, uint64_t target_id, uint32_t number, uint64_t seed)
{
    *m = (struct model){ .target_id = target_id,
                         .number = number,
                         .chain_version = 1,
                         .random = { seed * 1000003 + number } };
    for (uint32_t i = 0; i < MODEL_CHUNKS; i++) {
        m->chunks[i].id = (struct chunk_id){ number * 16 + i / 2, i % 2 * 7 };
        m->chunks[i].chunk_size = chunk_sizes[i];
    }
}

static void content_clear(struct model_content *c)
{
    free(c->bytes);
    *c = (struct model_content){ 0 };
}

void model_done(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_CHUNKS; i++) {
        content_clear(&m->chunks[i].committed);
        content_clear(&m->chunks[i].pending);
        content_clear(&m->chunks[i].attempt);
        content_clear(&m->chunks[i].previous);
    }
    for (uint32_t i = 0; i < MODEL_PINS; i++) {
        check(!m->pins[i].pin);
    }
}

static bool is_there(const struct model_content *c)
{
    return c->version && c->kind != UPDATE_REMOVE;
}

static void content_copy(struct model_content *to, const struct model_content *from)
{
    content_clear(to);
    *to = *from;
    if (!from->bytes) return;
    to->bytes = xmalloc(from->length + 1);
    memcpy(to->bytes, from->bytes, from->length);
}

/* ---- comparing ---- */

static bool same_update(const struct update_id *a, const struct update_id *b)
{
    return uuid_equal(a->client, b->client) && a->channel == b->channel && a->seq == b->seq;
}

static const char *state_differs(const struct model_chunk *c, const struct chunk_state *s)
{
    const struct model_content *k = &c->committed, *p = &c->pending;
    if (s->version != k->version) return "committed version";
    if (k->version) {
        if (s->chain_version != k->chain_version) return "chain version";
        if (s->is_tombstone != !is_there(k)) return "tombstone";
        if (s->length != k->length || s->crc32c != k->crc32c) return "length or CRC";
        if (is_there(k) && s->chunk_size != c->chunk_size) return "chunk size";
        if (!same_update(&s->update, &k->update)) return "identity";
    }
    if (s->has_pending != (p->version != 0)) return "pending or not";
    if (!s->has_pending) return NULL;
    if (s->pending_version != p->version || s->pending_chain_version != p->chain_version)
        return "pending version";
    if (s->pending_kind != p->kind) return "pending kind";
    if (s->pending_length != p->length || s->pending_crc32c != p->crc32c)
        return "pending length or CRC";
    return same_update(&s->pending_update, &p->update) ? NULL : "pending identity";
}

static int compare_bytes(struct model *m, struct chunk_id id, struct chunk_pin *pin,
                         const struct model_content *c, uint32_t offset, uint32_t length)
{
    cleanup_(buffer_givep) struct buffer *buffer = NULL;
    uint32_t skip, real, crc;
    int r = chunk_read(pin, offset, length, m->pool, &buffer, &skip, &real, &crc);
    if (r < 0) return r == -ERR_CANCELED ? r : violation(m, id, "cannot be read", r);
    uint32_t expected = offset < c->length ? MIN_OF(length, c->length - offset) : 0;
    if (real != expected) return violation(m, id, "length read", 0);
    if (real && memcmp(buffer->base + skip, c->bytes + offset, real) != 0)
        return violation(m, id, "bytes read", 0);
    return crc == (real == c->length ? c->crc32c : crc32c(0, c->bytes + offset, real))
               ? 0
               : violation(m, id, "CRC of a read", 0);
}

static int compare_content(struct model *m, struct chunk_id id, enum chunk_pin_which which,
                           const struct model_content *c)
{
    struct chunk_state state;
    cleanup_(chunk_unpinp) struct chunk_pin *pin = NULL;
    int r = chunk_pin(m->store, m->target_id, id, which, &pin, &state);
    if (r < 0) return r;
    if ((r > 0) != is_there(c)) return violation(m, id, "pin", 0);
    return r > 0 ? compare_bytes(m, id, pin, c, 0, c->length + 1) : 0;
}

static void identity_note(struct model *m, const struct model_chunk *c,
                          const struct model_content *k)
{
    m->identities[k->update.channel - 1] =
        (struct model_identity){ k->update.seq, c->id, k->version, k->length, k->crc32c };
}

static void identity_forget(struct model *m, const struct model_content *k)
{
    struct model_identity *i = &m->identities[k->update.channel - 1];
    if (i->seq == k->update.seq) *i = (struct model_identity){ 0 };
}

static int compare_identities(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_CHANNELS; i++) {
        const struct model_identity *k = &m->identities[i];
        struct identity_entry e = { 0 };
        struct uuid client = { 1, m->number };
        int r = identity_find(m->store, m->target_id, &client, i + 1, &e);
        if (r < 0) return r;
        if (e.update.seq != k->seq || e.version != k->version || e.chunk_length != k->length ||
            e.crc32c != k->crc32c || chunk_id_compare(e.chunk, k->chunk) != 0)
            return violation(m, k->chunk, "identity table", 0);
    }
    return 0;
}

static int compare_chunk(struct model *m, const struct model_chunk *c)
{
    struct chunk_state state = { 0 };
    int r = chunk_get(m->store, m->target_id, c->id, &state);
    if (r < 0) return r;
    if ((r > 0) != (c->committed.version || c->pending.version))
        return violation(m, c->id, "known or not", 0);
    const char *what = r > 0 ? state_differs(c, &state) : NULL;
    if (what) return violation(m, c->id, what, 0);
    r = compare_content(m, c->id, CHUNK_COMMITTED, &c->committed);
    return r < 0 ? r : compare_content(m, c->id, CHUNK_PENDING, &c->pending);
}

int model_compare(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_CHUNKS; i++) {
        int r = compare_chunk(m, &m->chunks[i]);
        if (r < 0) return r;
    }
    return compare_identities(m);
}

/* ---- updates ---- */

/* Edges of blocks, units, pages and the chunk more often than anything else. */
static uint32_t random_offset(struct model *m, uint32_t chunk_size)
{
    static const uint32_t edges[] = { 1, 512, 4096, 4096, 65536, 65536, 131072 };
    struct model_random *r = &m->random;
    uint64_t at = model_below(r, model_below(r, 24) ? MIN_OF(chunk_size, 200000u) : chunk_size + 1);
    if (model_below(r, 4)) {
        uint32_t edge = edges[model_below(r, ARRAY_SIZE(edges))];
        at = at / edge * edge;
        if (model_below(r, 3) == 0) at += model_below(r, 3);
        if (model_below(r, 3) == 0 && at > 0) at -= 1;
    }
    return (uint32_t)MIN_OF(at, (uint64_t)chunk_size);
}

static void random_range(struct model *m, uint32_t chunk_size, uint32_t *ret_begin,
                         uint32_t *ret_end)
{
    do {
        uint32_t a = random_offset(m, chunk_size), b = random_offset(m, chunk_size);
        if (model_below(&m->random, 8) == 0) a = 0;
        if (model_below(&m->random, 8) == 0) b = chunk_size;
        /* long ones are rare: most chunks are small */
        if (model_below(&m->random, 4) && b > a + 300000)
            b = a + (uint32_t)model_below(&m->random, 300000);
        *ret_begin = MIN_OF(a, b);
        *ret_end = MAX_OF(a, b);
    } while (*ret_begin == *ret_end);
}

/* The update's bytes, aligned as @begin is within a block or not at all. */
static uint8_t *random_data(struct model *m, uint32_t begin, uint32_t size, uint8_t **ret_memory)
{
    uint8_t *memory = aligned_alloc(4096, ((size_t)size + 3 * 4096) / 4096 * 4096);
    check(memory);
    uint32_t skip =
        model_below(&m->random, 4) ? begin % 4096 : (uint32_t)model_below(&m->random, 4096);
    uint64_t word = model_random(&m->random), values[512];
    for (uint32_t i = 0; i < ARRAY_SIZE(values); i++) {
        values[i] = word = word * 0x5851f42d4c957f2dull + 0x14057b7ef767814full;
    }
    for (uint32_t at = 0; at < size; at += 4096) {
        values[0] ^= at;
        memcpy(memory + skip + at, values, MIN_OF(size - at, 4096u));
    }
    *ret_memory = memory;
    return memory + skip;
}

static void random_update(struct model *m, const struct model_chunk *c, struct chunk_update *u,
                          uint8_t **ret_memory)
{
    static const enum update_kind kinds[] = { UPDATE_WRITE,  UPDATE_WRITE,    UPDATE_WRITE,
                                              UPDATE_WRITE,  UPDATE_TRUNCATE, UPDATE_EXTEND,
                                              UPDATE_REMOVE, UPDATE_REPLACE };
    uint32_t begin, end;
    random_range(m, c->chunk_size, &begin, &end);
    *u = (struct chunk_update){
        .kind = kinds[model_below(&m->random, ARRAY_SIZE(kinds))],
        .version = c->committed.version + 1,
        .chain_version = m->chain_version,
        .generation = 3,
        .update = { { 1, m->number }, 1 + (uint32_t)model_below(&m->random, 3), ++m->seq },
        .chunk_size = c->chunk_size,
        .offset = begin,
        .length = end - begin,
    };
    if (u->kind == UPDATE_TRUNCATE || u->kind == UPDATE_EXTEND) {
        u->length = random_offset(m, c->chunk_size);
        u->offset = 0;
    }
    if (u->kind == UPDATE_REMOVE) u->length = u->offset = 0;
    if (u->kind == UPDATE_REPLACE) {
        u->offset = 0;
        u->chain_version = ++m->chain_version;
        /* the pair is greater by its chain version; the version may be the same, or a lower one */
        uint64_t version = u->version + model_below(&m->random, 4);
        u->version = version > 2 ? version - 2 : 1;
    }
    if (u->kind == UPDATE_WRITE || u->kind == UPDATE_REPLACE) {
        u->data = bytes_of(random_data(m, u->offset, u->length, ret_memory), u->length);
        u->data_crc32c = crc32c(0, u->data.base, u->length);
    }
}

/* What the chunk is to be after the update. */
static void apply(const struct model_chunk *c, const struct chunk_update *u,
                  struct model_content *ret)
{
    content_clear(ret);
    *ret = (struct model_content){ .version = u->version,
                                   .chain_version = u->chain_version,
                                   .kind = u->kind,
                                   .update = u->update };
    if (u->kind == UPDATE_REMOVE) return;
    uint32_t old = is_there(&c->committed) && u->kind != UPDATE_REPLACE ? c->committed.length : 0;
    bool is_cut = u->kind == UPDATE_TRUNCATE;
    ret->length = is_cut ? u->length : MAX_OF(old, u->offset + u->length);
    ret->bytes = xcalloc(1, ret->length + 1);
    if (old) memcpy(ret->bytes, c->committed.bytes, MIN_OF(old, ret->length));
    if (u->data.size) memcpy(ret->bytes + u->offset, u->data.base, u->length);
    ret->crc32c = crc32c(0, ret->bytes, ret->length);
}

static void note_commit(struct model_chunk *c)
{
    content_clear(&c->previous);
    c->previous = c->committed;
    c->committed = c->pending;
    c->pending = (struct model_content){ 0 };
    c->commit_is_open = true;
}

static int do_commit(struct model *m, struct model_chunk *c)
{
    int r =
        chunk_commit(m->store, m->target_id, c->id, c->pending.version, c->pending.chain_version);
    if (r == 0) note_commit(c);
    return r;
}

/* A later call on the chunk has returned, so what came before it is durable. */
static void settle(struct model_chunk *c)
{
    content_clear(&c->previous);
    c->commit_is_open = c->drop_is_open = false;
}

/* The attempt is the chunk's pending content now. */
static void become_pending(struct model *m, struct model_chunk *c)
{
    identity_note(m, c, &c->attempt);
    content_clear(&c->pending);
    c->pending = c->attempt;
    c->attempt = (struct model_content){ 0 };
}

/* A stage ran out of time: the update is pending or not, and if it is, perhaps not durable. */
static int look_again(struct model *m, struct model_chunk *c)
{
    struct chunk_state state = { 0 };
    int r = chunk_get(m->store, m->target_id, c->id, &state);
    if (r < 0) return r;
    if (!state.has_pending || !same_update(&state.pending_update, &c->attempt.update)) {
        content_clear(&c->attempt);
        return 0;
    }
    m->late_count++;
    if (model_below(&m->random, 2)) {
        r = chunk_commit(m->store, m->target_id, c->id, c->attempt.version,
                         c->attempt.chain_version);
        if (r < 0 && r != -ERR_CHUNK_NOT_COMMIT) return r;
        if (r == 0) {
            settle(c);
            become_pending(m, c);
            note_commit(c);
            return 0;
        }
    }
    r = chunk_settle(m->store, m->target_id, c->id);
    if (r < 0) return r;
    settle(c);
    become_pending(m, c);
    return 0;
}

static int stage(struct model *m, const struct model_chunk *c, struct chunk_update *u)
{
    FIBER_TIMEOUT(model_below(&m->random, 8) ? TIME_NEVER : model_below(&m->random, 4 * MSEC));
    m->stage_count++;
    return chunk_stage(m->store, m->target_id, c->id, u);
}

/* On top of what is committed, or, as only a replacement may, in the place of what is pending. */
static int do_stage(struct model *m, struct model_chunk *c)
{
    struct chunk_update u;
    cleanup_(freep) uint8_t *memory = NULL;
    do {
        free(memory);
        memory = NULL;
        random_update(m, c, &u, &memory);
    } while (c->pending.version && u.kind != UPDATE_REPLACE);
    apply(c, &u, &c->attempt);
    bool is_bad = u.data.size && model_below(&m->random, 32) == 0;
    if (is_bad) u.data_crc32c ^= 1;
    int r = stage(m, c, &u);
    if (r == -ERR_TIMEOUT) return look_again(m, c);
    if (is_bad && r >= 0) return violation(m, c->id, "took damaged data", 0);
    bool is_refused = r == -ERR_NO_SPACE || (is_bad && r == -ERR_CHECKSUM_MISMATCH);
    if (r < 0) {
        m->full_count += r == -ERR_NO_SPACE;
        if (is_refused) content_clear(&c->attempt);
        return is_refused ? 0 : r;
    }
    if (u.result_length != c->attempt.length || u.result_crc32c != c->attempt.crc32c)
        return violation(m, c->id, "result of a stage", 0);
    settle(c);
    become_pending(m, c);
    return 0;
}

/* The same update again: nothing changes. Another one: refused. */
static int do_restage(struct model *m, struct model_chunk *c)
{
    static const uint8_t byte = 7;
    struct chunk_update u = { .kind = UPDATE_WRITE,
                              .version = c->pending.version,
                              .chain_version = c->pending.chain_version,
                              .update = { { 9, 9 }, 1, 1 },
                              .chunk_size = c->chunk_size,
                              .length = 1,
                              .data = bytes_of(&byte, 1),
                              .data_crc32c = crc32c(0, &byte, 1) };
    int r = chunk_stage(m->store, m->target_id, c->id, &u);
    m->reject_count++;
    return r == -ERR_CHUNK_ADVANCE_UPDATE ? 0
           : r == -ERR_CANCELED           ? r
                                          : violation(m, c->id, "second pending", r);
}

static int do_drop(struct model *m, struct model_chunk *c)
{
    c->drop_is_open = true;
    int r = chunk_drop(m->store, m->target_id, c->id, CHUNK_PENDING);
    if (r < 0) return r;
    if (r != 1) return violation(m, c->id, "nothing to drop", 0);
    settle(c);
    identity_forget(m, &c->pending);
    content_clear(&c->pending);
    return 0;
}

/* ---- pins ---- */

static int do_pin(struct model *m, const struct model_chunk *c)
{
    struct model_pin *p = &m->pins[model_below(&m->random, MODEL_PINS)];
    if (p->pin) {
        uint32_t offset = random_offset(m, c->chunk_size), length = random_offset(m, c->chunk_size);
        int r = compare_bytes(m, p->id, p->pin, &p->content, offset, length);
        if (model_below(&m->random, 2) == 0) {
            p->pin = chunk_unpin(p->pin);
            content_clear(&p->content);
        }
        return r;
    }
    struct chunk_state state;
    enum chunk_pin_which which = model_below(&m->random, 2) ? CHUNK_PENDING : CHUNK_COMMITTED;
    const struct model_content *content = which == CHUNK_PENDING ? &c->pending : &c->committed;
    int r = chunk_pin(m->store, m->target_id, c->id, which, &p->pin, &state);
    if (r < 0) return r;
    if ((r > 0) != is_there(content)) return violation(m, c->id, "pin", 0);
    if (r == 0) return 0;
    p->id = c->id;
    content_copy(&p->content, content);
    return 0;
}

void model_unpin_all(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_PINS; i++) {
        m->pins[i].pin = chunk_unpin(m->pins[i].pin);
        content_clear(&m->pins[i].content);
    }
}

/* ---- steps ---- */

int model_step(struct model *m)
{
    struct model_chunk *c = &m->chunks[model_below(&m->random, MODEL_CHUNKS)];
    switch (model_below(&m->random, 8)) {
    case 0: return compare_chunk(m, c);
    case 1:
    case 2: return do_pin(m, c);
    case 3:
        if (c->pending.version)
            return model_below(&m->random, 2) ? do_drop(m, c) : do_restage(m, c);
        return 0;
    default:
        if (c->pending.version && model_below(&m->random, 6)) return do_commit(m, c);
        return do_stage(m, c);
    }
}

int model_remove_all(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_CHUNKS; i++) {
        struct model_chunk *c = &m->chunks[i];
        if (c->pending.version) {
            int r = do_commit(m, c);
            if (r < 0) return r;
        }
        struct chunk_update u = { .kind = UPDATE_REMOVE,
                                  .version = c->committed.version + 1,
                                  .chain_version = m->chain_version,
                                  .update = { { 1, m->number }, 1, ++m->seq } };
        apply(c, &u, &c->attempt);
        int r = chunk_stage(m->store, m->target_id, c->id, &u);
        if (r < 0) return r;
        settle(c);
        become_pending(m, c);
        r = do_commit(m, c);
        if (r < 0) return r;
    }
    return 0;
}

/* ---- after a crash ---- */

/* Makes what the store says the model's, if it is possible: the attempt, or nothing of it; a
 * commit, or the pending record still. */
static int adopt_chunk(struct model *m, struct model_chunk *c)
{
    struct chunk_state state = { 0 };
    int r = chunk_get(m->store, m->target_id, c->id, &state);
    if (r < 0) return r == -ERR_CANCELED ? r : violation(m, c->id, "cannot be looked up", r);
    bool is_attempt = state.has_pending && c->attempt.version &&
                      same_update(&state.pending_update, &c->attempt.update);
    if (is_attempt) {
        become_pending(m, c);
    } else if (c->commit_is_open && state.has_pending && !c->pending.version &&
               same_update(&state.pending_update, &c->committed.update)) {
        c->pending = c->committed;
        c->committed = c->previous;
        c->previous = (struct model_content){ 0 };
    } else if (c->drop_is_open && !state.has_pending) {
        identity_forget(m, &c->pending);
        content_clear(&c->pending);
    }
    content_clear(&c->attempt);
    settle(c);
    return compare_chunk(m, c);
}

int model_adopt(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_CHUNKS; i++) {
        int r = adopt_chunk(m, &m->chunks[i]);
        if (r < 0) return r;
    }
    return compare_identities(m);
}
