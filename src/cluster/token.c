/* token.c - 18 bytes, shuffled by a fixed table, in base64.
 *
 * Plain bytes, little-endian: u16 0xF1DB, u32 uid, u64 random, u32 CRC-32 (reflected 0xEDB88320,
 * start 0, no final inversion) of the 14 before. Byte i is stored at places[i].
 */
#include "cluster/token.h"

#include "base/error.h"

enum { TOKEN_MAGIC = 0xf1db, TOKEN_BYTES = 18, COVERED_BYTES = 14 };

static const uint8_t places[TOKEN_BYTES] = { 12, 6, 0, 13, 7,  1, 14, 8,  2,
                                             15, 9, 3, 16, 10, 4, 17, 11, 5 };
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t crc32_plain(const uint8_t *data, size_t size)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
        }
    }
    return crc;
}

void token_make(uint32_t uid, uint64_t random, char ret_text[TOKEN_TEXT_SIZE + 1])
{
    uint8_t plain[TOKEN_BYTES], stored[TOKEN_BYTES];
    uint16_t magic = TOKEN_MAGIC;
    memcpy(plain, &magic, sizeof magic);
    memcpy(plain + 2, &uid, sizeof uid);
    memcpy(plain + 6, &random, sizeof random);
    uint32_t crc = crc32_plain(plain, COVERED_BYTES);
    memcpy(plain + COVERED_BYTES, &crc, sizeof crc);
    for (int i = 0; i < TOKEN_BYTES; i++) {
        stored[places[i]] = plain[i];
    }
    for (int i = 0; i < TOKEN_BYTES / 3; i++) {
        uint32_t group =
            (uint32_t)stored[3 * i] << 16 | (uint32_t)stored[3 * i + 1] << 8 | stored[3 * i + 2];
        for (int j = 0; j < 4; j++) {
            ret_text[4 * i + j] = letters[group >> (18 - 6 * j) & 63];
        }
    }
    ret_text[TOKEN_TEXT_SIZE] = '\0';
}

int token_parse(struct bytes text, uint32_t *ret_uid, uint64_t *ret_random)
{
    if (text.size != TOKEN_TEXT_SIZE) return -ERR_INVALID_FORMAT;
    uint8_t plain[TOKEN_BYTES], stored[TOKEN_BYTES];
    for (int i = 0; i < TOKEN_BYTES / 3; i++) {
        uint32_t group = 0;
        for (int j = 0; j < 4; j++) {
            uint8_t letter = text.base[4 * i + j];
            const char *at = letter ? strchr(letters, letter) : NULL;
            if (!at) return -ERR_INVALID_FORMAT;
            group = group << 6 | (uint32_t)(at - letters);
        }
        stored[3 * i] = (uint8_t)(group >> 16);
        stored[3 * i + 1] = (uint8_t)(group >> 8);
        stored[3 * i + 2] = (uint8_t)group;
    }
    for (int i = 0; i < TOKEN_BYTES; i++) {
        plain[i] = stored[places[i]];
    }
    uint16_t magic;
    uint32_t crc;
    memcpy(&magic, plain, sizeof magic);
    memcpy(&crc, plain + COVERED_BYTES, sizeof crc);
    if (magic != TOKEN_MAGIC || crc != crc32_plain(plain, COVERED_BYTES))
        return -ERR_INVALID_FORMAT;
    memcpy(ret_uid, plain + 2, sizeof *ret_uid);
    memcpy(ret_random, plain + 6, sizeof *ret_random);
    return 0;
}
