/* cmd_checksum.c - every replica of files is read in full and held against the others.
 *
 * What most of the replicas that could be read agree upon counts as the content; the others are
 * named by target and node. A chunk whose replicas differ is read again: it may just be written.
 */
#include "admin/commands.h"

#include "admin/progress.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "proto/storage.h"
#include <errno.h>
#include <openssl/evp.h>
#include <sys/stat.h>

enum { COMPARE_TRY_COUNT = 3 };

static const struct argument_spec checksum_spec[] = {
    { "paths", NULL, ARG_PATHS, true, "" },
    { "--list", NULL, ARG_FLAG, false, "the paths are local files with a path a line" },
    { "--batch", NULL, ARG_U32, false, "accepted and without effect" },
    { "--md5", NULL, ARG_FLAG, false, "show the MD5 of the content" },
    { "--fillZero", NULL, ARG_FLAG, false, "accepted and without effect: holes count as zeros" },
    { "--output", "-o", ARG_TEXT, false, "write the sums to this file" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

struct replica_sum {
    int error;
    uint32_t crc;    /* of the chunk's bytes */
    uint32_t length; /* of them */
};

/* One file on its way. */
struct summing {
    struct admin *a;
    const char *path;
    struct inode inode;
    uint8_t *piece; /* chunk_size bytes */
    uint32_t crc, difference_count;
    EVP_MD_CTX *md5; /* NULL: not wanted */
    struct progress *bar;
};

/* The replica's bytes are left in the piece. */
static struct replica_sum sum_replica(struct summing *s, uint32_t chain_id, uint32_t index,
                                      uint32_t replica)
{
    struct chunk_read read = { .chain_id = chain_id,
                               .chunk = { s->inode.id, index },
                               .length = s->inode.layout.chunk_size,
                               .to = s->piece };
    struct read_options options = { .choice = TARGET_INDEX, .target_index = replica };
    struct replica_sum sum = { 0 };
    int r = chunks_read(s->a->storage, &read, 1, &options);
    bool is_absent = r == -ERR_CHUNK_NOT_FOUND || read.status == -ERR_CHUNK_NOT_FOUND;
    if (r < 0 && !is_absent) sum.error = r;
    if (r >= 0 && !is_absent) sum.length = read.real_length;
    if (sum.error == 0) sum.crc = crc32c(0, s->piece, sum.length);
    return sum;
}

static bool sums_agree(const struct replica_sum *a, const struct replica_sum *b)
{
    return a->error == 0 && b->error == 0 && a->crc == b->crc && a->length == b->length;
}

/* The replica that most agree with, the first of several; -1 when none could be read. */
static int choose(const struct replica_sum *sums, uint32_t count)
{
    int best = -1;
    uint32_t best_votes = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t votes = 0;
        for (uint32_t j = 0; j < count; j++)
            votes += sums_agree(&sums[i], &sums[j]);
        if (votes <= best_votes) continue;
        best = (int)i;
        best_votes = votes;
    }
    return best;
}

/* The members of the chain that serve, copied: the routing changes while reads wait. */
static uint32_t serving_members(const struct chain_info *chain, struct chain_member *ret)
{
    uint32_t count = 0;
    while (count < chain->members.count &&
           chain->members.items[count].public_state == PUBLIC_SERVING) {
        ret[count] = chain->members.items[count];
        count++;
    }
    return count;
}

static void tell(struct summing *s, uint32_t index, uint32_t chain_id,
                 const struct chain_member *member, const struct replica_sum *sum)
{
    s->difference_count++;
    progress_hide(s->bar);
    FILE *out = s->a->printer.is_json ? stderr : s->a->printer.out;
    fprintf(out, "%s: chunk %u of chain %u: target %llu on node %u ", s->path, index, chain_id,
            (unsigned long long)member->target_id, member->node_id);
    if (sum->error < 0) {
        fprintf(out, "cannot be read: %s (%s)\n", error_name(sum->error),
                error_sentence(sum->error));
    } else {
        fprintf(out, "differs: length %u, CRC32C(%08X)\n", sum->length, sum->crc);
    }
}

static int compare_replicas(struct summing *s, uint32_t chain_id, uint32_t index,
                            struct chain_member *members, struct replica_sum *sums,
                            uint32_t *ret_count)
{
    for (int attempt = 0;; attempt++) {
        const struct chain_info *chain = routing_chain(admin_routing(s->a), chain_id);
        uint32_t count = chain ? serving_members(chain, members) : 0;
        if (!count) return -ERR_NOT_AVAILABLE;
        bool all_agree = true;
        for (uint32_t i = 0; i < count; i++) {
            sums[i] = sum_replica(s, chain_id, index, i);
            all_agree &= sums_agree(&sums[0], &sums[i]);
        }
        *ret_count = count;
        if (all_agree || attempt + 1 == COMPARE_TRY_COUNT) return 0;
        int r = fiber_sleep(100 * MSEC);
        if (r < 0) return r;
    }
}

static int sum_chunk(struct summing *s, uint32_t index)
{
    struct chain_member members[CHAIN_TARGET_COUNT_MAX];
    struct replica_sum sums[CHAIN_TARGET_COUNT_MAX];
    uint32_t chain_id, count = 0, chunk_size = s->inode.layout.chunk_size;
    int r = file_chain_of(admin_routing(s->a), &s->inode.layout, index, &chain_id);
    if (r >= 0) r = compare_replicas(s, chain_id, index, members, sums, &count);
    if (r < 0) return r;
    int best = choose(sums, count);
    for (uint32_t i = 0; i < count; i++)
        if (best < 0 || !sums_agree(&sums[i], &sums[best]))
            tell(s, index, chain_id, &members[i], &sums[i]);
    if (best < 0) return 0;
    struct replica_sum again = sum_replica(s, chain_id, index, (uint32_t)best);
    if (again.error < 0) return again.error;
    uint64_t left = s->inode.length - (uint64_t)index * chunk_size;
    uint32_t expected = (uint32_t)MIN_OF((uint64_t)chunk_size, left);
    if (again.length < expected) memset(s->piece + again.length, 0, expected - again.length);
    s->crc = crc32c(s->crc, s->piece, expected);
    if (s->md5) check(EVP_DigestUpdate(s->md5, s->piece, expected) == 1);
    return 0;
}

/* "CRC32C(B8DDA7C3)", or the MD5. */
static const char *sum_text(struct summing *s)
{
    struct arena *arena = &s->a->arena;
    if (!s->md5) return arena_printf(arena, "CRC32C(%08X)", s->crc);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(s->md5, digest, &size) == 1);
    char *text = arena_alloc(arena, 2 * size + 1);
    for (unsigned int i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

static int sum_file(struct summing *s, struct print_table *t)
{
    uint32_t chunk_size = s->inode.layout.chunk_size;
    uint64_t count = (s->inode.length + chunk_size - 1) / chunk_size;
    struct progress bar;
    int r = 0;
    s->bar = &bar;
    progress_begin(&bar, s->a, s->path, "chunks", count);
    for (uint64_t i = 0; r >= 0 && i < count; i++) {
        r = sum_chunk(s, (uint32_t)i);
        progress_show(&bar, i + 1);
    }
    progress_end(&bar);
    s->bar = NULL;
    if (r < 0) return admin_fail(s->a, r, "%s: %s", s->path, error_sentence(r));
    if (s->difference_count)
        return admin_fail(s->a, -ERR_CHECKSUM_MISMATCH, "%s: %u replicas of chunks are not good",
                          s->path, s->difference_count);
    if (t->printer->is_json) {
        table_cell(t, "%s", s->path);
        table_cell(t, "%s", sum_text(s));
    } else {
        fprintf(t->printer->out, "%s %s\n", s->path, sum_text(s));
    }
    return 0;
}

static int checksum_file(struct admin *a, const char *path, bool with_md5, struct print_table *t)
{
    struct summing s = { .a = a, .path = path };
    int r = admin_walk(a, path, true, &s.inode);
    if (r < 0) return r;
    if (!S_ISREG(s.inode.mode))
        return admin_fail(a, -ERR_META_NOT_FILE, "%s is not a regular file", path);
    s.piece = xmalloc(s.inode.layout.chunk_size);
    if (with_md5) s.md5 = EVP_MD_CTX_new();
    if (with_md5) check(s.md5 && EVP_DigestInit_ex(s.md5, EVP_md5(), NULL) == 1);
    r = sum_file(&s, t);
    EVP_MD_CTX_free(s.md5);
    free(s.piece);
    return r;
}

static int checksum_list(struct admin *a, const char *list, bool with_md5, struct print_table *t)
{
    FILE *in = fopen(list, "r");
    if (!in) return admin_fail(a, error_from_errno(errno), "cannot read %s", list);
    cleanup_(freep) char *line = NULL;
    size_t capacity = 0;
    int first = 0;
    while (getline(&line, &capacity, in) >= 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (!line[0]) continue;
        int r = checksum_file(a, arena_printf(&a->arena, "%s", line), with_md5, t);
        if (first >= 0 && r < 0) first = r;
    }
    fclose(in);
    return first;
}

static int run_checksum(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Path", "Checksum" };
    const struct argument_value *paths = argument(args, "paths");
    const char *output = argument_text(args, "--output", NULL);
    bool with_md5 = argument_flag(args, "--md5");
    int first = admin_need_storage(a);
    if (first < 0) return first;
    struct printer to = a->printer;
    if (output) to.out = fopen(output, "w");
    if (!to.out) return admin_fail(a, error_from_errno(errno), "cannot write %s", output);
    struct print_table t; /* for JSON */
    table_begin(&t, &to, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < paths->count; i++) {
        int r = argument_flag(args, "--list") ? checksum_list(a, paths->texts[i], with_md5, &t)
                                              : checksum_file(a, paths->texts[i], with_md5, &t);
        if (first >= 0 && r < 0) first = r;
    }
    if (first >= 0 && to.is_json) table_end(&t);
    table_drop(&t);
    if (output && fclose(to.out) != 0 && first >= 0)
        first = admin_fail(a, error_from_errno(errno), "cannot write %s", output);
    return first;
}

const struct command_spec checksum_commands[] = {
    { "checksum", run_checksum, checksum_spec,
      "Reads every replica of files and compares them.\n  checksum /f" },
    { NULL, NULL, NULL, NULL },
};
