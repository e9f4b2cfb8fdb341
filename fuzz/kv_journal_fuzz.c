/* kv_journal_fuzz.c - the two files of the embedded store's journal, read back at open.
 *
 * Input: the version of the base; the size of the first file in units of 512 bytes; then that file,
 * and behind it the other. With the highest bit of the first byte the CRCs of headers and records
 * are made right first. What is replayed has versions without gaps, above the base's.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "fiber/sync.h"
#include "kv/journal_internal.h"
#include "loop/sim.h"

#include <fcntl.h>
#include <stdio.h>

enum { HEAD_BYTES = 2, FIX_CRCS = 0x80 };

struct run {
    struct machine *machine;
    struct node *node;
    uint64_t base_version, version; /* of the base; of the last that was replayed */
    struct bytes images[JOURNAL_FILES];
    int result;
    struct event ended;
};

static int on_replay(void *arg, uint64_t version, const struct kv_commit *commit)
{
    struct run *run = arg;
    check(version == run->version + 1);
    run->version = version;
    size_t bytes = 0;
    for (size_t i = 0; i < commit->write_count; i++) {
        for (size_t k = 0; k < commit->writes[i].key.size; k++) {
            bytes += commit->writes[i].key.base[k];
        }
        if (commit->writes[i].value.size)
            bytes += commit->writes[i].value.base[commit->writes[i].value.size - 1];
    }
    return bytes == SIZE_MAX ? -ERR_FOUND_BUG : 0;
}

static int read_back(struct run *run)
{
    struct file *files[JOURNAL_FILES] = { NULL };
    struct journal_reading reading = {
        .node = run->node, .next_version = run->base_version + 1, .replay = on_replay, .arg = run
    };
    int r = 0;
    for (int i = 0; r >= 0 && i < JOURNAL_FILES; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/journal-%d", i);
        r = file_open(run->node, path, O_RDWR | O_CREAT, 0600, &files[i]);
        if (r >= 0) r = file_write(files[i], run->images[i].base, run->images[i].size, 0);
    }
    check(r >= 0);
    r = journal_read_files(&reading, files);
    check(r <= 0 && reading.next_version == run->version + 1);
    for (int i = 0; i < JOURNAL_FILES; i++) {
        file_close(files[i]);
    }
    return 0;
}

static int body_fiber(void *arg)
{
    struct run *run = arg;
    run->result = read_back(run);
    event_set(&run->ended, 0);
    return 0;
}

static int run_main(void *arg)
{
    struct run *run = arg;
    int r = fiber_spawn(&run->node->scope, "replay", body_fiber, run);
    check(r == 0);
    r = event_wait(&run->ended, "replay");
    check(r == 0);
    node_stop(run->node);
    return run->result;
}

/* Headers and every record that stands behind another. */
static void fix_crcs(uint8_t *image, size_t size)
{
    struct journal_header header;
    struct journal_record record;
    if (size < JOURNAL_HEADER_BYTES) return;
    memcpy(&header, image, sizeof(header));
    header.crc = crc32c(0, &header, offsetof(struct journal_header, crc));
    memcpy(image, &header, sizeof(header));
    size_t at = JOURNAL_HEADER_BYTES;
    while (at + sizeof(record) <= size) {
        memcpy(&record, image + at, sizeof(record));
        size_t left = size - at - sizeof(record);
        if (record.magic != JOURNAL_RECORD_MAGIC || record.payload_bytes > left) {
            if (at % JOURNAL_GROUP_ALIGN == 0) break;
            at += JOURNAL_GROUP_ALIGN - at % JOURNAL_GROUP_ALIGN;
            continue;
        }
        record.payload_crc = crc32c(0, image + at + sizeof(record), record.payload_bytes);
        record.crc = crc32c(0, &record, offsetof(struct journal_record, crc));
        memcpy(image + at, &record, sizeof(record));
        at += sizeof(record) + record.payload_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES || size > 200000) return 0;
    size_t rest = size - HEAD_BYTES;
    size_t first = MIN_OF((size_t)data[1] * JOURNAL_GROUP_ALIGN, rest);
    cleanup_(freep) uint8_t *copy = xmalloc(rest + 1);
    memcpy(copy, data + HEAD_BYTES, rest);
    if (data[0] & FIX_CRCS) {
        fix_crcs(copy, first);
        fix_crcs(copy + first, rest - first);
    }
    struct run run = { .base_version = data[0] & 0x7f };
    run.version = run.base_version;
    run.images[0] = bytes_of(copy, first);
    run.images[1] = bytes_of(copy + first, rest - first);
    event_init(&run.ended);
    struct sim_options options = sim_options_default(1);
    cleanup_(sim_freep) struct sim *sim = sim_new(&options);
    run.machine = sim_machine_new(sim, "disk");
    run.node = node_new(sim_loop(sim), run.machine, "disk");
    run.node->log.level = LOG_LEVEL_MAX;
    int r = sim_run(sim, run_main, &run, 1000 * SEC);
    check(r == 0);
    node_free(run.node);
    return 0;
}
