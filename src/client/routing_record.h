/* routing_record.h - heap copies of the records that routing consists of: one allocation each,
 * freed by free().
 *
 * Records decoded from a message borrow from it; what is kept longer is copied with these.
 */
#pragma once
#include "proto/mgmtd.h"

struct node_info *node_info_copy(const struct node_info *from) must_check;
struct chain_info *chain_info_copy(const struct chain_info *from) must_check;
struct chain_table *chain_table_copy(const struct chain_table *from) must_check;
