/* trim_test.c - a truncate's chunks are removed by whichever metadata service comes to it, maybe by
 * several: one that comes late, when the file has been written again, must not touch what is new.
 */
#include "client/file_io.h"
#include "sim/chain_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIZE = 3 * WORLD_CHUNK_BYTES / 2 };

static int write_all(struct world_client *c, const struct inode *inode, uint8_t value)
{
    uint8_t *bytes = xmalloc(SIZE);
    memset(bytes, value, SIZE);
    int r = file_write_chunks(c->storage, mgmtd_client_routing(c->mgmtd), inode, bytes, SIZE, 0);
    free(bytes);
    return r;
}

static int count_other(struct world_client *c, const struct inode *inode, uint8_t value)
{
    struct read_options options = { .choice = TARGET_SPREAD };
    uint8_t *bytes = xmalloc(SIZE);
    ssize_t n = file_read_chunks(c->storage, mgmtd_client_routing(c->mgmtd), inode, SIZE, bytes,
                                 SIZE, 0, &options);
    int count = n == SIZE ? 0 : SIZE;
    for (ssize_t i = 0; i < n; i++)
        count += bytes[i] != value;
    free(bytes);
    return count;
}

static void late_trim(struct world_client *c, void *arg)
{
    uint32_t chain = 1;
    struct inode inode = {
        .id = 77,
        .layout = { .chunk_size = WORLD_CHUNK_BYTES, .stripe = 1, .chains = { &chain, 1 } }
    };
    const struct routing *routing = mgmtd_client_routing(c->mgmtd);
    int r = write_all(c, &inode, 1);
    struct inode truncated = inode; /* as a metadata service has it that will be slow */
    truncated.generation = 1;
    if (r == 0) r = file_trim(c->storage, routing, &truncated, 0);
    inode.generation = 2; /* as after meta/setattr.c:trim_done_txn() */
    if (r == 0) r = write_all(c, &inode, 2);
    if (r == 0) r = file_trim(c->storage, routing, &truncated, 0);
    if (r == 0) r = file_trim(c->storage, routing, &truncated, 100);
    int others = r == 0 ? count_other(c, &inode, 2) : 0;
    if (r < 0) (void)world_fail(c->world, "trims end with %s", error_name(r));
    if (others > 0) (void)world_fail(c->world, "%d bytes were taken by a late trim", others);
}

static int body(struct world *w)
{
    return world_visit(&w->clients[0], late_trim, NULL);
}

static void a_late_trim_takes_nothing(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct world_options o = world_options_default(1);
    int r = world_run(w, &o, body);
    if (r < 0) fail_msg("%s", w->why);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_late_trim_takes_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
