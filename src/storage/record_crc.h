/* record_crc.h - the CRC of a whole chunk from the CRCs of its blocks.
 *
 * Appending a block of 4 KiB multiplies by a constant in GF(2): four table look-ups here instead of
 * the general crc32c_combine(), which costs more than the CRC of the block itself.
 */
#pragma once
#include "storage/record_format.h"

struct crc_table {
    uint32_t shift[4][256]; /* of a CRC's bytes over one block */
    uint32_t zero_block;    /* CRC32C of 4 KiB of zeros */
};

void crc_table_init(struct crc_table *table);
/* The CRC of what @crc stands for followed by a whole block. */
static inline uint32_t crc_append_block(const struct crc_table *table, uint32_t crc,
                                        uint32_t block_crc)
{
    return table->shift[0][crc & 255] ^ table->shift[1][crc >> 8 & 255] ^
           table->shift[2][crc >> 16 & 255] ^ table->shift[3][crc >> 24] ^ block_crc;
}
/* Of @length bytes in ceil(length / 4 KiB) blocks. */
uint32_t crc_of_blocks(const struct crc_table *table, const uint32_t *block_crcs, uint32_t length);
uint32_t crc_of_zeros(uint32_t size); /* at most a block */
