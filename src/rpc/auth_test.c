/* auth_test.c - proofs and capabilities by themselves, and every kind of identity against every
 * kind of server, over a connection and over the local transport. */
#include "rpc/auth_proof.h"
#include "rpc/link.h"
#include "rpc/rpc_test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint8_t cluster_key[AUTH_KEY_BYTES] = { 1, 2, 3 };
static const uint8_t other_key[AUTH_KEY_BYTES] = { 1, 2, 4 };
static const struct auth_peer alice = { .uid = 1000, .gid = 100, .rights = AUTH_RIGHT_DATA };

/* ---- by themselves ---- */

static void known_mac(void **state)
{
    static const uint8_t want[AUTH_MAC_BYTES] = { 0x9c, 0x8a, 0x13, 0x23, 0x9d, 0x41, 0x8f, 0xea,
                                                  0x50, 0x8b, 0x49, 0x43, 0x89, 0x9e, 0x03, 0x08,
                                                  0xaa, 0x30, 0x37, 0xd4, 0x94, 0x31, 0x28, 0xe7,
                                                  0x24, 0x3f, 0xc7, 0x1d, 0x9e, 0xc1, 0x76, 0x62 };
    uint8_t key[AUTH_KEY_BYTES], mac[AUTH_MAC_BYTES];
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)i;
    }
    auth_mac(key, "label", BYTES_LITERAL("first"), BYTES_LITERAL("second"), mac);
    assert_memory_equal(mac, want, sizeof want);
    assert_true(auth_mac_equal(bytes_of(want, sizeof want), mac));
    assert_false(auth_mac_equal(bytes_of(want, sizeof want - 1), mac));
    assert_false(auth_mac_equal(bytes_of(NULL, 0), mac));
}

static void key_texts(void **state)
{
    uint8_t key[AUTH_KEY_BYTES] = { 0xfe, 0x01 };
    uint8_t back[AUTH_KEY_BYTES] = { 0 };
    char text[72];
    auth_cluster_key_to_text(key, text);
    assert_string_equal(text,
                        "k1:fe01000000000000000000000000000000000000000000000000000000000000");
    assert_int_equal(auth_cluster_key_parse(text, back), 0);
    assert_memory_equal(key, back, sizeof key);
    static const char *const bad[] = {
        "",
        "k1:",
        "k1:fe",
        "k2:fe01000000000000000000000000000000000000000000000000000000000000",
        "k1:fe0100000000000000000000000000000000000000000000000000000000000",
        "k1:fe010000000000000000000000000000000000000000000000000000000000000",
        "k1:ge01000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(auth_cluster_key_parse(bad[i], back), -ERR_INVALID_ARG);
    }
    assert_memory_equal(key, back, sizeof key);
}

static int verify(const uint8_t *key, struct bytes encoded, uint64_t now)
{
    struct auth_peer peer;
    uint8_t session_key[AUTH_KEY_BYTES];
    return auth_capability_verify(key, encoded, now, &peer, session_key);
}

static void capabilities(void **state)
{
    struct auth_identity id;
    uint64_t expires = 1000 * SEC;
    auth_capability_issue(cluster_key, &alice, expires, 77, &id);
    assert_int_equal(id.kind, AUTH_CAPABILITY);
    struct bytes encoded = bytes_of(id.capability, id.capability_size);

    struct auth_peer peer;
    uint8_t session_key[AUTH_KEY_BYTES];
    assert_int_equal(auth_capability_verify(cluster_key, encoded, 999 * SEC, &peer, session_key),
                     0);
    assert_true(peer.kind == AUTH_CAPABILITY && peer.uid == 1000 && peer.gid == 100);
    assert_true(peer.rights == AUTH_RIGHT_DATA && peer.serial == 77);
    assert_memory_equal(session_key, id.key, sizeof session_key);

    assert_int_equal(verify(cluster_key, encoded, expires + AUTH_SKEW_NS), 0);
    assert_int_equal(verify(cluster_key, encoded, expires + AUTH_SKEW_NS + 1), -ERR_AUTH_FAIL);
    assert_int_equal(verify(cluster_key, encoded, UINT64_MAX), -ERR_AUTH_FAIL);
    assert_int_equal(verify(other_key, encoded, 0), -ERR_AUTH_FAIL);

    uint8_t copy[sizeof id.capability + 1] = { 0 };
    for (size_t bit = 0; bit < encoded.size * 8; bit++) {
        memcpy(copy, encoded.base, encoded.size);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(verify(cluster_key, bytes_of(copy, encoded.size), 0), -ERR_AUTH_FAIL);
    }
    memcpy(copy, encoded.base, encoded.size);
    for (size_t size = 0; size <= sizeof copy; size++) {
        int r = verify(cluster_key, bytes_of(copy, size), 0);
        assert_int_equal(r, size == encoded.size ? 0 : -ERR_AUTH_FAIL);
    }
}

/* ---- identities against servers ---- */

static int check_token(void *arg, struct bytes token, struct auth_peer *ret) fiber_fn
{
    int r = fiber_sleep(MSEC);
    if (r < 0) return r;
    if (!bytes_equal_text(token, "alice's token")) return -ERR_AUTH_FAIL;
    *ret = alice;
    ret->kind = AUTH_TOKEN;
    return 0;
}

enum shown {
    NOTHING,
    KEY,
    WRONG_KEY,
    TOKEN,
    WRONG_TOKEN,
    NO_TOKEN,
    CAP,
    CAP_EXPIRED,
    CAP_IN_SKEW,
    CAP_FLIPPED,
    CAP_WITHOUT_SESSION_KEY,
    CAP_OF_OTHERS,
    CAP_AS_KEY
};
enum server_kind { OPEN, KEYED, KEYED_WITH_TOKENS };

static struct auth_identity identity_of(enum shown shown, uint64_t now_wall_ns)
{
    struct auth_identity id = { 0 };
    const uint8_t *key = shown == CAP_OF_OTHERS ? other_key : cluster_key;
    uint64_t expires = shown == CAP_EXPIRED   ? now_wall_ns - 31 * SEC
                       : shown == CAP_IN_SKEW ? now_wall_ns - 29 * SEC
                                              : now_wall_ns + 60 * SEC;
    if (shown >= CAP) auth_capability_issue(key, &alice, expires, 5, &id);
    if (shown == CAP_FLIPPED) id.capability[6] ^= 1; /* another uid */
    if (shown == CAP_WITHOUT_SESSION_KEY) memset(id.key, 0, sizeof id.key);
    if (shown == CAP_AS_KEY) id.kind = AUTH_SERVER; /* the session key is not the cluster key */
    if (shown == KEY || shown == WRONG_KEY) {
        id.kind = AUTH_SERVER;
        memcpy(id.key, shown == KEY ? cluster_key : other_key, sizeof id.key);
    }
    if (shown >= TOKEN && shown <= NO_TOKEN) id.kind = AUTH_TOKEN;
    if (shown == TOKEN) snprintf(id.token, sizeof id.token, "alice's token");
    if (shown == WRONG_TOKEN) snprintf(id.token, sizeof id.token, "bob's token");
    return id;
}

static const struct row {
    enum server_kind server;
    enum shown shown;
    int result;
    uint32_t kind, uid, rights; /* seen by the handler */
} rows[] = {
    { OPEN, NOTHING, 0, AUTH_NONE, 0, 15 },
    { OPEN, KEY, -ERR_AUTH_FAIL },
    { OPEN, TOKEN, 0, AUTH_NONE, 0, 15 },
    { OPEN, CAP, -ERR_AUTH_FAIL },
    { KEYED, NOTHING, -ERR_AUTH_FAIL },
    { KEYED, KEY, 0, AUTH_SERVER, 0, 15 },
    { KEYED, WRONG_KEY, -ERR_AUTH_FAIL },
    { KEYED, TOKEN, -ERR_AUTH_FAIL },
    { KEYED, CAP, 0, AUTH_CAPABILITY, 1000, AUTH_RIGHT_DATA },
    { KEYED, CAP_EXPIRED, -ERR_AUTH_FAIL },
    { KEYED, CAP_IN_SKEW, 0, AUTH_CAPABILITY, 1000, AUTH_RIGHT_DATA },
    { KEYED, CAP_FLIPPED, -ERR_AUTH_FAIL },
    { KEYED, CAP_WITHOUT_SESSION_KEY, -ERR_AUTH_FAIL },
    { KEYED, CAP_OF_OTHERS, -ERR_AUTH_FAIL },
    { KEYED, CAP_AS_KEY, -ERR_AUTH_FAIL },
    { KEYED_WITH_TOKENS, NOTHING, -ERR_AUTH_FAIL },
    { KEYED_WITH_TOKENS, KEY, 0, AUTH_SERVER, 0, 15 },
    { KEYED_WITH_TOKENS, TOKEN, 0, AUTH_TOKEN, 1000, AUTH_RIGHT_DATA },
    { KEYED_WITH_TOKENS, WRONG_TOKEN, -ERR_AUTH_FAIL },
    { KEYED_WITH_TOKENS, NO_TOKEN, -ERR_AUTH_FAIL },
    { KEYED_WITH_TOKENS, CAP, 0, AUTH_CAPABILITY, 1000, AUTH_RIGHT_DATA },
};

static int one_row(struct test_world *w) fiber_fn
{
    const struct row *row = w->arg;
    struct auth_identity id = identity_of(row->shown, node_wall_ns(w->server_node));
    rpc_pool_set_identity(w->pool, &id);
    struct echo_reply rep;
    for (int i = 0; i < 3; i++) {
        int r = echo_run(w, &(struct echo_call){ .timeout_ns = 2 * SEC }, &rep);
        check(r == row->result);
        if (r < 0) continue;
        check(rep.kind == row->kind && rep.uid == row->uid && rep.rights == row->rights);
    }
    uint64_t failures = metrics_value(w->server_node->metrics, "rpc.auth_failures");
    bool is_refused_by_client = row->shown == CAP_WITHOUT_SESSION_KEY || row->shown == WRONG_KEY ||
                                row->shown == CAP_AS_KEY ||
                                (row->shown == TOKEN && row->server == KEYED);
    check(row->result == 0 ? failures == 0 : is_refused_by_client || failures > 0);
    check(w->echo.call_count == (row->result == 0 ? 3 : 0));
    return 0;
}

static void kinds_of_identity(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct auth_keys keys = { .cluster_key_size = rows[i].server == OPEN ? 0 : AUTH_KEY_BYTES };
        memcpy(keys.cluster_key, cluster_key, sizeof cluster_key);
        if (rows[i].server == KEYED_WITH_TOKENS) keys.check_token = check_token;
        struct world_options o = { .server.keys = &keys, .arg = &rows[i] };
        world_run(WORLD_SIM, &o, one_row);
        world_run(WORLD_SIM_LOCAL, &o, one_row);
    }
}

/* ---- a server that lies ---- */

struct liar {
    struct test_world *w;
    struct net_address at;
    struct listener *listener;
    uint8_t takes_tokens;
    uint32_t proof_count; /* PROOF frames that clients sent */
    uint8_t nonces[2][RPC_NONCE_BYTES];
    int connection_count;
};

static int liar_send(struct rpc_link *link, enum rpc_frame_kind kind, struct bytes body) fiber_fn
{
    uint8_t bytes[RPC_FRAME_BYTES + RPC_HANDSHAKE_BODY_BYTES_MAX];
    struct rpc_frame frame = { .kind = kind };
    rpc_frame_seal(&frame, body);
    memcpy(bytes, &frame, sizeof frame);
    if (body.size) memcpy(bytes + sizeof frame, body.base, body.size);
    return rpc_link_write(link, bytes_of(bytes, sizeof frame + body.size));
}

/* Answers HELLO with a challenge and a proof made up, or with WELCOME at once. */
static void liar_serve(struct liar *liar, struct rpc_link *link) fiber_fn
{
    static const struct rpc_frame_limits limits = { .body_size_max = 1024 };
    struct rpc_frame frame;
    struct bytes body;
    uint8_t *heap;
    if (rpc_link_read_frame(link, &limits, &frame) < 0) return;
    if (rpc_link_read_body(link, &frame, &body, &heap) < 0) return;
    struct rpc_hello hello;
    struct wire_in in = wire_in_of(body, NULL);
    rpc_hello_get(&in, &hello);
    check(!in.failed && hello.nonce.size == RPC_NONCE_BYTES);
    memcpy(liar->nonces[liar->connection_count++ % 2], hello.nonce.base, RPC_NONCE_BYTES);

    uint8_t nonce[RPC_NONCE_BYTES] = { 0 }, mac[AUTH_MAC_BYTES], buf[512];
    struct rpc_challenge c = { .protocol = RPC_PROTOCOL,
                               .takes_tokens = liar->takes_tokens,
                               .nonce = bytes_of(nonce, sizeof nonce) };
    auth_mac(other_key, "c3fs rpc server 1", body, c.nonce, mac);
    c.proof = bytes_of(mac, sizeof mac);
    struct wire_out out = wire_out_fixed(buf, sizeof buf);
    rpc_challenge_put(&out, &c);
    bool is_short = liar->connection_count % 2 == 0;
    if (is_short) {
        (void)!liar_send(link, RPC_FRAME_WELCOME, bytes_of(NULL, 0));
        return;
    }
    if (liar_send(link, RPC_FRAME_CHALLENGE, wire_out_bytes(&out)) < 0) return;
    if (rpc_link_read_frame(link, &limits, &frame) == 0 && frame.kind == RPC_FRAME_PROOF)
        liar->proof_count++;
}

static int liar_main(void *arg) fiber_fn
{
    struct liar *liar = arg;
    for (;;) {
        struct stream *stream;
        if (listener_accept(liar->listener, &stream) < 0) return 0;
        struct rpc_link link;
        rpc_link_init(&link, liar->w->server_node, stream);
        liar_serve(liar, &link);
        rpc_link_done(&link);
    }
}

static int clients_notice_liars(struct test_world *w) fiber_fn
{
    static const enum shown shown[] = { KEY, CAP, TOKEN };
    struct liar liar = { .w = w, .at = w->address };
    liar.at.port++;
    check(net_listen(w->server_node, &liar.at, &liar.listener) == 0);
    struct scope scope;
    scope_init(&scope, NULL);
    scope.local = w->server_node;
    check(fiber_spawn(&scope, "liar", liar_main, &liar) == 0);
    w->address = liar.at;
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        struct auth_identity id = identity_of(shown[i], node_wall_ns(w->server_node));
        rpc_pool_set_identity(w->pool, &id);
        for (int k = 0; k < 2; k++) {
            int r = echo_run(w, &(struct echo_call){ .timeout_ns = 2 * SEC }, NULL);
            check(r == (k == 0 ? -ERR_AUTH_FAIL : -ERR_RPC_INVALID_MESSAGE));
        }
        check(memcmp(liar.nonces[0], liar.nonces[1], RPC_NONCE_BYTES) != 0);
    }
    check(liar.proof_count == 0); /* neither a proof nor a token was shown */
    liar.listener = listener_close(liar.listener);
    scope_done(&scope);
    w->address.port--;
    return 0;
}

static void servers_prove_themselves(void **state)
{
    world_run(WORLD_SIM, NULL, clients_notice_liars);
}

/* A capability that expires while a connection is open stays good for it, and not for the next. */
static int expiry(struct test_world *w) fiber_fn
{
    struct auth_identity id;
    auth_capability_issue(cluster_key, &alice, node_wall_ns(w->server_node) + 10 * SEC, 1, &id);
    rpc_pool_set_identity(w->pool, &id);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0);
    check(fiber_sleep(120 * SEC) == 0);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0);
    rpc_pool_reset(w->pool, &w->address);
    check(fiber_sleep(SEC) == 0);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == -ERR_AUTH_FAIL);
    auth_capability_issue(cluster_key, &alice, node_wall_ns(w->server_node) + 10 * SEC, 2, &id);
    rpc_pool_set_identity(w->pool, &id);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0);
    return 0;
}

static void capabilities_expire(void **state)
{
    struct auth_keys keys = { .cluster_key_size = AUTH_KEY_BYTES };
    memcpy(keys.cluster_key, cluster_key, sizeof cluster_key);
    struct world_options o = { .server.keys = &keys };
    world_run(WORLD_SIM, &o, expiry);
}

/* ---- what was given is void since ---- */

/* Of capabilities whose serial is lower. */
static bool is_void(void *arg, const struct auth_peer *peer)
{
    const uint64_t *serial_min = arg;
    return peer->serial < *serial_min;
}

struct renewal {
    struct test_world *w;
    uint64_t serial;
    uint32_t count;
    int result;
};

static int renew(void *arg) fiber_fn
{
    struct renewal *n = arg;
    struct auth_identity id;
    int r = fiber_sleep(20 * MSEC);
    n->count++;
    if (r < 0 || n->result < 0) return r < 0 ? r : n->result;
    auth_capability_issue(cluster_key, &alice, node_wall_ns(n->w->server_node) + 60 * SEC,
                          n->serial, &id);
    rpc_pool_set_identity(n->w->pool, &id);
    return 0;
}

static int call_fiber(void *arg)
{
    return echo_run(arg, &(struct echo_call){ .timeout_ns = SEC }, NULL);
}

static int revoking(struct test_world *w) fiber_fn
{
    struct renewal n = { .w = w, .serial = 1 };
    uint64_t *min = w->options.server.keys->is_revoked_arg;
    check(renew(&n) == 0);
    rpc_pool_set_renew(w->pool, renew, &n);
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0);
    /* many calls, one renewal, and each is executed once */
    n = (struct renewal){ .w = w, .serial = 2 };
    *min = 2;
    uint64_t executed = w->echo.call_count;
    struct scope scope;
    scope_init(&scope, NULL);
    for (int i = 0; i < 10; i++)
        check(fiber_spawn(&scope, "call", call_fiber, w) == 0);
    check(scope_wait(&scope) == 0);
    check(n.count == 1 && w->echo.call_count == executed + 10);
    /* renewed by itself before the revocation, on an open connection: first that, then another */
    n.serial = 3;
    check(renew(&n) == 0);
    n = (struct renewal){ .w = w, .serial = 4 };
    *min = 4;
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == 0 && n.count == 1);
    /* there is nothing better to be had */
    *min = 9;
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == -ERR_AUTH_FAIL);
    n.result = -ERR_TOKEN_MISMATCH;
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == -ERR_AUTH_FAIL);
    n.result = -ERR_PRIMARY_MGMTD_NOT_FOUND; /* it passes */
    check(echo_run(w, &(struct echo_call){ .timeout_ns = SEC }, NULL) == n.result);
    return 0;
}

static void revoked_capabilities_are_renewed(void **state)
{
    static const enum world_kind kinds[] = { WORLD_SIM, WORLD_SIM_LOCAL };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        uint64_t serial_min = 0;
        struct auth_keys keys = { .cluster_key_size = AUTH_KEY_BYTES,
                                  .is_revoked = is_void,
                                  .is_revoked_arg = &serial_min };
        memcpy(keys.cluster_key, cluster_key, sizeof cluster_key);
        struct world_options o = { .server.keys = &keys };
        world_run(kinds[i], &o, revoking);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_mac),
        cmocka_unit_test(key_texts),
        cmocka_unit_test(capabilities),
        cmocka_unit_test(kinds_of_identity),
        cmocka_unit_test(servers_prove_themselves),
        cmocka_unit_test(capabilities_expire),
        cmocka_unit_test(revoked_capabilities_are_renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
