/* chain_state_test.c - the chain state machine against a second, independently written form of its
 * table, its invariants over every combination of states up to four replicas, random walks, and
 * worked traces.
 *
 * Shapes are written as "A:S,u B:Y,n": target, public state (S serving, L lastsrv, Y syncing, W
 * waiting, O offline), local state (u uptodate, n online, o offline, i invalid).
 */
#include "mgmtd/chain_state.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char public_letters[] = "SLYWO";
static const uint8_t public_states[] = { PUBLIC_SERVING, PUBLIC_LASTSRV, PUBLIC_SYNCING,
                                         PUBLIC_WAITING, PUBLIC_OFFLINE };
static const char local_letters[] = "unoi";
static const uint8_t local_states[] = { LOCAL_UPTODATE, LOCAL_ONLINE, LOCAL_OFFLINE,
                                        LOCAL_INVALID };

static uint8_t state_of(char letter, const char *letters, const uint8_t *states)
{
    const char *at = strchr(letters, letter);
    assert_non_null(at);
    return states[at - letters];
}

static struct chain_shape shape_of(const char *text)
{
    struct chain_shape shape = { 0 };
    for (const char *p = text; *p; p += p[5] ? 6 : 5) {
        shape.slots[shape.count++] =
            (struct chain_slot){ .target_id = (uint64_t)p[0],
                                 .public_state = state_of(p[2], public_letters, public_states),
                                 .local_state = state_of(p[4], local_letters, local_states) };
    }
    return shape;
}

static const char *text_of(const struct chain_shape *shape, char *buf)
{
    char *p = buf;
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct chain_slot *slot = &shape->slots[i];
        for (size_t s = 0; s < ARRAY_SIZE(public_states); s++) {
            for (size_t l = 0; l < ARRAY_SIZE(local_states); l++) {
                if (slot->public_state != public_states[s] || slot->local_state != local_states[l])
                    continue;
                p += snprintf(p, 16, "%s%c:%c,%c", i ? " " : "", (char)slot->target_id,
                              public_letters[s], local_letters[l]);
            }
        }
    }
    *p = '\0';
    return buf;
}

/* The table of facts, written the other way round: each rule as a sentence over the whole chain.
 * Only meant for chains that keep the invariants. */
static void model_evaluate(const struct chain_shape *old, struct chain_shape *ret)
{
    bool alive[CHAIN_TARGET_COUNT_MAX], uptodate[CHAIN_TARGET_COUNT_MAX];
    uint8_t now[CHAIN_TARGET_COUNT_MAX];
    int order[CHAIN_TARGET_COUNT_MAX]; /* rank inside the new group */
    bool serves = false;               /* after the SERVING and LASTSRV were looked at */
    for (uint32_t i = 0; i < old->count; i++) {
        uptodate[i] = old->slots[i].local_state == LOCAL_UPTODATE;
        alive[i] = uptodate[i] || old->slots[i].local_state == LOCAL_ONLINE;
        now[i] = 0;
        order[i] = (int)i;
        bool held = old->slots[i].public_state == PUBLIC_SERVING ||
                    old->slots[i].public_state == PUBLIC_LASTSRV;
        if (held && alive[i]) {
            now[i] = PUBLIC_SERVING;
            serves = true;
        }
    }
    bool first_dead = true;
    int last_dead = -1;
    for (uint32_t i = 0; i < old->count; i++) {
        bool held = old->slots[i].public_state == PUBLIC_SERVING ||
                    old->slots[i].public_state == PUBLIC_LASTSRV;
        if (!held || now[i]) continue;
        now[i] = first_dead ? PUBLIC_LASTSRV : PUBLIC_OFFLINE;
        if (first_dead) last_dead = (int)i;
        first_dead = false;
    }
    bool synced = false;
    for (uint32_t i = 0; i < old->count; i++) {
        if (old->slots[i].public_state != PUBLIC_SYNCING) continue;
        if (uptodate[i])
            now[i] = PUBLIC_SERVING;
        else if (!alive[i])
            now[i] = PUBLIC_OFFLINE;
        else
            now[i] = serves ? PUBLIC_SYNCING : PUBLIC_WAITING;
        synced = synced || now[i] == PUBLIC_SYNCING;
        serves = serves || uptodate[i];
    }
    for (uint32_t i = 0; i < old->count; i++) {
        uint8_t was = old->slots[i].public_state;
        if (was != PUBLIC_WAITING && was != PUBLIC_OFFLINE) continue;
        now[i] = !alive[i]                           ? PUBLIC_OFFLINE
                 : !uptodate[i] && serves && !synced ? PUBLIC_SYNCING
                                                     : PUBLIC_WAITING;
        synced = synced || now[i] == PUBLIC_SYNCING;
    }
    if (serves && last_dead >= 0) {
        now[last_dead] = PUBLIC_OFFLINE;
        order[last_dead] = 1000;
    }
    ret->count = 0;
    for (size_t s = 0; s < ARRAY_SIZE(public_states); s++) {
        for (int rank = 0; rank <= 1000; rank = rank == CHAIN_TARGET_COUNT_MAX ? 1000 : rank + 1) {
            for (uint32_t i = 0; i < old->count; i++) {
                if (now[i] != public_states[s] || order[i] != rank) continue;
                ret->slots[ret->count] = old->slots[i];
                ret->slots[ret->count++].public_state = now[i];
            }
            if (rank == 1000) break;
        }
    }
}

static bool shapes_equal(const struct chain_shape *a, const struct chain_shape *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct chain_slot *x = &a->slots[i], *y = &b->slots[i];
        if (x->target_id != y->target_id || x->public_state != y->public_state ||
            x->local_state != y->local_state)
            return false;
    }
    return true;
}

/* A chain may only lose its last server to being LASTSRV, and nobody serves who did not before but
 * a LASTSRV that came back or a SYNCING that is complete. */
static void check_step(const struct chain_shape *old, const struct chain_shape *new)
{
    bool had_data = false, has_data = false;
    for (uint32_t i = 0; i < old->count; i++) {
        uint8_t was = old->slots[i].public_state;
        had_data = had_data || was == PUBLIC_SERVING || was == PUBLIC_LASTSRV;
        int at = chain_find(new, old->slots[i].target_id);
        assert_true(at >= 0);
        uint8_t is = new->slots[at].public_state;
        has_data = has_data || is == PUBLIC_SERVING || is == PUBLIC_LASTSRV;
        if (is == PUBLIC_SERVING && was != PUBLIC_SERVING) {
            bool is_complete = was == PUBLIC_SYNCING && old->slots[i].local_state == LOCAL_UPTODATE;
            assert_true(was == PUBLIC_LASTSRV || is_complete);
        }
        if (is == PUBLIC_LASTSRV) assert_true(was == PUBLIC_SERVING || was == PUBLIC_LASTSRV);
    }
    assert_true(!had_data || has_data);
}

static void check_one(const struct chain_shape *old)
{
    struct chain_shape got = *old, want = { 0 }, again;
    char text[3][128];
    bool changed = chain_evaluate(&got);
    assert_int_equal(changed, !shapes_equal(old, &got));
    const char *broken = chain_broken_invariant(&got);
    if (broken) fail_msg("%s -> %s: %s", text_of(old, text[0]), text_of(&got, text[1]), broken);
    model_evaluate(old, &want);
    if (!shapes_equal(&got, &want))
        fail_msg("%s -> %s, not %s", text_of(old, text[0]), text_of(&got, text[1]),
                 text_of(&want, text[2]));
    check_step(old, &got);
    again = got;
    for (int i = 0; i < 3 && chain_evaluate(&again); i++) {
        assert_null(chain_broken_invariant(&again));
    }
    assert_false(chain_evaluate(&again)); /* without news it comes to rest */
}

static void test_exhaustive(void **state)
{
    (void)state;
    uint32_t legal_count = 0, total_count = 0;
    for (uint32_t n = 1; n <= 4; n++) {
        uint32_t combinations = 1;
        for (uint32_t i = 0; i < n; i++) {
            combinations *= 20;
        }
        for (uint32_t c = 0; c < combinations; c++) {
            struct chain_shape shape = { .count = n };
            uint32_t rest = c;
            for (uint32_t i = 0; i < n; i++, rest /= 20) {
                shape.slots[i] = (struct chain_slot){ 'A' + i, public_states[rest % 5],
                                                      local_states[rest / 5 % 4] };
            }
            total_count++;
            if (!chain_broken_invariant(&shape)) {
                legal_count++;
                check_one(&shape);
                continue;
            }
            /* states that must not be are healed, never made worse or crashed on */
            chain_evaluate(&shape);
            const char *broken = chain_broken_invariant(&shape);
            char text[128];
            if (broken) fail_msg("healing gives %s: %s", text_of(&shape, text), broken);
        }
    }
    assert_int_equal(total_count, 20 + 400 + 8000 + 160000);
    assert_true(legal_count > 1000 && legal_count < total_count);
}

static uint64_t random_below(uint64_t *seed, uint64_t bound)
{
    uint64_t x = *seed += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (x ^ (x >> 31)) % bound;
}

/* What a healthy storage makes of its public state. */
static uint8_t healthy_local(uint8_t public_state)
{
    return public_state == PUBLIC_SERVING || public_state == PUBLIC_SYNCING ? LOCAL_UPTODATE
                                                                            : LOCAL_ONLINE;
}

/* One target towards a random order, as an administrator may ask at any time. */
static void displace_one(struct chain_shape *shape, uint64_t *seed)
{
    uint64_t ids[CHAIN_TARGET_COUNT_MAX];
    struct u64_list preferred = { ids, shape->count };
    for (uint32_t i = 0; i < shape->count; i++) {
        uint32_t j = (uint32_t)random_below(seed, i + 1);
        ids[i] = ids[j];
        ids[j] = shape->slots[i].target_id;
    }
    int victim = chain_preferred_victim(shape, &preferred);
    if (victim >= 0) chain_displace(shape, (uint32_t)victim);
}

/* As the records of a cluster that stands still are changed (cluster/shutdown.c): for once there
 * may be several LASTSRV, and whoever comes first goes on. */
static void shut_down(struct chain_shape *shape)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        uint8_t *public_state = &shape->slots[i].public_state;
        if (*public_state == PUBLIC_SERVING) *public_state = PUBLIC_LASTSRV;
        if (*public_state == PUBLIC_SYNCING || *public_state == PUBLIC_WAITING)
            *public_state = PUBLIC_OFFLINE;
    }
    struct chain_shape before = *shape;
    chain_evaluate(shape);
    check_step(&before, shape);
}

/* Something that happens to a chain, most often news of a target. */
static void disturb(struct chain_shape *shape, uint64_t *next_id, uint64_t *seed)
{
    switch (random_below(seed, 40)) {
    case 0:
    case 1: chain_rotate_lastsrv(shape); break;
    case 2: displace_one(shape, seed); break;
    case 3:
        if (shape->count < 6) assert_int_equal(chain_add(shape, (*next_id)++), 0);
        break;
    case 4:
        if (shape->count > 1)
            (void)!chain_remove(shape, shape->slots[random_below(seed, shape->count)].target_id);
        break;
    case 5: shut_down(shape); break;
    default:
        shape->slots[random_below(seed, shape->count)].local_state =
            local_states[random_below(seed, 4)];
        break;
    }
}

static void test_walks(void **state)
{
    (void)state;
    for (uint64_t walk = 1; walk <= 2000; walk++) {
        uint64_t seed = walk, next_id = 'a';
        struct chain_shape shape = { .count = 1 + (uint32_t)random_below(&seed, 6) };
        for (uint32_t i = 0; i < shape.count; i++) {
            shape.slots[i] = (struct chain_slot){ 'A' + i, PUBLIC_SERVING, LOCAL_ONLINE };
        }
        for (int step = 0; step < 100; step++) {
            disturb(&shape, &next_id, &seed);
            assert_null(chain_broken_invariant(&shape));
            check_one(&shape);
            chain_evaluate(&shape);
        }
        for (uint32_t step = 0; step < 4 * shape.count; step++) {
            for (uint32_t i = 0; i < shape.count; i++) {
                shape.slots[i].local_state = healthy_local(shape.slots[i].public_state);
            }
            chain_evaluate(&shape);
        }
        for (uint32_t i = 0; i < shape.count; i++) {
            assert_int_equal(shape.slots[i].public_state, PUBLIC_SERVING);
        }
    }
}

static void test_traces(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after; /* after: equal when nothing changes */
    } cases[] = {
        /* B times out, comes back, is complete */
        { "A:S,u B:S,o C:S,u", "A:S,u C:S,u B:O,o" },
        { "A:S,u C:S,u B:O,n", "A:S,u C:S,u B:Y,n" },
        { "A:S,u C:S,u B:Y,n", "A:S,u C:S,u B:Y,n" },
        { "A:S,u C:S,u B:Y,u", "A:S,u C:S,u B:S,u" },
        /* two come back: one after the other */
        { "A:S,u B:O,n C:O,n", "A:S,u B:Y,n C:W,n" },
        { "A:S,u B:Y,u C:W,n", "A:S,u B:S,u C:Y,n" },
        /* the source dies during a resync */
        { "A:S,o B:Y,n", "A:L,o B:W,n" },
        { "A:L,o B:W,n", "A:L,o B:W,n" },
        { "A:L,n B:W,n", "A:S,n B:Y,n" },
        { "A:L,u B:W,n", "A:S,u B:Y,n" },
        /* ... at the moment when it is complete */
        { "A:S,o B:Y,u", "B:S,u A:O,o" },
        /* all power lost: the first keeps the data */
        { "A:S,o B:S,o C:S,o", "A:L,o B:O,o C:O,o" },
        { "A:L,o B:O,n C:O,n", "A:L,o B:W,n C:W,n" },
        { "A:L,n B:W,n C:W,n", "A:S,n B:Y,n C:W,n" },
        /* a dying server with survivors goes last, the second dying one before it */
        { "A:S,o B:S,o C:S,u D:O,o", "C:S,u B:O,o D:O,o A:O,o" },
        /* UPTODATE without having been SYNCING is no proof of anything */
        { "A:S,u B:O,u", "A:S,u B:W,u" },
        { "A:S,u B:W,u", "A:S,u B:W,u" },
        { "A:S,u B:W,u C:W,n", "A:S,u C:Y,n B:W,u" },
        { "A:S,u B:Y,o C:W,n", "A:S,u C:Y,n B:O,o" },
        { "A:S,i B:O,o", "A:L,i B:O,o" },
        { "A:O,o", "A:O,o" },
        { "A:O,n", "A:W,n" },
        /* put at rest (shutdown-all-chains): whoever comes first serves, alone at first */
        { "A:L,o B:L,n C:L,o", "B:S,n C:O,o A:O,o" },
        { "A:L,n B:L,n C:O,n", "A:S,n C:Y,n B:O,n" },
        { "A:L,o B:L,o C:O,o", "A:L,o B:O,o C:O,o" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct chain_shape shape = shape_of(cases[i].before);
        bool changed = chain_evaluate(&shape);
        char text[128];
        assert_string_equal(text_of(&shape, text), cases[i].after);
        assert_int_equal(changed, strcmp(cases[i].before, cases[i].after) != 0);
    }
}

static void test_rotate_lastsrv(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after; /* NULL: refused */
    } cases[] = {
        { "A:L,o B:W,n", "B:L,n A:O,o" },
        { "A:L,o B:W,n C:O,o", "B:L,n C:O,o A:O,o" },
        { "A:L,o", NULL },
        { "A:S,u B:W,n", NULL },
        { "A:O,o B:O,n", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct chain_shape shape = shape_of(cases[i].before);
        bool changed = chain_rotate_lastsrv(&shape);
        char text[128];
        assert_int_equal(changed, cases[i].after != NULL);
        assert_string_equal(text_of(&shape, text),
                            cases[i].after ? cases[i].after : cases[i].before);
        assert_null(chain_broken_invariant(&shape));
    }
    struct chain_shape shape = shape_of("B:L,n A:O,o");
    char text[128];
    assert_true(chain_evaluate(&shape));
    assert_string_equal(text_of(&shape, text), "B:S,n A:O,o");
}

static void test_preferred(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *preferred;
        int victim;
        const char *after;
    } cases[] = {
        { "A:S,u B:S,u C:S,u", "ABC", -1, NULL },
        { "A:S,u C:S,u B:S,u", "ABC", 1, "A:S,u B:S,u C:O,o" },
        { "C:S,u A:S,u B:S,u", "ABC", 0, "A:S,u B:S,u C:O,o" },
        { "C:S,u B:S,u A:S,u", "ABC", 0, "B:S,u A:S,u C:O,o" },
        { "B:S,u A:S,u C:Y,n", "ABC", 0, "A:S,u C:Y,n B:O,o" },
        { "B:S,u C:S,u A:Y,n", "ABC", -1, NULL }, /* the wanted one does not serve */
        { "B:S,u A:S,u", "", -1, NULL },
        { "B:S,u A:S,u", "A", 0, "A:S,u B:O,o" },
        { "B:S,u A:S,u", "XA", -1, NULL },
        { "B:S,u A:S,u", "BAC", -1, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct chain_shape shape = shape_of(cases[i].chain);
        uint64_t ids[8];
        struct u64_list preferred = { ids, 0 };
        for (const char *p = cases[i].preferred; *p; p++) {
            ids[preferred.count++] = (uint64_t)*p;
        }
        int victim = chain_preferred_victim(&shape, &preferred);
        assert_int_equal(victim, cases[i].victim);
        if (victim < 0) continue;
        chain_displace(&shape, (uint32_t)victim);
        char text[128];
        assert_string_equal(text_of(&shape, text), cases[i].after);
        assert_null(chain_broken_invariant(&shape));
    }
}

/* Displacing until nothing is left to do, with a resync after each, reaches any order. */
static void test_preferred_converges(void **state)
{
    (void)state;
    for (uint64_t walk = 1; walk <= 500; walk++) {
        uint64_t seed = walk;
        struct chain_shape shape = { .count = 1 + (uint32_t)random_below(&seed, 6) };
        uint64_t ids[CHAIN_TARGET_COUNT_MAX];
        for (uint32_t i = 0; i < shape.count; i++) {
            shape.slots[i] = (struct chain_slot){ 'A' + i, PUBLIC_SERVING, LOCAL_UPTODATE };
            ids[i] = 'A' + i;
        }
        for (uint32_t i = shape.count; i > 1; i--) {
            uint32_t j = (uint32_t)random_below(&seed, i);
            uint64_t id = ids[i - 1];
            ids[i - 1] = ids[j];
            ids[j] = id;
        }
        struct u64_list preferred = { ids, shape.count };
        uint32_t steps = 0;
        for (int victim; (victim = chain_preferred_victim(&shape, &preferred)) >= 0; steps++) {
            assert_true(steps < shape.count * shape.count);
            chain_displace(&shape, (uint32_t)victim);
            for (int round = 0; round < 4; round++) {
                chain_evaluate(&shape);
                for (uint32_t i = 0; i < shape.count; i++) {
                    shape.slots[i].local_state = healthy_local(shape.slots[i].public_state);
                }
            }
        }
        for (uint32_t i = 0; i < shape.count; i++) {
            assert_int_equal(shape.slots[i].target_id, ids[i]);
        }
    }
}

static void test_membership(void **state)
{
    (void)state;
    struct chain_shape shape = shape_of("A:S,u B:O,o");
    assert_int_equal(chain_add(&shape, 'A'), -ERR_MGMTD_TARGET_EXISTED);
    assert_int_equal(chain_add(&shape, 'C'), 0);
    char text[512];
    assert_string_equal(text_of(&shape, text), "A:S,u B:O,o C:O,o");
    assert_int_equal(chain_remove(&shape, 'X'), -ERR_MGMTD_TARGET_NOT_FOUND);
    assert_int_equal(chain_remove(&shape, 'A'), -ERR_TARGET_STATE_INVALID);
    assert_int_equal(chain_remove(&shape, 'B'), 0);
    assert_string_equal(text_of(&shape, text), "A:S,u C:O,o");
    for (uint64_t id = 'a'; shape.count < CHAIN_TARGET_COUNT_MAX; id++) {
        assert_int_equal(chain_add(&shape, id), 0);
    }
    assert_int_equal(chain_add(&shape, 'Z'), -ERR_MGMTD_INVALID_CHAIN_TABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_walks),
        cmocka_unit_test(test_traces),     cmocka_unit_test(test_rotate_lastsrv),
        cmocka_unit_test(test_preferred),  cmocka_unit_test(test_preferred_converges),
        cmocka_unit_test(test_membership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
