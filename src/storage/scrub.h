/* scrub.h - reads all that a disk holds, slowly and again and again, so that what has gone bad is
 * found while other replicas have it; what is damaged is repaired (repair.h).
 *
 * One fiber a disk, which reads one piece at a time and pays for it at scrub.bandwidth. How far it
 * was is not kept: a process that starts begins anew after a pause.
 */
#pragma once
#include "loop/node.h"

struct storage;
struct disk;

/* In the storage's scope. */
int scrub_start(struct storage *s, struct disk *disk) must_check;
