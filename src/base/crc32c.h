/* crc32c.h - CRC-32C (Castagnoli), standard form: initial ~0, final inversion; ISA-L inside. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The CRC of @size bytes; @crc is 0 or the CRC of what came before. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The CRC of A followed by B, from the two CRCs and B's length. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b);
/* Copies and returns the CRC of what was copied, in one pass over cache-sized slices. */
uint32_t crc32c_copy(void *to, const void *from, size_t size);
