/* kv_digest.h - what a transaction remembers of the pairs that it read: 64 bits under a secret key.
 *
 * SipHash-1-3 over 8-byte words; every run of bytes is preceded by its length, so that different
 * lists of pairs never look alike. Two different contents collide with probability 2^-64, and
 * nobody who can choose values can make them, because the key is random and known only to the
 * process that read.
 */
#pragma once
#include "base/bytes.h"

struct kv_digest_key {
    uint64_t words[2];
};

struct kv_digest {
    uint64_t v0, v1, v2, v3;
};

static inline void kv_digest_round(struct kv_digest *d)
{
#define KV_ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))
    d->v0 += d->v1;
    d->v1 = KV_ROTATE(d->v1, 13) ^ d->v0;
    d->v0 = KV_ROTATE(d->v0, 32);
    d->v2 += d->v3;
    d->v3 = KV_ROTATE(d->v3, 16) ^ d->v2;
    d->v0 += d->v3;
    d->v3 = KV_ROTATE(d->v3, 21) ^ d->v0;
    d->v2 += d->v1;
    d->v1 = KV_ROTATE(d->v1, 17) ^ d->v2;
    d->v2 = KV_ROTATE(d->v2, 32);
#undef KV_ROTATE
}

static inline void kv_digest_word(struct kv_digest *d, uint64_t word)
{
    d->v3 ^= word;
    kv_digest_round(d);
    d->v0 ^= word;
}

static inline void kv_digest_init(struct kv_digest *d, const struct kv_digest_key *key)
{
    d->v0 = key->words[0] ^ 0x736f6d6570736575ull;
    d->v1 = key->words[1] ^ 0x646f72616e646f6dull;
    d->v2 = key->words[0] ^ 0x6c7967656e657261ull;
    d->v3 = key->words[1] ^ 0x7465646279746573ull;
}

static inline void kv_digest_bytes(struct kv_digest *d, struct bytes data)
{
    kv_digest_word(d, data.size);
    size_t at = 0;
    uint64_t word;
    for (; at + sizeof(word) <= data.size; at += sizeof(word)) {
        memcpy(&word, data.base + at, sizeof(word));
        kv_digest_word(d, word);
    }
    if (at == data.size) return;
    word = 0;
    memcpy(&word, data.base + at, data.size - at);
    kv_digest_word(d, word);
}

static inline void kv_digest_pair(struct kv_digest *d, struct bytes key, struct bytes value)
{
    kv_digest_bytes(d, key);
    kv_digest_bytes(d, value);
}

static inline uint64_t kv_digest_final(struct kv_digest *d)
{
    d->v2 ^= 0xff;
    kv_digest_round(d);
    kv_digest_round(d);
    kv_digest_round(d);
    return d->v0 ^ d->v1 ^ d->v2 ^ d->v3;
}
