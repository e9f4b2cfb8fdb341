/* cmd_fsck.c - is all of it sound: the tree of files, the sessions, the chunks, the replicas?
 *
 * The services may run meanwhile. The tree is read from one snapshot of the store, so it is judged
 * as of one moment; chunks are listed after it, and what looks wrong is looked at again
 * (fsck_chunks.c). Chunks that a file should have are not known: a hole is not damage.
 *
 * What is mended with --repair: chunks of no inode, and sessions of clients that are gone. All else
 * needs somebody who decides what was meant.
 */
#include "admin/commands.h"

#include "admin/fsck.h"
#include "base/check.h"

static const struct argument_spec fsck_spec[] = {
    { "--repair", NULL, ARG_FLAG, false,
      "remove chunks of no inode, end sessions of clients that are gone" },
    { "--force", NULL, ARG_FLAG, false, "with --repair, even if that is most of all chunks" },
    { "--tree-only", NULL, ARG_FLAG, false, "leave the chunks out" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

void fsck_report(struct fsck *f, const char *class, const char *where, const char *what,
                 const char *done)
{
    f->finding_count++;
    table_cell(&f->table, "%s", class);
    table_cell(&f->table, "%s", where);
    table_cell(&f->table, "%s", what);
    table_cell(&f->table, "%s", done);
}

/* ---- the tree ---- */

static void report_tree(void *arg, enum tree_fault fault, uint64_t inode, const char *where,
                        const char *what)
{
    fsck_report(arg, tree_fault_name(fault), where, what, "");
}

static void show_tree(void *arg, uint64_t record_count)
{
    struct fsck *f = arg;
    progress_show(&f->progress, record_count);
}

static int check_tree(struct fsck *f)
{
    cleanup_(kv_endp) struct kv_txn *txn = NULL;
    f->tree.report = report_tree;
    f->tree.progress = show_tree;
    f->tree.arg = f;
    progress_begin(&f->progress, f->a, "fsck", "records", 0);
    int r = kv_begin_long(f->a->kv, &txn);
    if (r >= 0) r = tree_check(&f->tree, txn, node_random_u64(f->a->node));
    progress_end(&f->progress);
    return r < 0 ? admin_fail(f->a, r, "fsck of the tree: %s", error_sentence(r)) : 0;
}

/* ---- sessions ---- */

static bool is_known(const struct list_sessions_reply *known, struct uuid client)
{
    for (uint32_t i = 0; i < known->sessions.count; i++)
        if (uuid_equal(known->sessions.items[i].client, client)) return true;
    return false;
}

struct session_look {
    const struct tree_session *session;
    bool is_there;
};

static int session_txn(struct kv_txn *txn, void *arg)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct session_look *look = arg;
    struct meta_key key = key_session(look->session->inode, &look->session->session);
    struct bytes value;
    int r = kv_get(txn, meta_key_bytes(&key), KV_SNAPSHOT, &arena, &value);
    look->is_there = r > 0;
    return MIN_OF(r, 0);
}

static int look(struct fsck *f, const struct tree_session *s, bool *ret_is_there)
{
    struct session_look look = { .session = s };
    int r = kv_read_only(f->a->kv, session_txn, &look);
    if (r < 0) return admin_fail(f->a, r, "fsck of sessions: %s", error_sentence(r));
    *ret_is_there = look.is_there;
    return 0;
}

/* The metadata services end them, when they are sure that the client is gone. */
static int end_sessions(struct fsck *f)
{
    struct base_request q = { 0 };
    struct count_reply rep = { 0 };
    int r = admin_need_meta(f->a);
    if (r < 0) return r;
    admin_meta_base(f->a, &q.base);
    return admin_meta(f->a, RPC_METHOD(meta, session_prune), &q, &rep);
}

static int report_session(struct fsck *f, const struct tree_session *s)
{
    char when[32];
    bool is_there = true;
    int r = f->repairs ? look(f, s, &is_there) : 0;
    if (r < 0) return r;
    f->repaired_count += !is_there;
    fsck_report(f, "session-of-nobody",
                arena_printf(&f->a->arena, "0x%llx", (unsigned long long)s->inode),
                arena_printf(&f->a->arena, "client %016llx%016llx, which is gone, opened it %s",
                             (unsigned long long)s->client.high, (unsigned long long)s->client.low,
                             time_to_text((uint64_t)s->opened_ns, when, sizeof when)),
                !is_there    ? "ended"
                : f->repairs ? "left to the metadata services, which wait for their session.grace"
                             : "");
    return 0;
}

/* Of clients that the cluster manager does not know, and that are still there after it was asked.
 */
static int check_sessions(struct fsck *f)
{
    struct empty_record none = { 0 };
    struct list_sessions_reply known = { 0 };
    bool has_asked = false;
    if (f->tree.session_count == 0) return 0;
    int r = admin_mgmtd(f->a, RPC_METHOD(mgmtd, list_sessions), &none, &known);
    if (known.bootstrapping) return r; /* nobody knows yet who is gone */
    for (uint64_t i = 0; r >= 0 && i < f->tree.session_count; i++) {
        const struct tree_session *s = &f->tree.sessions[i];
        bool is_there;
        if (is_known(&known, s->client)) continue;
        r = look(f, s, &is_there);
        if (r < 0 || !is_there) continue;
        if (f->repairs && !has_asked) r = end_sessions(f);
        has_asked = true;
        if (r >= 0) r = report_session(f, s);
    }
    return r;
}

/* ---- all of it ---- */

static void print_summary(const struct fsck *f, bool has_chunks)
{
    struct print_table t;
    block_begin(&t, &f->a->printer);
    block_row(&t, "Inodes", "%llu", (unsigned long long)f->tree.inode_count);
    block_row(&t, "Entries", "%llu", (unsigned long long)f->tree.entry_count);
    block_row(&t, "Sessions", "%llu", (unsigned long long)f->tree.session_count);
    if (has_chunks) {
        block_row(&t, "Chunks", "%llu", (unsigned long long)f->chunk_count);
        block_row(&t, "Replicas", "%llu", (unsigned long long)f->replica_count);
        block_row(&t, "Targets", "%llu", (unsigned long long)f->target_count);
        block_row(&t, "IncompleteChains", "%u", f->incomplete_chain_count);
    }
    block_row(&t, "Findings", "%llu", (unsigned long long)f->finding_count);
    block_row(&t, "Repaired", "%llu", (unsigned long long)f->repaired_count);
    table_end(&t);
}

static void print_all(struct fsck *f, bool has_chunks)
{
    FILE *out = f->a->printer.out;
    if (f->a->printer.is_json) {
        fputs("{\"Findings\": ", out);
        table_end(&f->table);
        fputs(", \"Summary\": ", out);
        print_summary(f, has_chunks);
        fputs("}\n", out);
        return;
    }
    if (f->finding_count > 0) table_end(&f->table);
    print_summary(f, has_chunks);
}

static int run_fsck(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Class", "Where", "What", "Done" };
    bool has_chunks = !argument_flag(args, "--tree-only");
    struct fsck f = { .a = a,
                      .repairs = argument_flag(args, "--repair"),
                      .is_forced = argument_flag(args, "--force") };
    int r = admin_need_kv(a);
    if (r >= 0) r = admin_need_mgmtd(a);
    if (r < 0) return r;
    table_begin(&f.table, &a->printer, ARRAY_SIZE(headers), headers);
    r = check_tree(&f);
    if (r >= 0) r = check_sessions(&f);
    if (r >= 0 && has_chunks) r = fsck_chunks(&f);
    if (r >= 0) print_all(&f, has_chunks);
    table_drop(&f.table);
    tree_done(&f.tree);
    if (r < 0) return r;
    return f.finding_count > f.repaired_count ? -ERR_META_INCONSISTENT : 0;
}

const struct command_spec fsck_commands[] = {
    { "fsck", run_fsck, fsck_spec,
      "Looks for what is not sound: entries, link counts, directories and sessions without owners, "
      "chunks of\nno inode, replicas that differ. The services may run. It fails when something is "
      "left that is not sound.\n  fsck\n  fsck --repair\n  fsck --tree-only --json" },
    { NULL, NULL, NULL, NULL },
};
