/* bench.h - what the load generators of the admin tool share. */
#pragma once
#include "admin/admin.h"

/* A directory, and the storages. Failures are printed, as by the next. */
int bench_directory(struct admin *a, const char *path, struct inode *ret) fiber_fn must_check;
/* The argument, 1 to @max. */
int bench_number(struct admin *a, const struct arguments *args, const char *name, uint64_t fallback,
                 uint64_t max, uint64_t *ret) must_check;
/* Runs @count fibers of worker(arg) to their end; the first failure ends them all. */
int bench_run(uint64_t count, int (*worker)(void *arg), void *arg) fiber_fn must_check;
double bench_rate(uint64_t bytes, uint64_t ns); /* MiB/s */
