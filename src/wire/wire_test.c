/* wire_test.c - records against golden bytes, older and newer readers, truncation and lying counts.
 */
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define POINT_FIELDS(F)                                                                            \
    F(u32, x, "")                                                                                  \
    F(u16, y, "")
WIRE_RECORD(point, POINT_FIELDS)
WIRE_LIST(point)

#define SHAPE_FIELDS(F)                                                                            \
    F(u8, kind, "")                                                                                \
    F(u64, id, "")                                                                                 \
    F(i64, weight, "")                                                                             \
    F(point, center, "")                                                                           \
    F(text, label, "")                                                                             \
    F(blob, digest, "")                                                                            \
    F(point_list, points, "")                                                                      \
    F(u32_list, numbers, "")                                                                       \
    F(text_list, tags, "")
WIRE_RECORD(shape, SHAPE_FIELDS)
WIRE_LIST(shape)

/* The same record as a release ago, and as a later one. */
#define OLD_SHAPE_FIELDS(F)                                                                        \
    F(u8, kind, "")                                                                                \
    F(u64, id, "")
WIRE_RECORD(old_shape, OLD_SHAPE_FIELDS)
#define NEW_SHAPE_FIELDS(F)                                                                        \
    SHAPE_FIELDS(F)                                                                                \
    F(u64, color, "")                                                                              \
    F(text_list, owners, "")
WIRE_RECORD(new_shape, NEW_SHAPE_FIELDS)

#define NOTHING_FIELDS(F)
WIRE_RECORD(nothing, NOTHING_FIELDS)

/* A record whose items take far more memory than bytes. */
#define WIDE_FIELDS(F)                                                                             \
    F(text, a, "")                                                                                 \
    F(text, b, "")                                                                                 \
    F(text, c, "")                                                                                 \
    F(text, d, "")                                                                                 \
    F(text, e, "")                                                                                 \
    F(text, f, "")
WIRE_RECORD(wide, WIDE_FIELDS)
WIRE_LIST(wide)

static struct shape sample(void)
{
    static const struct point points[] = { { 1, 2 }, { 3, 4 } };
    static const uint32_t numbers[] = { 5, 6, 7 };
    static const struct bytes tags[] = { { (const uint8_t *)"a\"b", 3 },
                                         { (const uint8_t *)"", 0 } };
    return (struct shape){
        .kind = 9,
        .id = 0x1122334455667788,
        .weight = -2,
        .center = { 10, 11 },
        .label = BYTES_LITERAL("na\\me\n\xc3\xa4\xff"),
        .digest = BYTES_LITERAL("\x00\xab"),
        .points = { (struct point *)(uintptr_t)points, 2 },
        .numbers = { (uint32_t *)(uintptr_t)numbers, 3 },
        .tags = { (struct bytes *)(uintptr_t)tags, 2 },
    };
}

static void assert_is_sample(const struct shape *v)
{
    struct shape want = sample();
    assert_int_equal(v->kind, want.kind);
    assert_true(v->id == want.id && v->weight == want.weight);
    assert_true(v->center.x == 10 && v->center.y == 11);
    assert_true(bytes_equal(v->label, want.label) && bytes_equal(v->digest, want.digest));
    assert_int_equal(v->points.count, 2);
    assert_int_equal(v->points.items[1].x, 3);
    assert_int_equal(v->points.items[1].y, 4);
    assert_int_equal(v->numbers.count, 3);
    assert_int_equal(v->numbers.items[2], 7);
    assert_int_equal(v->tags.count, 2);
    assert_true(bytes_equal_text(v->tags.items[0], "a\"b"));
    assert_int_equal(v->tags.items[1].size, 0);
}

static void golden_bytes(void **state)
{
    static const uint8_t golden[] = {
        101,  0,    0,    0,                                             /* record */
        9,                                                               /* kind */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,                  /* id */
        0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,                  /* weight */
        6,    0,    0,    0,    10,   0,    0,    0,    11,  0,          /* center */
        9,    0,    0,    0,    'n',  'a',  '\\', 'm',  'e', '\n', 0xc3, /* label */
        0xa4, 0xff,                                                      /* */
        2,    0,    0,    0,    0x00, 0xab,                              /* digest */
        2,    0,    0,    0,                                             /* points */
        6,    0,    0,    0,    1,    0,    0,    0,    2,   0,          /* */
        6,    0,    0,    0,    3,    0,    0,    0,    4,   0,          /* */
        3,    0,    0,    0,    5,    0,    0,    0,    6,   0,    0,    /* numbers */
        0,    7,    0,    0,    0,                                       /* */
        2,    0,    0,    0,    3,    0,    0,    0,    'a', '"',  'b',  /* tags */
        0,    0,    0,    0,
    };
    uint8_t buf[256];
    struct wire_out out = wire_out_fixed(buf, sizeof buf);
    struct shape v = sample();
    shape_put(&out, &v);
    assert_false(out.failed);
    assert_int_equal(wire_out_bytes(&out).size, sizeof golden);
    assert_memory_equal(buf, golden, sizeof golden);

    cleanup_arena_ struct arena arena = { 0 };
    struct wire_in in = wire_in_of(bytes_of(golden, sizeof golden), &arena);
    struct shape back;
    shape_get(&in, &back);
    assert_false(in.failed);
    assert_true(in.pos == in.end);
    assert_is_sample(&back);
}

static void older_and_newer_readers(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint8_t buf[512];
    struct wire_out out = wire_out_fixed(buf, sizeof buf);
    struct shape v = sample();
    struct old_shape old = { .kind = 3, .id = 4 };
    shape_put(&out, &v);
    old_shape_put(&out, &old);
    shape_put(&out, &v);

    /* A newer reader sees zero for what it knows and the writer did not; an older one skips the
     * rest. */
    struct wire_in in = wire_in_of(wire_out_bytes(&out), &arena);
    struct new_shape newer;
    new_shape_get(&in, &newer);
    assert_true(newer.id == v.id && newer.tags.count == 2);
    assert_true(newer.color == 0 && newer.owners.count == 0);
    struct shape from_old;
    shape_get(&in, &from_old);
    assert_true(from_old.kind == 3 && from_old.id == 4 && from_old.points.count == 0);
    struct old_shape older;
    old_shape_get(&in, &older);
    assert_true(older.kind == v.kind && older.id == v.id);
    assert_true(!in.failed && in.pos == in.end);
}

static void every_truncation_fails_or_defaults(void **state)
{
    uint8_t buf[256];
    struct wire_out out = wire_out_fixed(buf, sizeof buf);
    struct shape v = sample();
    shape_put(&out, &v);
    struct bytes whole = wire_out_bytes(&out);

    for (size_t size = 0; size < whole.size; size++) {
        cleanup_arena_ struct arena arena = { 0 };
        uint8_t *exact = xmalloc(size); /* so that the sanitizer sees a read past the end */
        memcpy(exact, buf, size);
        struct wire_in in = wire_in_of(bytes_of(exact, size), &arena);
        struct shape back;
        shape_get(&in, &back);
        assert_true(in.failed);
        assert_true(back.id == 0 && back.points.count == 0 && back.tags.count == 0);

        /* The same with a byte count that fits: good exactly at a field's boundary. */
        if (size >= 4) {
            uint32_t body = (uint32_t)size - 4;
            memcpy(exact, &body, sizeof body);
            in = wire_in_of(bytes_of(exact, size), &arena);
            shape_get(&in, &back);
            bool is_boundary = body == 0 || body == 1 || body == 9 || body == 17 || body == 27 ||
                               body == 40 || body == 46 || body == 70 || body == 86;
            assert_int_equal(in.failed, !is_boundary);
        }
        free(exact);
    }
}

static void lying_counts(void **state)
{
    static const uint32_t counts[] = { 1,         2, 3, 1000, 1u << 20, 1u << 30, UINT32_MAX / 16,
                                       UINT32_MAX };
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        cleanup_arena_ struct arena arena = { 0 };
        uint8_t buf[4];
        memcpy(buf, &counts[i], sizeof buf);

        struct wire_in in = wire_in_of(bytes_of(buf, sizeof buf), &arena);
        struct point_list points = { 0 };
        point_list_get(&in, &points);
        assert_true(in.failed && points.count == 0);
        in = wire_in_of(bytes_of(buf, sizeof buf), &arena);
        struct u64_list numbers = { 0 };
        u64_list_get(&in, &numbers);
        assert_true(in.failed && numbers.count == 0);
        in = wire_in_of(bytes_of(buf, sizeof buf), &arena);
        struct text_list tags = { 0 };
        text_list_get(&in, &tags);
        assert_true(in.failed && tags.count == 0);
        in = wire_in_of(bytes_of(buf, sizeof buf), &arena);
        struct bytes blob = { 0 };
        blob_get(&in, &blob);
        assert_true(in.failed && blob.size == 0);
        assert_int_equal(arena.total_bytes, 0);
    }
}

/* 1 MiB of empty records would be 24 MiB of structs: refused; as many full ones are taken. */
static void small_messages_claim_little_memory(void **state)
{
    cleanup_arena_ struct arena arena = { 0 };
    uint32_t count = 1 << 18;
    size_t size = sizeof count + count * sizeof(uint32_t);
    uint8_t *buf = xcalloc(1, size);
    memcpy(buf, &count, sizeof count);
    struct wire_in in = wire_in_of(bytes_of(buf, size), &arena);
    struct wide_list list = { 0 };
    wide_list_get(&in, &list);
    assert_true(in.failed && list.count == 0);
    assert_int_equal(arena.total_bytes, 0);
    free(buf);

    struct wide_list many = { .items = xcalloc(1000, sizeof *many.items), .count = 1000 };
    struct wire_out out = wire_out_heap();
    wide_list_put(&out, &many);
    in = wire_in_of(wire_out_bytes(&out), &arena);
    wide_list_get(&in, &list);
    assert_true(!in.failed && list.count == 1000);
    wire_out_free(&out);
    free(many.items);
}

static void lists_need_an_arena(void **state)
{
    uint8_t buf[256];
    struct wire_out out = wire_out_fixed(buf, sizeof buf);
    struct shape v = sample();
    shape_put(&out, &v);
    struct wire_in in = wire_in_of(wire_out_bytes(&out), NULL);
    struct shape back;
    shape_get(&in, &back);
    assert_true(in.failed);
}

static void output_limits(void **state)
{
    struct shape v = sample();
    uint8_t buf[105];
    for (size_t size = 0; size < sizeof buf; size++) {
        struct wire_out out = wire_out_fixed(buf, size);
        shape_put(&out, &v);
        assert_true(out.failed);
    }
    struct wire_out exact = wire_out_fixed(buf, sizeof buf);
    shape_put(&exact, &v);
    assert_false(exact.failed);

    /* Lent memory first, the heap when it is full; contents agree. */
    uint8_t lent[20];
    struct wire_out out = wire_out_lent(lent, sizeof lent);
    shape_put(&out, &v);
    assert_false(out.failed);
    assert_int_equal(wire_out_bytes(&out).size, sizeof buf);
    assert_memory_equal(out.start, buf, sizeof buf);
    wire_out_free(&out);
    out = wire_out_lent(buf, sizeof buf);
    shape_put(&out, &v);
    assert_true(!out.failed && out.start == buf);
    wire_out_free(&out);

    struct bytes half = { xcalloc(1, WIRE_MESSAGE_BYTES_MAX / 2), WIRE_MESSAGE_BYTES_MAX / 2 };
    out = wire_out_heap();
    blob_put(&out, &half);
    assert_false(out.failed);
    blob_put(&out, &half);
    assert_true(out.failed);
    wire_out_free(&out);
    free((void *)(uintptr_t)half.base);
}

static void texts_are_json(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    struct shape v = sample();
    shape_to_text(f, &v);
    struct nothing nothing = {};
    nothing_to_text(f, &nothing);
    fclose(f);
    assert_string_equal(text,
                        "{\"kind\": 9, \"id\": 1234605616436508552, \"weight\": -2, "
                        "\"center\": {\"x\": 10, \"y\": 11}, "
                        "\"label\": \"na\\\\me\\u000a\xc3\xa4\\ufffd\", \"digest\": \"00ab\", "
                        "\"points\": [{\"x\": 1, \"y\": 2}, {\"x\": 3, \"y\": 4}], "
                        "\"numbers\": [5, 6, 7], \"tags\": [\"a\\\"b\", \"\"]}{}");
    free(text);
}

static void invalid_utf8_is_replaced(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
        { "\xc0\x80", "\"\\ufffd\\ufffd\"" },            /* overlong NUL */
        { "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, /* surrogate */
        { "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
        { "\xe2\x82", "\"\\ufffd\\ufffd\"" }, /* cut off */
        { "a\x7f\x01", "\"a\\u007f\\u0001\"" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        struct bytes in = bytes_of_text(cases[i].in);
        text_to_text(f, &in);
        fclose(f);
        assert_string_equal(text, cases[i].out);
        free(text);
    }
}

/* Random changes of a good message: the decoder neither reads outside nor yields what cannot be
 * encoded. */
static void random_changes(void **state)
{
    uint64_t seed = 42;
    uint8_t golden[256], buf[256];
    struct wire_out out = wire_out_fixed(golden, sizeof golden);
    struct shape v = sample();
    shape_put(&out, &v);
    size_t size = wire_out_bytes(&out).size;
    for (int round = 0; round < 50000; round++) {
        cleanup_arena_ struct arena arena = { 0 };
        memcpy(buf, golden, size);
        for (int i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            buf[(seed >> 33) % size] = (uint8_t)(seed >> 56);
        }
        struct wire_in in = wire_in_of(bytes_of(buf, size), &arena);
        struct shape back;
        shape_get(&in, &back);
        struct wire_out again = wire_out_heap();
        shape_put(&again, &back);
        assert_false(again.failed);
        wire_out_free(&again);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(older_and_newer_readers),
        cmocka_unit_test(every_truncation_fails_or_defaults),
        cmocka_unit_test(lying_counts),
        cmocka_unit_test(small_messages_claim_little_memory),
        cmocka_unit_test(lists_need_an_arena),
        cmocka_unit_test(output_limits),
        cmocka_unit_test(texts_are_json),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
