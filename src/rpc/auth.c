/* auth.c - keys, proofs and capabilities; pure. HMAC-SHA256 and comparison are libcrypto's. */
#include "rpc/auth.h"

#include "base/check.h"
#include "base/error.h"
#include "base/units.h"
#include "rpc/auth_proof.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define CAPABILITY_LABEL "c3fs capability 1"
#define SESSION_LABEL    "c3fs session 1"
#define KEY_PREFIX       "k1:"

enum { CAPABILITY_BYTES_MAX = sizeof(((struct auth_identity *)0)->capability) };

void auth_mac(const uint8_t key[AUTH_KEY_BYTES], const char *label, struct bytes first,
              struct bytes second, uint8_t ret_mac[AUTH_MAC_BYTES])
{
    uint8_t message[AUTH_MAC_MESSAGE_BYTES_MAX];
    struct wire_out out = wire_out_fixed(message, sizeof message);
    struct bytes parts[] = { bytes_of_text(label), first, second };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        uint8_t *p = wire_reserve(&out, parts[i].size);
        check(p != NULL);
        if (parts[i].size) memcpy(p, parts[i].base, parts[i].size);
    }
    unsigned size = 0;
    check(HMAC(EVP_sha256(), key, AUTH_KEY_BYTES, message, wire_out_bytes(&out).size, ret_mac,
               &size));
    check(size == AUTH_MAC_BYTES);
}

bool auth_mac_equal(struct bytes shown, const uint8_t mac[AUTH_MAC_BYTES])
{
    return shown.size == AUTH_MAC_BYTES && CRYPTO_memcmp(shown.base, mac, AUTH_MAC_BYTES) == 0;
}

/* Encodes @c with the MAC over its other fields. */
static void capability_seal(const uint8_t cluster_key[AUTH_KEY_BYTES], struct auth_capability *c,
                            uint8_t mac[AUTH_MAC_BYTES], struct wire_out *out)
{
    uint8_t fields[CAPABILITY_BYTES_MAX];
    struct wire_out unsealed = wire_out_fixed(fields, sizeof fields);
    c->mac = bytes_of(NULL, 0);
    auth_capability_put(&unsealed, c);
    check(!unsealed.failed);
    auth_mac(cluster_key, CAPABILITY_LABEL, wire_out_bytes(&unsealed), bytes_of(NULL, 0), mac);
    c->mac = bytes_of(mac, AUTH_MAC_BYTES);
    auth_capability_put(out, c);
    check(!out->failed);
}

void auth_capability_issue(const uint8_t cluster_key[AUTH_KEY_BYTES], const struct auth_peer *to,
                           uint64_t expires_wall_ns, uint64_t serial, struct auth_identity *ret)
{
    *ret = (struct auth_identity){ .kind = AUTH_CAPABILITY };
    struct auth_capability c = { .uid = to->uid,
                                 .gid = to->gid,
                                 .rights = to->rights,
                                 .expires_wall_ns = expires_wall_ns,
                                 .serial = serial,
                                 .issued_wall_ns = to->issued_wall_ns };
    uint8_t mac[AUTH_MAC_BYTES];
    struct wire_out out = wire_out_fixed(ret->capability, sizeof ret->capability);
    capability_seal(cluster_key, &c, mac, &out);
    ret->capability_size = wire_out_bytes(&out).size;
    auth_mac(cluster_key, SESSION_LABEL, wire_out_bytes(&out), bytes_of(NULL, 0), ret->key);
}

int auth_capability_verify(const uint8_t cluster_key[AUTH_KEY_BYTES], struct bytes encoded,
                           uint64_t now_wall_ns, struct auth_peer *ret,
                           uint8_t ret_session_key[AUTH_KEY_BYTES])
{
    if (encoded.size > CAPABILITY_BYTES_MAX) return -ERR_AUTH_FAIL;
    struct wire_in in = wire_in_of(encoded, NULL);
    struct auth_capability shown;
    auth_capability_get(&in, &shown);
    if (in.failed || in.pos != in.end) return -ERR_AUTH_FAIL;

    /* Sealed again from the fields that were understood: equal only if nothing was changed or
     * added. */
    struct auth_capability c = shown;
    uint8_t mac[AUTH_MAC_BYTES], again[CAPABILITY_BYTES_MAX];
    struct wire_out out = wire_out_fixed(again, sizeof again);
    capability_seal(cluster_key, &c, mac, &out);
    if (!auth_mac_equal(shown.mac, mac) || !bytes_equal(wire_out_bytes(&out), encoded))
        return -ERR_AUTH_FAIL;
    if (now_wall_ns > c.expires_wall_ns && now_wall_ns - c.expires_wall_ns > AUTH_SKEW_NS)
        return -ERR_AUTH_FAIL;

    *ret = (struct auth_peer){
        .kind = AUTH_CAPABILITY,
        .uid = c.uid,
        .gid = c.gid,
        .rights = c.rights,
        .serial = c.serial,
        .issued_wall_ns = c.issued_wall_ns,
    };
    auth_mac(cluster_key, SESSION_LABEL, encoded, bytes_of(NULL, 0), ret_session_key);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int auth_cluster_key_parse(const char *text, uint8_t ret_key[AUTH_KEY_BYTES])
{
    size_t prefix = sizeof KEY_PREFIX - 1;
    if (strncmp(text, KEY_PREFIX, prefix) != 0 || strlen(text) != prefix + AUTH_KEY_BYTES * 2)
        return -ERR_INVALID_ARG;
    uint8_t key[AUTH_KEY_BYTES];
    for (size_t i = 0; i < AUTH_KEY_BYTES; i++) {
        int high = hex_digit(text[prefix + i * 2]);
        int low = hex_digit(text[prefix + i * 2 + 1]);
        if (high < 0 || low < 0) return -ERR_INVALID_ARG;
        key[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_key, key, sizeof key);
    return 0;
}

void auth_cluster_key_to_text(const uint8_t key[AUTH_KEY_BYTES], char ret_text[72])
{
    static const char digits[] = "0123456789abcdef";
    char *p = stpcpy(ret_text, KEY_PREFIX);
    for (size_t i = 0; i < AUTH_KEY_BYTES; i++) {
        *p++ = digits[key[i] >> 4];
        *p++ = digits[key[i] & 15];
    }
    *p = '\0';
}
