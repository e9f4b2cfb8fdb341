/* crc32c.c - CRC-32C by ISA-L, which leaves both inversions to its caller; and combining without
 * the bytes.
 *
 * A CRC is a polynomial over GF(2) modulo P, bit-reversed: bit 31 is x^0. Appending n bytes
 * multiplies by x^(8n); powers are put together from x^(2^k).
 */
#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <string.h>

enum {
    POLYNOMIAL = (int)0x82f63b78,
    CALL_BYTES_MAX = 1 << 30,   /* ISA-L takes an int */
    COPY_SLICE_BYTES = 8 << 10, /* stays in the first-level cache between the copy and the CRC */
};

/* x^(2^k) mod P. */
static const uint32_t power_table[32] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000,
};

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    unsigned char *at = (unsigned char *)(uintptr_t)data;
    uint32_t state = ~crc;
    while (size > 0) {
        int n = size < CALL_BYTES_MAX ? (int)size : CALL_BYTES_MAX;
        state = crc32_iscsi(at, n, state);
        at += n;
        size -= (size_t)n;
    }
    return ~state;
}

static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b >> 1) ^ (b & 1 ? (uint32_t)POLYNOMIAL : 0);
    }
    return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b)
{
    /* The order of x divides 2^32 - 1, so the table is cyclic: x^(2^32) = x. */
    unsigned k = 3;
    for (; size_b; size_b >>= 1, k++) {
        if (size_b & 1) crc_a = multiply(power_table[k % 32], crc_a);
    }
    return crc_a ^ crc_b;
}

uint32_t crc32c_copy(void *to, const void *from, size_t size)
{
    uint32_t crc = 0;
    for (size_t done = 0; done < size;) {
        size_t n = size - done < COPY_SLICE_BYTES ? size - done : COPY_SLICE_BYTES;
        memcpy((char *)to + done, (const char *)from + done, n);
        crc = crc32c(crc, (char *)to + done, n); /* of the copy: the source may be changing */
        done += n;
    }
    return crc;
}
