/* space.h - the size of the file system, from what the disks report.
 *
 * Directories on one file system of a host are one device. Capacity and free bytes are those of all
 * devices, divided by the number of replicas. Available is what files can still take before the
 * first write fails: files are spread evenly over the chains, so each device fills in the
 * proportion of its targets, and the first one that is full ends it.
 */
#pragma once
#include "base/arena.h"
#include "client/routing.h"
#include "proto/meta.h"

/* Of disks that have not failed; zeros when there are none. */
struct statfs_reply space_of_disks(const struct list_disks_reply *disks,
                                   const struct routing *routing, struct arena *arena);
