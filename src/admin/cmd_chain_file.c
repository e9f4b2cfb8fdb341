/* cmd_chain_file.c - chains and chain tables from CSV files, and into them. */
#include "admin/commands.h"

#include "base/check.h"
#include "loop/file.h"

enum { CSV_BYTES_MAX = 64 << 20 };

struct csv {
    char *at;
    uint32_t line;
};

static int csv_open(struct admin *a, const char *path, struct csv *ret)
{
    char *text = NULL;
    size_t size;
    int r = file_read_all(a->node, path, CSV_BYTES_MAX, &text, &size);
    if (r < 0) return admin_fail(a, r, "cannot read %s", path);
    *ret = (struct csv){ .at = arena_text(&a->arena, bytes_of(text, size)), .line = 0 };
    free(text);
    return 0;
}

/* The next line that is not empty; NULL at the end. */
static char *csv_line(struct csv *c)
{
    while (c->at && *c->at) {
        char *line = c->at;
        size_t size = strcspn(line, "\n");
        c->at = line + size + (line[size] == '\n');
        c->line++;
        line[size] = 0;
        line[strcspn(line, "\r")] = 0;
        if (line[strspn(line, " \t")]) return line;
    }
    return NULL;
}

/* Numbers of one row. -1 when one is none, or out of range. */
static int csv_numbers(const char *line, uint64_t *ret, uint32_t max_count)
{
    uint32_t count = 0;
    for (const char *p = line;;) {
        char *end;
        p += strspn(p, " \t");
        if (count == max_count || *p < '0' || *p > '9') return -1;
        ret[count++] = strtoull(p, &end, 10);
        end += strspn(end, " \t");
        if (!*end) return (int)count;
        if (*end != ',') return -1;
        p = end + 1;
    }
}

static const struct argument_spec upload_chains_spec[] = {
    { "file", NULL, ARG_TEXT, true, "CSV: ChainId,TargetId,..." },
    { "--dump-template", "-d", ARG_FLAG, false, "write an example there instead" },
    { "--set-preferred-target-order", NULL, ARG_FLAG, false,
      "the order given is the preferred one" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int dump_text(struct admin *a, const char *path, const char *text, size_t size)
{
    int r = file_replace(a->node, path, text, size, 0644);
    return r < 0 ? admin_fail(a, r, "cannot write %s", path) : 0;
}

static int chains_read(struct admin *a, const char *path, struct chain_spec_list *ret)
{
    struct csv csv = { 0 };
    int r = csv_open(a, path, &csv);
    if (r < 0) return r;
    const char *header = csv_line(&csv);
    if (!header || strncmp(header, "ChainId,TargetId", 16) != 0)
        return admin_fail(a, -ERR_INVALID_FORMAT, "%s: the first line must be ChainId,TargetId,...",
                          path);
    uint32_t capacity = 0;
    int width = 0;
    char *line;
    uint64_t row[1 + CHAIN_TARGET_COUNT_MAX];
    while ((line = csv_line(&csv))) {
        int n = csv_numbers(line, row, ARRAY_SIZE(row));
        if (n < 2 || (width && n != width) || row[0] == 0 || row[0] > UINT32_MAX)
            return admin_fail(a, -ERR_INVALID_FORMAT,
                              "%s, line %u: '%s' is not a chain id up to 4294967295 and %s targets",
                              path, csv.line, line, width ? "as many" : "1 to 16");
        width = n;
        if (ret->count == capacity) {
            struct chain_spec *more = arena_array(&a->arena, struct chain_spec, capacity * 2 + 64);
            if (ret->count) memcpy(more, ret->items, ret->count * sizeof *more);
            capacity = capacity * 2 + 64;
            ret->items = more;
        }
        struct chain_spec *chain = &ret->items[ret->count++];
        chain->chain_id = (uint32_t)row[0];
        chain->targets =
            (struct u64_list){ arena_array(&a->arena, uint64_t, (uint32_t)n), (uint32_t)n - 1 };
        memcpy(chain->targets.items, row + 1, ((size_t)n - 1) * sizeof row[0]);
    }
    return ret->count ? 0 : admin_fail(a, -ERR_INVALID_FORMAT, "%s has no chains", path);
}

static int run_upload_chains(struct admin *a, const struct arguments *args)
{
    static const char template[] =
        "ChainId,TargetId,TargetId\n100001,10001,20001\n100002,10002,20002\n";
    const char *path = argument_text(args, "file", "");
    if (argument_flag(args, "--dump-template"))
        return dump_text(a, path, template, strlen(template));
    struct set_chains_request q = { .set_preferred_order =
                                        argument_flag(args, "--set-preferred-target-order") };
    struct empty_record none;
    int r = chains_read(a, path, &q.chains);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_chains), &q, &none);
    if (r < 0) return r;
    admin_say(a, "Upload %u chains succeeded", q.chains.count);
    return 0;
}

static const struct argument_spec upload_table_spec[] = {
    { "tableId", NULL, ARG_U32, true, "" },
    { "file", NULL, ARG_TEXT, true, "CSV: ChainId" },
    { "--dump-template", "-d", ARG_FLAG, false, "write an example there instead" },
    { "--desc", NULL, ARG_TEXT, false, "" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* A table that the root directory's files are spread over has at least as many chains as its
 * stripe. Without a metadata service nobody can tell, and nobody creates files. */
static int check_stripe(struct admin *a, const struct set_chain_table_request *q)
{
    struct inode root;
    const struct node_info *node;
    bool has_meta = false;
    size_t at = 0;
    int r = admin_need_meta(a);
    if (r < 0) return r;
    while ((node = map_next(&admin_routing(a)->nodes, &at)))
        has_meta |= node->type == NODE_META && node->status == NODE_HEARTBEAT_CONNECTED;
    if (!has_meta) return 0;
    FIBER_TIMEOUT(3 * SEC);
    r = meta_walk(a->meta, &a->user, &a->arena, "/", false, &root);
    bool is_too_small =
        r >= 0 && root.layout.table_id == q->table_id && root.layout.stripe > q->chains.count;
    if (!is_too_small) return fiber_is_cancelled() ? r : 0;
    return admin_fail(a, -ERR_MGMTD_INVALID_CHAIN_TABLE,
                      "the table has %u chains, less than the stripe %u of the root directory: add "
                      "chains, or set-layout a smaller stripe first",
                      q->chains.count, root.layout.stripe);
}

static int run_upload_chain_table(struct admin *a, const struct arguments *args)
{
    static const char template[] = "ChainId\n100001\n100002\n";
    const char *path = argument_text(args, "file", "");
    if (argument_flag(args, "--dump-template"))
        return dump_text(a, path, template, strlen(template));
    struct csv csv = { 0 };
    struct set_chain_table_request q = { .table_id = (uint32_t)argument_number(args, "tableId", 0),
                                         .desc = bytes_of_text(argument_text(args, "--desc", "")) };
    struct set_chain_table_reply rep = { 0 };
    int r = csv_open(a, path, &csv);
    if (r < 0) return r;
    const char *header = csv_line(&csv), *line;
    if (!header || strcmp(header, "ChainId") != 0)
        return admin_fail(a, -ERR_INVALID_FORMAT, "%s: the first line must be ChainId", path);
    q.chains.items = arena_array(&a->arena, uint32_t, strlen(csv.at) / 2 + 1);
    while ((line = csv_line(&csv))) {
        uint64_t id;
        if (csv_numbers(line, &id, 1) != 1 || id == 0 || id > UINT32_MAX)
            return admin_fail(a, -ERR_INVALID_FORMAT,
                              "%s, line %u: '%s' is no chain id (1 to 4294967295)", path, csv.line,
                              line);
        q.chains.items[q.chains.count++] = (uint32_t)id;
    }
    r = check_stripe(a, &q);
    if (r >= 0) r = admin_mgmtd(a, RPC_METHOD(mgmtd, set_chain_table), &q, &rep);
    if (r < 0) return r;
    admin_say(a, "Upload ChainTableId(%u) of ChainTableVersion(%u) succeeded", q.table_id,
              rep.version);
    return 0;
}

static const struct argument_spec dump_table_spec[] = {
    { "tableId", NULL, ARG_U32, true, "" },
    { "file", NULL, ARG_TEXT, true, "" },
    { "--table-version", "-v", ARG_U32, false, "0: the latest" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int run_dump_chain_table(struct admin *a, const struct arguments *args)
{
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    uint32_t id = (uint32_t)argument_number(args, "tableId", 0);
    const char *path = argument_text(args, "file", "");
    const struct chain_table *table =
        routing_table(admin_routing(a), id, (uint32_t)argument_number(args, "--table-version", 0));
    if (!table)
        return admin_fail(a, -ERR_MGMTD_INVALID_CHAIN_TABLE,
                          "there is no chain table %u of that version", id);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    fputs("ChainId\n", out);
    for (uint32_t i = 0; i < table->chains.count; i++)
        fprintf(out, "%u\n", table->chains.items[i]);
    fclose(out);
    r = dump_text(a, path, text, size);
    free(text);
    if (r >= 0)
        admin_say(a, "Dump ChainTableId(%u) of ChainTableVersion(%u) to %s succeeded", id,
                  table->version, path);
    return r;
}

static const struct argument_spec dump_chains_spec[] = {
    { "prefix", NULL, ARG_TEXT, true, "of the files' names" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int compare_chains(const void *x, const void *y)
{
    const struct chain_info *a = *(const struct chain_info *const *)x,
                            *b = *(const struct chain_info *const *)y;
    return (a->chain_id > b->chain_id) - (a->chain_id < b->chain_id);
}

/* Those with @width targets, as upload-chains takes them; copied, since the routing changes while
 * files are written. */
static char *chains_text(struct admin *a, const struct chain_info **chains, size_t count,
                         uint32_t width, uint32_t *ret_rows)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    fputs("ChainId", out);
    for (uint32_t i = 0; i < width; i++)
        fputs(",TargetId", out);
    fputc('\n', out);
    *ret_rows = 0;
    for (size_t c = 0; c < count; c++) {
        if (chains[c]->members.count != width) continue;
        fprintf(out, "%u", chains[c]->chain_id);
        for (uint32_t i = 0; i < width; i++)
            fprintf(out, ",%llu", (unsigned long long)chains[c]->members.items[i].target_id);
        fputc('\n', out);
        ++*ret_rows;
    }
    fclose(out);
    char *copy = arena_text(&a->arena, bytes_of(text, size));
    free(text);
    return copy;
}

static int run_dump_chains(struct admin *a, const struct arguments *args)
{
    int r = admin_need_mgmtd(a);
    if (r < 0) return r;
    const char *prefix = argument_text(args, "prefix", "");
    const struct map *all = &admin_routing(a)->chains;
    const struct chain_info *chain,
        **chains = arena_array(&a->arena, const struct chain_info *, all->count);
    char *texts[CHAIN_TARGET_COUNT_MAX + 1] = { NULL };
    uint32_t rows[CHAIN_TARGET_COUNT_MAX + 1] = { 0 };
    size_t at = 0, count = 0;
    while ((chain = map_next(all, &at)))
        chains[count++] = chain;
    qsort(chains, count, sizeof *chains, compare_chains);
    for (uint32_t width = 1; width <= CHAIN_TARGET_COUNT_MAX; width++)
        texts[width] = chains_text(a, chains, count, width, &rows[width]);
    for (uint32_t width = 1; width <= CHAIN_TARGET_COUNT_MAX; width++) {
        if (rows[width] == 0) continue;
        const char *path = arena_printf(&a->arena, "%s.%u", prefix, width);
        r = dump_text(a, path, texts[width], strlen(texts[width]));
        if (r < 0) return r;
        admin_say(a, "Dump %u chains to %s succeeded", rows[width], path);
    }
    return count ? 0 : admin_fail(a, -ERR_MGMTD_CHAIN_NOT_FOUND, "there are no chains");
}

const struct command_spec chain_file_commands[] = {
    { "upload-chains", run_upload_chains, upload_chains_spec,
      "Makes the chains of a CSV file; those that exist must have the same targets.\n"
      "  upload-chains output/generated_chains.csv" },
    { "upload-chain-table", run_upload_chain_table, upload_table_spec,
      "Makes a chain table, or its next version if the chains differ.\n"
      "  upload-chain-table --desc stage 1 output/generated_chain_table.csv" },
    { "dump-chain-table", run_dump_chain_table, dump_table_spec, "Writes a chain table as CSV." },
    { "dump-chains", run_dump_chains, dump_chains_spec,
      "Writes all chains as upload-chains takes them, a file for each number of replicas.\n"
      "  dump-chains chains.csv" },
    { NULL, NULL, NULL, NULL },
};
