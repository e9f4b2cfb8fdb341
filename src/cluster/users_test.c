/* users_test.c - tokens against their written form, and the life of users: first one, rights,
 * rotation, expiry. */
#include "cluster/users.h"

#include "cluster/test_world.h"
#include "cluster/token.h"

static void test_tokens(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_SIZE + 1];
    /* computed by another implementation (zlib and base64 of Python) */
    token_make(12345, 0x0123456789abcdefull, text);
    assert_int_equal(strlen(text), TOKEN_TEXT_SIZE);
    uint32_t uid = 0;
    uint64_t random = 0;
    assert_int_equal(token_parse(bytes_of_text(text), &uid, &random), 0);
    assert_int_equal(uid, 12345);
    assert_true(random == 0x0123456789abcdefull);
    assert_string_equal(text, "OQCrRSOs8QDNZwG72zDviSPl");

    for (size_t i = 0; i < TOKEN_TEXT_SIZE; i++) {
        char bad[TOKEN_TEXT_SIZE + 1];
        memcpy(bad, text, sizeof bad);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_equal(token_parse(bytes_of_text(bad), &uid, &random), -ERR_INVALID_FORMAT);
        bad[i] = '=';
        assert_int_equal(token_parse(bytes_of_text(bad), &uid, &random), -ERR_INVALID_FORMAT);
        bad[i] = '\0';
        assert_int_equal(token_parse(bytes_of(bad, TOKEN_TEXT_SIZE), &uid, &random),
                         -ERR_INVALID_FORMAT);
        assert_int_equal(token_parse(bytes_of(text, i), &uid, &random), -ERR_INVALID_FORMAT);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        token_make(i * 7919, i * 0x9e3779b97f4a7c15ull, text);
        assert_int_equal(token_parse(bytes_of_text(text), &uid, &random), 0);
        assert_true(uid == i * 7919 && random == i * 0x9e3779b97f4a7c15ull);
    }
}

static struct user_request request_of(uint32_t uid, const char *name)
{
    return (struct user_request){ .user = { .uid = uid, .name = bytes_of_text(name) } };
}

/* Is what was given to @uid until now void? */
static bool is_revoked(struct world *w, uint32_t uid)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct revocation_list list;
    check(users_revocations(w->kv, &arena, &list) == 0);
    for (uint32_t i = 0; i < list.count; i++)
        if (list.items[i].uid == uid) return true;
    return false;
}

static void life(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct user_attr user, again;
    const char *why = NULL;
    struct user_request request = request_of(1000, "ann");
    assert_int_equal(users_add(w->node, w->kv, &arena, &request, &user, &why),
                     -ERR_MGMTD_NOT_ADMIN);
    assert_string_equal(why, "the first user must be an admin");
    request.user.admin = 7;
    assert_int_equal(users_add(w->node, w->kv, &arena, &request, &user, &why), 0);
    assert_int_equal(user.gid, 1000);
    assert_int_equal(user.admin, 1);
    assert_int_equal(user.tokens.count, 1);
    assert_int_equal(users_add(w->node, w->kv, &arena, &request, &user, &why), -ERR_META_EXISTS);

    uint32_t groups[] = { 5, 6 };
    request = request_of(1001, "bob");
    request.user.groups = (struct u32_list){ groups, 2 };
    request.user.root = 1;
    assert_int_equal(users_add(w->node, w->kv, &arena, &request, &user, &why), 0);
    assert_int_equal(users_get(w->kv, &arena, 1001, &again), 0);
    assert_int_equal(again.groups.items[1], 6);
    assert_true(bytes_equal(again.tokens.items[0].token, user.tokens.items[0].token));

    request = request_of(1001, "");
    request.set = USER_SET_GROUPS | USER_SET_ADMIN;
    request.user.admin = 1;
    assert_int_equal(users_set(w->node, w->kv, &arena, &request, &again, &why), 0);
    assert_false(is_revoked(w, 1001)); /* more rights than before */
    request = request_of(1001, "");
    request.set = USER_SET_GROUPS | USER_SET_ROOT;
    assert_int_equal(users_set(w->node, w->kv, &arena, &request, &again, &why), 0);
    assert_int_equal(again.groups.count, 0); /* groups can be cleared */
    assert_int_equal(again.root, 0);
    assert_true(bytes_equal_text(again.name, "bob"));
    assert_true(is_revoked(w, 1001));
    request.set = USER_SET_NAME;
    assert_int_equal(users_set(w->node, w->kv, &arena, &request, &again, &why), -ERR_INVALID_ARG);
    request = request_of(7, "x");
    assert_int_equal(users_set(w->node, w->kv, &arena, &request, &again, &why),
                     -ERR_META_NOT_FOUND);

    struct user_attr_list list;
    assert_int_equal(users_list(w->kv, &arena, &list), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].uid, 1000);
    struct bytes token = list.items[1].tokens.items[0].token;
    assert_int_equal(users_check_token(w->node, w->kv, &arena, token, &user), 0);
    assert_int_equal(user.uid, 1001);
    assert_int_equal(users_remove(w->node, w->kv, 1001), 0);
    assert_int_equal(users_remove(w->node, w->kv, 1001), -ERR_META_NOT_FOUND);
    assert_int_equal(users_check_token(w->node, w->kv, &arena, token, &user), -ERR_AUTH_FAIL);
    assert_int_equal(users_check_token(w->node, w->kv, &arena, BYTES_LITERAL("secret"), &user),
                     -ERR_AUTH_FAIL);
}

static void test_life(void **state)
{
    (void)state;
    world_run(life);
}

static int rotate(struct world *w, struct arena *arena, const char *token, uint32_t set,
                  struct user_attr *ret)
{
    struct user_token given = { .token = bytes_of_text(token) };
    struct user_request request = { .user = { .uid = 9, .tokens = { &given, 1 } },
                                    .set = USER_SET_TOKEN | set,
                                    .last_token_lifetime_ns = 100 * SEC };
    return users_set_token(w->node, w->kv, arena, &request, ret, NULL);
}

static int checked(struct world *w, struct arena *arena, const char *token)
{
    struct user_attr user;
    return users_check_token(w->node, w->kv, arena, bytes_of_text(token), &user);
}

static void rotation(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct user_attr user;
    char tokens[8][TOKEN_TEXT_SIZE + 1], foreign[TOKEN_TEXT_SIZE + 1];
    for (uint32_t i = 0; i < 8; i++) {
        token_make(9, i, tokens[i]);
    }
    token_make(10, 1, foreign);
    struct user_token given = { .token = bytes_of_text(tokens[0]) };
    struct user_request request = request_of(9, "eve");
    request.user.admin = 1;
    request.user.tokens = (struct user_token_list){ &given, 1 };
    assert_int_equal(users_add(w->node, w->kv, &arena, &request, &user, NULL), 0);

    assert_int_equal(rotate(w, &arena, foreign, 0, &user), -ERR_INVALID_ARG);
    assert_int_equal(rotate(w, &arena, "nonsense", 0, &user), -ERR_INVALID_FORMAT);
    assert_int_equal(rotate(w, &arena, tokens[0], 0, &user), 0); /* the same: nothing changes */
    assert_int_equal(user.tokens.count, 1);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(rotate(w, &arena, tokens[i], 0, &user), 0);
        assert_true(bytes_equal_text(user.tokens.items[0].token, tokens[i]));
        assert_true(bytes_equal_text(user.tokens.items[1].token, tokens[i - 1])); /* newest first */
        assert_int_equal(user.tokens.items[0].end_wall_ns, 0);
        assert_true(user.tokens.items[1].end_wall_ns > 0);
    }
    assert_int_equal(user.tokens.count, 5);
    assert_int_equal(rotate(w, &arena, tokens[5], 0, &user), -ERR_TOO_MANY_TOKENS);
    assert_int_equal(checked(w, &arena, tokens[0]), 0);
    assert_int_equal(checked(w, &arena, tokens[5]), -ERR_TOKEN_MISMATCH);
    check(fiber_sleep(101 * SEC) == 0);
    assert_int_equal(checked(w, &arena, tokens[0]), -ERR_TOKEN_STALE);
    assert_int_equal(checked(w, &arena, tokens[4]), 0);
    assert_int_equal(rotate(w, &arena, tokens[5], 0, &user), 0); /* the expired ones are dropped */
    assert_int_equal(user.tokens.count, 2);
    assert_false(is_revoked(w, 9));
    assert_int_equal(rotate(w, &arena, tokens[6], USER_SET_INVALIDATE, &user), 0);
    assert_true(is_revoked(w, 9));
    assert_int_equal(user.tokens.count, 1);
    assert_int_equal(checked(w, &arena, tokens[5]), -ERR_TOKEN_MISMATCH);
    assert_int_equal(rotate(w, &arena, "", 0, &user), 0); /* a new one is made */
    assert_int_equal(user.tokens.count, 2);
}

static void test_rotation(void **state)
{
    (void)state;
    world_run(rotation);
}

static void many(struct world *w)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct user_attr user;
    for (uint32_t i = 0; i < 12000; i++) {
        struct user_request request = request_of(i * 3, "somebody");
        request.user.admin = 1;
        check(users_add(w->node, w->kv, &arena, &request, &user, NULL) == 0);
        if (i % 100 == 0) arena_done(&arena);
    }
    struct user_attr_list list;
    assert_int_equal(users_list(w->kv, &arena, &list), 0);
    assert_int_equal(list.count, 12000);
    for (uint32_t i = 0; i < list.count; i++) {
        assert_int_equal(list.items[i].uid, i * 3);
    }
}

static void test_many(void **state)
{
    (void)state;
    world_run(many);
}

static void test_peers(void **state)
{
    (void)state;
    struct user_attr user = { .uid = 5, .gid = 5, .admin = 1 };
    struct auth_peer peer;
    users_to_peer(&user, AUTH_TOKEN, &peer);
    assert_int_equal(peer.rights, AUTH_RIGHT_DATA | AUTH_RIGHT_META | AUTH_RIGHT_ADMIN);
    assert_true(users_is_manager(&peer));
    user = (struct user_attr){ .uid = 5, .gid = 5, .root = 1 };
    users_to_peer(&user, AUTH_TOKEN, &peer);
    assert_int_equal(peer.rights, AUTH_RIGHT_DATA | AUTH_RIGHT_META | AUTH_RIGHT_ROOT);
    assert_false(users_is_manager(&peer));
    user.uid = 0;
    users_to_peer(&user, AUTH_TOKEN, &peer);
    assert_true(users_is_manager(&peer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_life),
        cmocka_unit_test(test_rotation), cmocka_unit_test(test_many),
        cmocka_unit_test(test_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
