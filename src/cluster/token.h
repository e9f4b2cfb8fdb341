/* token.h - the text form of a user's token: 24 letters of base64 that carry the uid, random bits
 * and a CRC.
 *
 * A token holds no secret but its random bits: anybody can read the uid of one, and it is valid
 * only if the user store has it (users.h). The form is that of 3FS, so tokens can be carried over.
 */
#pragma once
#include "base/bytes.h"
#include "base/cleanup.h"

enum { TOKEN_TEXT_SIZE = 24 };

void token_make(uint32_t uid, uint64_t random, char ret_text[TOKEN_TEXT_SIZE + 1]);
/* -ERR_INVALID_FORMAT when @text is no token. */
int token_parse(struct bytes text, uint32_t *ret_uid, uint64_t *ret_random) must_check;
