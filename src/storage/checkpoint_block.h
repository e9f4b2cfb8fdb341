/* checkpoint_block.h - headers and blocks of checkpoints that were read: checking them without
 * trusting them. */
#pragma once
#include "storage/checkpoint_format.h"
#include "storage/journal_entry.h"

/* -ERR_DATA_CORRUPTION, -ERR_FORMAT_TOO_NEW, -ERR_STORAGE_UUID_MISMATCH, or 0. */
int checkpoint_header_check(const struct checkpoint_disk *head, uint64_t uuid_high,
                            uint64_t uuid_low) must_check;
void checkpoint_header_seal(struct checkpoint_disk *head);
/* The size that the block at the start of @in claims, within bounds; 0 when no block of @sequence
 * stands there. */
uint32_t checkpoint_block_size(struct bytes in, uint64_t sequence, uint32_t number);
/* 0 and the header when the whole block is at the start of @in and sound. */
int checkpoint_block_check(struct bytes in, struct block_disk *ret) must_check;
void checkpoint_block_seal(uint8_t *block, struct block_disk *head);
/* Calls @fn for the entries of a checked block at @offset of @file. */
int checkpoint_block_each(struct bytes in, const struct block_disk *head, enum index_file file,
                          uint64_t offset,
                          int (*fn)(void *arg, uint64_t locator, const struct entry *entry),
                          void *arg) must_check;
