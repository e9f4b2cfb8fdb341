/* auth_proof.h - the primitives under auth.h, and the handshake; private to src/rpc. */
#pragma once
#include "base/units.h"
#include "rpc/auth.h"
#include "rpc/rpc_format.h"

enum { AUTH_MAC_MESSAGE_BYTES_MAX = 64 + 2 * RPC_HANDSHAKE_BODY_BYTES_MAX };

struct rpc_link;

/* HMAC-SHA256(key, label | first | second); together at most AUTH_MAC_MESSAGE_BYTES_MAX. */
void auth_mac(const uint8_t key[AUTH_KEY_BYTES], const char *label, struct bytes first,
              struct bytes second, uint8_t ret_mac[AUTH_MAC_BYTES]);
bool auth_mac_equal(struct bytes shown, const uint8_t mac[AUTH_MAC_BYTES]); /* constant time */

/* The exchange at the start of a connection; the caller sets the deadline. 0, -ERR_AUTH_FAIL, or an
 * error of the transport. @identity may be NULL: nothing is shown. @keys may be NULL: anybody is
 * taken. */
int handshake_as_client(struct rpc_link *link,
                        const struct auth_identity *identity) fiber_fn must_check;
int handshake_as_server(struct rpc_link *link, const struct auth_keys *keys,
                        struct auth_peer *ret) fiber_fn must_check;
/* The same decision without a connection, for the local transport. */
int handshake_local(const struct auth_keys *keys, const struct auth_identity *identity,
                    uint64_t now_wall_ns, struct auth_peer *ret) fiber_fn must_check;
