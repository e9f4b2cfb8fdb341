/* superblock.h - reading, checking and replacing the superblock of a disk directory. */
#pragma once
#include "loop/node.h"
#include "storage/superblock_format.h"

/* What is read is not trusted: -ERR_DATA_CORRUPTION, -ERR_FORMAT_TOO_NEW, or 0. */
int superblock_decode(const void *data, size_t size, struct superblock_disk *ret) must_check;
/* 1 when there is one, 0 when there is none. */
int superblock_read(struct node *node, const char *dir,
                    struct superblock_disk *ret) fiber_fn must_check;
/* Sets the CRC; durable. */
int superblock_write(struct node *node, const char *dir,
                     struct superblock_disk *block) fiber_fn must_check;
