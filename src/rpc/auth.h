/* auth.h - who is at the other end of a connection, shown once at connect and valid for its life.
 *
 * Kinds of proof, checked in the HELLO exchange (both sides contribute a nonce; no key crosses the
 * wire, and a user's token only to a service that takes tokens): SERVER      HMAC-SHA256(cluster
 * key, nonces): a server of the cluster, all rights TOKEN       a user's token; the service's
 * check_token() says who that is (mgmtd, meta) CAPABILITY  {uid, gid, rights, expiry, MAC under the
 * cluster key}, given out by mgmtd with its session key = HMAC(cluster key, capability); the client
 * proves the session key with HMAC(session key, nonces). Any server verifies it from the cluster
 * key alone, without a look-up. The server proves itself too: it must know the session key (or the
 * cluster key). Without keys (cluster_key_size == 0) a service takes anybody as root: only for
 * tests.
 */
#pragma once
#include "base/bytes.h"
#include "base/units.h"
#include "wire/wire.h"

enum auth_kind { AUTH_NONE, AUTH_SERVER, AUTH_TOKEN, AUTH_CAPABILITY, AUTH_KIND_MAX };
enum auth_right {
    AUTH_RIGHT_DATA = 1,
    AUTH_RIGHT_META = 2,
    AUTH_RIGHT_ADMIN = 4,
    AUTH_RIGHT_ROOT = 8
};
enum { AUTH_KEY_BYTES = 32, AUTH_TOKEN_BYTES_MAX = 64, AUTH_MAC_BYTES = 32 };

#define AUTH_CAPABILITY_FIELDS(F)                                                                  \
    F(u32, uid, "user it was given to")                                                            \
    F(u32, gid, "")                                                                                \
    F(u32, rights, "auth_right bits")                                                              \
    F(u64, expires_wall_ns, "wall clock; servers allow 30 s of skew")                              \
    F(u64, serial, "random; names it in logs")                                                     \
    F(blob, mac, "HMAC-SHA256 under the cluster key over the other fields")                        \
    F(u64, issued_wall_ns, "of the one who gave it out; decides whether a revocation is for it")
WIRE_RECORD(auth_capability, AUTH_CAPABILITY_FIELDS)

/* Whom a connection speaks for. */
struct auth_peer {
    enum auth_kind kind;
    uint32_t uid, gid;
    uint32_t rights;
    uint64_t serial;         /* of a capability */
    uint64_t issued_wall_ns; /* of a capability; of a token: when it was checked */
};

/* What a server checks against. */
struct auth_keys {
    uint8_t cluster_key[AUTH_KEY_BYTES];
    size_t cluster_key_size; /* 0: open (tests) */
    /* TOKEN proof: fills @ret or returns -ERR_AUTH_FAIL. NULL: tokens are not taken here. May
     * suspend. */
    int (*check_token)(void *arg, struct bytes token, struct auth_peer *ret);
    void *check_token_arg;
    /* Asked at every call of a user's connection: whether what it has shown is void since. NULL:
     * never. */
    bool (*is_revoked)(void *arg, const struct auth_peer *peer);
    void *is_revoked_arg;
};

#define AUTH_SKEW_NS (30 * SEC) /* between wall clocks of a cluster */

/* What a client shows. */
struct auth_identity {
    enum auth_kind kind;
    uint8_t key[AUTH_KEY_BYTES]; /* SERVER: cluster key; CAPABILITY: session key */
    char token[AUTH_TOKEN_BYTES_MAX + 1];
    uint8_t capability[192]; /* encoded auth_capability */
    size_t capability_size;
};

/* Makes a capability and its session key. */
void auth_capability_issue(const uint8_t cluster_key[AUTH_KEY_BYTES], const struct auth_peer *to,
                           uint64_t expires_wall_ns, uint64_t serial, struct auth_identity *ret);
/* Verifies MAC and expiry. 0 or -ERR_AUTH_FAIL. */
int auth_capability_verify(const uint8_t cluster_key[AUTH_KEY_BYTES], struct bytes encoded,
                           uint64_t now_wall_ns, struct auth_peer *ret,
                           uint8_t ret_session_key[AUTH_KEY_BYTES]) must_check;
/* "k1:" + 64 hex digits. -ERR_INVALID_ARG otherwise. */
int auth_cluster_key_parse(const char *text, uint8_t ret_key[AUTH_KEY_BYTES]) must_check;
void auth_cluster_key_to_text(const uint8_t key[AUTH_KEY_BYTES], char ret_text[72]);
