/* file_io.h - bytes of a file as chunks on chains: striping, holes, ends. No metadata is changed
 * here.
 *
 * Chunk i of a file is on chain layout.chains[i % stripe] (an index into the layout's chain table).
 */
#pragma once
#include "client/storage_client.h"
#include "proto/meta.h"

/* The chain id of a chunk. -ERR_META_INVALID_LAYOUT, -ERR_ROUTING_ERROR when the table is unknown.
 */
int file_chain_of(const struct routing *routing, const struct layout *layout, uint32_t chunk_index,
                  uint32_t *ret_chain_id) must_check;
/* Reads [offset, offset + size) clipped to @length (the file's length as the caller knows it);
 * holes are zeros. Returns the bytes read. */
ssize_t file_read_chunks(struct storage_client *c, const struct routing *routing,
                         const struct inode *inode, uint64_t length, void *to, size_t size,
                         uint64_t offset, const struct read_options *options) fiber_fn must_check;
/* Writes all of it. -ERR_CHUNK_STALE_GENERATION: refresh the inode and try again.
 * -ERR_META_FILE_TOO_LARGE. */
int file_write_chunks(struct storage_client *c, const struct routing *routing,
                      const struct inode *inode, const void *from, size_t size,
                      uint64_t offset) fiber_fn must_check;
/* The end of the last chunk on all chains of the stripe: what the storage says is the length; 0 for
 * none. */
int file_query_length(struct storage_client *c, const struct routing *routing,
                      const struct inode *inode, uint64_t *ret_length) fiber_fn must_check;
/* After a truncate to @length: floors first, then the cut chunk, then the chunks beyond, then the
 * floors of the next generation, which writes carry from now on: whoever does the same trim late
 * cannot touch them. */
int file_trim(struct storage_client *c, const struct routing *routing, const struct inode *inode,
              uint64_t length) fiber_fn must_check;
/* Removes every chunk. */
int file_remove_chunks(struct storage_client *c, const struct routing *routing,
                       const struct inode *inode) fiber_fn must_check;
