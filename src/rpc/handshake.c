/* handshake.c - the four frames at the start of a connection: see rpc_format.h and auth.h.
 *
 * The server proves itself first, so that a client shows its proof or token only to a server of its
 * cluster (as far as its kind of identity can tell). A refusal says AuthenticationFail and nothing
 * more.
 */
#include "rpc/auth_proof.h"

#include "base/check.h"
#include "base/error.h"
#include "rpc/link.h"

#define SERVER_LABEL "c3fs rpc server 1"
#define CLIENT_LABEL "c3fs rpc client 1"

enum { ALL_RIGHTS = AUTH_RIGHT_DATA | AUTH_RIGHT_META | AUTH_RIGHT_ADMIN | AUTH_RIGHT_ROOT };

static const struct rpc_frame_limits handshake_limits = {
    .body_size_max = RPC_HANDSHAKE_BODY_BYTES_MAX,
};

/* A frame under construction, or a received body kept beyond the next read. */
struct handshake_frame {
    uint8_t bytes[RPC_FRAME_BYTES + RPC_HANDSHAKE_BODY_BYTES_MAX];
    struct bytes body;
};

static struct wire_out handshake_begin(struct handshake_frame *f)
{
    return wire_out_fixed(f->bytes + RPC_FRAME_BYTES, RPC_HANDSHAKE_BODY_BYTES_MAX);
}

static int handshake_send(struct rpc_link *link, struct handshake_frame *f,
                          const struct wire_out *out, enum rpc_frame_kind kind, int status) fiber_fn
{
    if (out->failed) return -ERR_INVALID_ARG;
    f->body = wire_out_bytes(out);
    struct rpc_frame frame = { .kind = kind, .status = status };
    rpc_frame_seal(&frame, f->body);
    memcpy(f->bytes, &frame, sizeof frame);
    return rpc_link_write(link, bytes_of(f->bytes, RPC_FRAME_BYTES + f->body.size));
}

/* Receives a frame of @kind or of @other; 0 or the status that came with it. */
static int handshake_receive(struct rpc_link *link, struct handshake_frame *f,
                             enum rpc_frame_kind kind, enum rpc_frame_kind other,
                             struct rpc_frame *ret) fiber_fn
{
    int r = rpc_link_read_frame(link, &handshake_limits, ret);
    if (r < 0) return r;
    if (ret->kind != kind && ret->kind != other) return -ERR_RPC_INVALID_MESSAGE;
    struct bytes body;
    uint8_t *heap;
    r = rpc_link_read_body(link, ret, &body, &heap);
    if (r < 0) return r;
    check(!heap);
    if (body.size) memcpy(f->bytes, body.base, body.size);
    f->body = bytes_of(f->bytes, body.size);
    return 0;
}

static int server_receive(struct rpc_link *link, struct handshake_frame *f,
                          enum rpc_frame_kind kind) fiber_fn
{
    struct rpc_frame frame;
    return handshake_receive(link, f, kind, kind, &frame);
}

/* A WELCOME with the server's refusal may come in place of any other frame. */
static int client_receive(struct rpc_link *link, struct handshake_frame *f,
                          enum rpc_frame_kind kind) fiber_fn
{
    struct rpc_frame frame;
    int r = handshake_receive(link, f, kind, RPC_FRAME_WELCOME, &frame);
    if (r < 0) return r;
    r = frame.kind == RPC_FRAME_WELCOME ? rpc_frame_status(&frame) : 0;
    return frame.kind == kind || r < 0 ? r : -ERR_RPC_INVALID_MESSAGE;
}

/* ---- the client's side ---- */

static int client_hello(struct rpc_link *link, const struct auth_identity *id,
                        struct handshake_frame *f) fiber_fn
{
    uint8_t nonce[RPC_NONCE_BYTES];
    node_random_bytes(link->node, nonce, sizeof nonce);
    struct rpc_hello hello = { .protocol = RPC_PROTOCOL,
                               .kind = id->kind,
                               .nonce = bytes_of(nonce, sizeof nonce) };
    if (id->kind == AUTH_CAPABILITY)
        hello.capability = bytes_of(id->capability, id->capability_size);
    struct wire_out out = handshake_begin(f);
    rpc_hello_put(&out, &hello);
    return handshake_send(link, f, &out, RPC_FRAME_HELLO, 0);
}

static bool kind_has_key(uint32_t kind)
{
    return kind == AUTH_SERVER || kind == AUTH_CAPABILITY;
}

int handshake_as_client(struct rpc_link *link, const struct auth_identity *identity)
{
    static const struct auth_identity nobody = { .kind = AUTH_NONE };
    const struct auth_identity id = identity ? *identity : nobody; /* may be replaced meanwhile */
    struct handshake_frame hello, challenge, last;
    int r = client_hello(link, &id, &hello);
    if (r < 0) return r;
    r = client_receive(link, &challenge, RPC_FRAME_CHALLENGE);
    if (r < 0) return r;

    struct rpc_challenge c;
    struct wire_in in = wire_in_of(challenge.body, NULL);
    rpc_challenge_get(&in, &c);
    if (in.failed || c.nonce.size != RPC_NONCE_BYTES) return -ERR_RPC_INVALID_MESSAGE;
    uint8_t mac[AUTH_MAC_BYTES];
    struct rpc_proof proof = { 0 };
    if (kind_has_key(id.kind)) {
        auth_mac(id.key, SERVER_LABEL, hello.body, c.nonce, mac);
        if (!auth_mac_equal(c.proof, mac)) return -ERR_AUTH_FAIL;
        auth_mac(id.key, CLIENT_LABEL, hello.body, challenge.body, mac);
        proof.proof = bytes_of(mac, sizeof mac);
    }
    if (id.kind == AUTH_TOKEN) {
        if (!c.takes_tokens) return -ERR_AUTH_FAIL;
        proof.token = bytes_of(id.token, strnlen(id.token, sizeof id.token));
    }
    struct wire_out out = handshake_begin(&last);
    rpc_proof_put(&out, &proof);
    r = handshake_send(link, &last, &out, RPC_FRAME_PROOF, 0);
    if (r < 0) return r;
    return client_receive(link, &last, RPC_FRAME_WELCOME);
}

/* ---- the server's side ---- */

static bool keys_are_open(const struct auth_keys *keys)
{
    return !keys || keys->cluster_key_size == 0;
}

static struct auth_peer peer_with_all_rights(enum auth_kind kind)
{
    return (struct auth_peer){ .kind = kind, .rights = ALL_RIGHTS };
}

/* What the client will have to prove: the key of its kind and whom that makes it. */
static int server_expect(const struct auth_keys *keys, const struct rpc_hello *hello,
                         uint64_t now_wall_ns, uint8_t ret_key[AUTH_KEY_BYTES],
                         struct auth_peer *ret)
{
    if (keys_are_open(keys)) {
        *ret = peer_with_all_rights(AUTH_NONE);
        return kind_has_key(hello->kind) ? -ERR_AUTH_FAIL : 0;
    }
    switch (hello->kind) {
    case AUTH_SERVER:
        *ret = peer_with_all_rights(AUTH_SERVER);
        memcpy(ret_key, keys->cluster_key, AUTH_KEY_BYTES);
        return 0;
    case AUTH_CAPABILITY:
        return auth_capability_verify(keys->cluster_key, hello->capability, now_wall_ns, ret,
                                      ret_key);
    case AUTH_TOKEN: return keys->check_token ? 0 : -ERR_AUTH_FAIL;
    default: return -ERR_AUTH_FAIL;
    }
}

static int server_challenge(struct rpc_link *link, const struct auth_keys *keys, const uint8_t *key,
                            struct bytes hello_body, struct handshake_frame *f) fiber_fn
{
    uint8_t nonce[RPC_NONCE_BYTES], mac[AUTH_MAC_BYTES];
    node_random_bytes(link->node, nonce, sizeof nonce);
    struct rpc_challenge c = { .protocol = RPC_PROTOCOL,
                               .takes_tokens = keys_are_open(keys) || keys->check_token,
                               .nonce = bytes_of(nonce, sizeof nonce) };
    if (key) {
        auth_mac(key, SERVER_LABEL, hello_body, c.nonce, mac);
        c.proof = bytes_of(mac, sizeof mac);
    }
    struct wire_out out = handshake_begin(f);
    rpc_challenge_put(&out, &c);
    return handshake_send(link, f, &out, RPC_FRAME_CHALLENGE, 0);
}

/* Everything up to the WELCOME. *ret_is_refusal: the error is one that the client shall be told. */
static int server_verify(struct rpc_link *link, const struct auth_keys *keys, struct auth_peer *ret,
                         bool *ret_is_refusal) fiber_fn
{
    struct handshake_frame hello, challenge, last;
    int r = server_receive(link, &hello, RPC_FRAME_HELLO);
    if (r < 0) return r;
    struct rpc_hello h;
    struct wire_in in = wire_in_of(hello.body, NULL);
    rpc_hello_get(&in, &h);
    if (in.failed || h.nonce.size != RPC_NONCE_BYTES) return -ERR_RPC_INVALID_MESSAGE;
    uint8_t key[AUTH_KEY_BYTES];
    struct auth_peer peer = { 0 };
    r = server_expect(keys, &h, node_wall_ns(link->node), key, &peer);
    *ret_is_refusal = r < 0;
    if (r < 0) return r;

    bool has_key = !keys_are_open(keys) && kind_has_key(h.kind);
    r = server_challenge(link, keys, has_key ? key : NULL, hello.body, &challenge);
    if (r < 0) return r;
    r = server_receive(link, &last, RPC_FRAME_PROOF);
    if (r < 0) return r;
    struct rpc_proof p;
    in = wire_in_of(last.body, NULL);
    rpc_proof_get(&in, &p);
    if (in.failed) return -ERR_RPC_INVALID_MESSAGE;
    if (has_key) {
        uint8_t mac[AUTH_MAC_BYTES];
        auth_mac(key, CLIENT_LABEL, hello.body, challenge.body, mac);
        r = auth_mac_equal(p.proof, mac) ? 0 : -ERR_AUTH_FAIL;
    } else if (!keys_are_open(keys)) {
        r = keys->check_token(keys->check_token_arg, p.token, &peer);
    }
    *ret_is_refusal = r < 0;
    if (r == 0) *ret = peer;
    return r;
}

int handshake_as_server(struct rpc_link *link, const struct auth_keys *keys, struct auth_peer *ret)
{
    struct auth_peer peer;
    bool is_refusal = false;
    int r = server_verify(link, keys, &peer, &is_refusal);
    if (r < 0 && !is_refusal) return r;
    struct handshake_frame f;
    struct wire_out out = handshake_begin(&f);
    int sent = handshake_send(link, &f, &out, RPC_FRAME_WELCOME, r);
    if (r == 0) r = sent;
    if (r == 0) *ret = peer;
    return r;
}

/* ---- without a connection ---- */

int handshake_local(const struct auth_keys *keys, const struct auth_identity *identity,
                    uint64_t now_wall_ns, struct auth_peer *ret)
{
    enum auth_kind kind = identity ? identity->kind : AUTH_NONE;
    struct rpc_hello hello = { .kind = kind };
    if (kind == AUTH_CAPABILITY)
        hello.capability = bytes_of(identity->capability, identity->capability_size);
    uint8_t key[AUTH_KEY_BYTES];
    struct auth_peer peer = { 0 };
    int r = server_expect(keys, &hello, now_wall_ns, key, &peer);
    if (r < 0) return r;
    if (kind_has_key(kind) && !auth_mac_equal(bytes_of(identity->key, AUTH_KEY_BYTES), key))
        return -ERR_AUTH_FAIL;
    if (kind == AUTH_TOKEN && !keys_are_open(keys)) {
        char token[AUTH_TOKEN_BYTES_MAX + 1]; /* the identity may be replaced meanwhile */
        memcpy(token, identity->token, sizeof token);
        size_t size = strnlen(token, sizeof token);
        r = keys->check_token(keys->check_token_arg, bytes_of(token, size), &peer);
        if (r < 0) return r;
    }
    *ret = peer;
    return 0;
}
