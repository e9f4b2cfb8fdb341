/* units.h - the space of a shard: 64 KiB units inside files of 1 GiB, handed out, written, synced.
 *
 * units-0000 ######..###....#####    a bit a unit, in memory only: derived from the records at
 * every start units-0001 ####…                   the last file grows with demand, in steps, by
 * fallocate()
 *
 * Allocation is next-fit among units that were used before, then takes new ones, and prefers one
 * run; a request is broken up only when no run is long enough and either plenty of space is free in
 * pieces or the files cannot grow. Unit numbers are file × UNIT_FILE_UNITS + position, so that runs
 * never cross files.
 *
 * units_sync() is a group commit: all that wait for one share it. The first error of a sync is
 * final: what a later sync would say about the same pages means nothing.
 */
#pragma once
#include "loop/file.h"
#include "storage/record_format.h"

struct units;
struct units_options {
    struct node *node;
    const char *path;        /* directory of the unit files; copied */
    uint64_t reserve_bytes;  /* of the file system: left alone */
    uint64_t capacity_bytes; /* of all unit files; 0: no bound */
};
struct unit_run {
    uint32_t unit, count;
};

/* Opens and locks the files that are there; all units are free until units_mark(). BUSY: another
 * process has one of them. */
int units_open(const struct units_options *options, struct units **ret) fiber_fn must_check;
/* Starts the fiber that syncs. */
int units_start(struct units *u, struct scope *scope) must_check;
struct units *units_free(struct units *u); /* its fiber has ended; NULL is fine */
CLEANUP_FUNC(struct units *, units_free)

/* Before anything is taken: these units are in use. -ERR_DATA_CORRUPTION when they are already, or
 * not there. */
int units_mark(struct units *u, uint32_t unit, uint32_t count) must_check;

/* Takes @count units as at most @count runs; the number of runs, -ERR_NO_SPACE. */
int units_take(struct units *u, uint32_t count, struct unit_run *runs) fiber_fn must_check;
/* Only when nothing durable and no reader refers to them. */
void units_give(struct units *u, uint32_t unit, uint32_t count);

/* At @skip bytes into unit @unit; lengths, offsets and memory are multiples of 4 KiB, and stay in
 * one file. */
int units_write(struct units *u, uint32_t unit, uint64_t skip, const struct iovec *iov,
                int count) fiber_fn must_check;
int units_read(struct units *u, uint32_t unit, uint64_t skip, void *buf,
               size_t size) fiber_fn must_check;
/* Asks for everything whose units_write() has returned to become durable; a ticket to wait with. */
uint64_t units_sync_begin(struct units *u);
bool units_are_synced(const struct units *u, uint64_t ticket);
int units_sync_wait(struct units *u, uint64_t ticket) fiber_fn must_check;
/* Both. */
int units_sync(struct units *u) fiber_fn must_check;
/* Syncs all files, whatever this process has written; before units_start(). */
int units_sync_all(struct units *u) fiber_fn must_check;
/* Whether the files have these units. */
bool units_exist(const struct units *u, uint32_t unit, uint32_t count);

uint64_t units_free_count(const struct units *u);
uint64_t units_total_count(const struct units *u);
struct units_space {
    uint64_t capacity_bytes, free_bytes, device;
};
int units_space(struct units *u, struct units_space *ret) fiber_fn must_check;
/* The first error of the disk itself, or 0; final. */
int units_failure(const struct units *u);
uint64_t units_sync_count(const struct units *u); /* groups so far */
