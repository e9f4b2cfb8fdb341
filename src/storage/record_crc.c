/* record_crc.c - see record_crc.h. */
#include "storage/record_crc.h"
#include "base/crc32c.h"

void crc_table_init(struct crc_table *table)
{
    for (uint32_t byte = 0; byte < 4; byte++) {
        for (uint32_t value = 0; value < 256; value++) {
            table->shift[byte][value] = crc32c_combine(value << 8 * byte, 0, BLOCK_BYTES);
        }
    }
    table->zero_block = crc_of_zeros(BLOCK_BYTES);
}

uint32_t crc_of_blocks(const struct crc_table *table, const uint32_t *block_crcs, uint32_t length)
{
    uint32_t whole = length / BLOCK_BYTES, crc = 0;
    for (uint32_t i = 0; i < whole; i++) {
        crc = crc_append_block(table, crc, block_crcs[i]);
    }
    uint32_t rest = length % BLOCK_BYTES;
    return rest ? crc32c_combine(crc, block_crcs[whole], rest) : crc;
}

uint32_t crc_of_zeros(uint32_t size)
{
    static const uint8_t zeros[BLOCK_BYTES];
    return crc32c(0, zeros, size);
}
