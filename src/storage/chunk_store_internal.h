/* chunk_store_internal.h - the fields of a chunk store; for chunk_store*.c only. */
#pragma once
#include "storage/shard.h"

struct chunk_store {
    struct node *node;
    char *path;
    struct file *lock; /* of the directory */
    struct shard *shard;
    uint32_t operation_count; /* running calls and pins */
    bool is_closing;
    struct wait_queue idle;
};

/* A call under way: the store does not close beneath it. */
struct operation {
    struct chunk_store *store;
    struct shard_target *target;
};
/* -ERR_CANCELED while the store closes, -ERR_TARGET_NOT_FOUND. */
int operation_begin(struct operation *op, struct chunk_store *s, uint64_t target_id) must_check;
void operation_end(struct operation *op);
