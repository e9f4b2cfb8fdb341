/* rpc_format.h - what is on the wire: the frame header and the records of the handshake; nothing
 * else.
 *
 * A stream is a row of frames, each a 64-byte header, body_size bytes of body, and bulk_size bytes
 * of bulk data. All integers are little-endian. A connection begins with four frames:
 *
 *     client                          server
 *       HELLO  {nonce, kind, ...}  ->
 *                                  <-  CHALLENGE {nonce, the server's proof}
 *       PROOF  {the client's proof} ->
 *                                  <-  WELCOME, status 0 (or, at any point before, a negative one:
 * refused)
 *
 * and goes on with REQUEST and REPLY frames, in any order, matched by request_id; PING asks for a
 * PONG. The body of a REQUEST is the method's request record. The body of a REPLY is the method's
 * reply record when status >= 0, else the text of the error (may be empty).
 *
 * Proofs: HMAC-SHA256 under the key of the kind (auth.h) over
 *     server  "c3fs rpc server 1" | body of HELLO | nonce of CHALLENGE
 *     client  "c3fs rpc client 1" | body of HELLO | body of CHALLENGE
 */
#pragma once
#include "wire/wire.h"

enum {
    RPC_FRAME_MAGIC = 0x53463343, /* "C3FS" */
    RPC_FRAME_VERSION = 1,        /* of the header; the protocol has a number of its own in HELLO */
    RPC_FRAME_BYTES = 64,
    RPC_BODY_BYTES_MAX = WIRE_MESSAGE_BYTES_MAX - RPC_FRAME_BYTES,
    RPC_HANDSHAKE_BODY_BYTES_MAX = 1024,
    RPC_PROTOCOL = 1,
    RPC_NONCE_BYTES = 32,
};

enum rpc_frame_kind {
    RPC_FRAME_HELLO = 1,
    RPC_FRAME_CHALLENGE,
    RPC_FRAME_PROOF,
    RPC_FRAME_WELCOME,
    RPC_FRAME_REQUEST,
    RPC_FRAME_REPLY,
    RPC_FRAME_PING,
    RPC_FRAME_PONG,
    RPC_FRAME_KIND_END,
};

struct rpc_frame {
    uint32_t magic;
    uint8_t version;
    uint8_t kind;
    uint16_t flags; /* none is defined: 0 */
    uint16_t service, method;
    int32_t status;        /* of a REPLY or WELCOME: the handler's result; else 0 */
    uint64_t request_id;   /* chosen by the client, returned by the server */
    uint64_t remaining_us; /* of a REQUEST: until the caller's deadline */
    uint32_t body_size, bulk_size;
    uint32_t body_crc32c;
    uint32_t reserved[4];   /* 0 */
    uint32_t header_crc32c; /* of the 60 bytes before */
};
_Static_assert(sizeof(struct rpc_frame) == RPC_FRAME_BYTES, "the header has no padding");

#define RPC_HELLO_FIELDS(F)                                                                        \
    F(u32, protocol, "RPC_PROTOCOL of the client")                                                 \
    F(u32, kind, "enum auth_kind: what will be proven")                                            \
    F(blob, nonce, "")                                                                             \
    F(blob, capability, "encoded auth_capability, for that kind")
WIRE_RECORD(rpc_hello, RPC_HELLO_FIELDS)

#define RPC_CHALLENGE_FIELDS(F)                                                                    \
    F(u32, protocol, "RPC_PROTOCOL of the server")                                                 \
    F(u8, takes_tokens, "the service checks users' tokens; else none may be sent to it")           \
    F(blob, nonce, "")                                                                             \
    F(blob, proof, "the server's; empty for kinds without a shared key")
WIRE_RECORD(rpc_challenge, RPC_CHALLENGE_FIELDS)

#define RPC_PROOF_FIELDS(F)                                                                        \
    F(blob, proof, "the client's; empty for kinds without a shared key")                           \
    F(text, token, "of a user, for that kind")
WIRE_RECORD(rpc_proof, RPC_PROOF_FIELDS)
