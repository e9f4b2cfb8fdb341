/* cmd_bootstrap.c - `bootstrap`: from registered storages to a cluster that can be mounted, told
 * step by step. */
#include "admin/commands.h"

#include "admin/bootstrap.h"

#define WAIT_NS (60 * SEC)
enum { STRIPE_DEFAULT = 6, REPLICA_DEFAULT = 3, TARGET_DEFAULT = 6 };

static const struct argument_spec bootstrap_spec[] = {
    { "--replicas", "-r", ARG_U32, false, "targets of a chain; default 3" },
    { "--storages", NULL, ARG_U32, false,
      "waits for so many storage nodes; default: all that are registered" },
    { "--targets-per-disk", NULL, ARG_U32, false, "at least; default 6" },
    { "--chunk-size", NULL, ARG_SIZE, false, "of the root directory's layout; default 1MB" },
    { "--stripe", NULL, ARG_U32, false, "of the same; default 6, or as many as targets a disk" },
    { "--table-id", "-t", ARG_U32, false, "number of the chain table; default 1" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

/* The lines as they come, or with --json collected into one object. */
struct telling {
    struct admin *a;
    struct print_table block;
    bool has_failed;
};

static void tell(void *arg, enum log_level level, int r, const char *text)
{
    struct telling *t = arg;
    struct printer *p = &t->a->printer;
    if (p->is_json) {
        const char *name = level == LOG_ERROR ? "Message" : level == LOG_WARN ? "Warning" : "Step";
        char code[64];
        if (level == LOG_ERROR && !t->has_failed)
            block_row(&t->block, "Error", "%s", error_to_text(r, code, sizeof code));
        block_row(&t->block, name, "%s", text);
    } else if (level == LOG_ERROR && !t->has_failed) {
        admin_fail(t->a, r, "%s", text);
    } else {
        fprintf(p->out, "%s%s\n", level == LOG_WARN ? "warning: " : "", text);
        fflush(p->out);
    }
    t->has_failed |= level == LOG_ERROR;
}

static int check_options(struct admin *a, const struct bootstrap_options *o)
{
    if (o->replica_count == 0 || o->replica_count > CHAIN_TARGET_COUNT_MAX)
        return admin_fail(a, -ERR_INVALID_ARG, "--replicas must be from 1 to %d, not %u",
                          CHAIN_TARGET_COUNT_MAX, o->replica_count);
    if (o->target_count == 0 || o->target_count > 99)
        return admin_fail(a, -ERR_INVALID_ARG, "--targets-per-disk must be from 1 to 99, not %u",
                          o->target_count);
    if (o->chain_table == 0)
        return admin_fail(a, -ERR_INVALID_ARG, "--table-id: a chain table has a number from 1");
    return 0;
}

/* The store's records where the store is, then everything else through mgmtd. */
static int run_steps(struct admin *a, struct bootstrap *b)
{
    uint8_t key[AUTH_KEY_BYTES];
    int r = 0;
    if (a->settings->kv_path[0]) {
        r = admin_need_kv(a);
        b->kv = a->kv;
        if (r >= 0) r = bootstrap_store(b, key);
    } else {
        bootstrap_say(b, LOG_INFO, 0,
                      "The store cannot be reached from here (kv_path is not set): its first "
                      "records are left to init-cluster");
    }
    if (r >= 0) r = admin_need_mgmtd(a);
    if (r < 0) return r;
    b->mgmtd = a->mgmtd;
    if (!b->kv) r = bootstrap_user(b);
    FIBER_TIMEOUT(WAIT_NS);
    return r < 0 ? r : bootstrap_chains(b);
}

static int run_bootstrap(struct admin *a, const struct arguments *args)
{
    const struct admin_settings *s = a->settings;
    uint32_t targets = (uint32_t)argument_number(args, "--targets-per-disk", TARGET_DEFAULT);
    uint32_t stripe =
        MIN_OF((uint32_t)STRIPE_DEFAULT, targets); /* every table has so many chains */
    struct bootstrap_options options = {
        .cluster_id = s->cluster_id,
        .kv_path = s->kv_path,
        .cluster_key = s->cluster_key,
        .mgmtd = s->mgmtd,
        .token_file = s->token_file,
        .storage_count = (uint32_t)argument_number(args, "--storages", 0),
        .replica_count = (uint32_t)argument_number(args, "--replicas", REPLICA_DEFAULT),
        .target_count = targets,
        .chain_table = (uint32_t)argument_number(args, "--table-id", 1),
        .chunk_bytes = argument_number(args, "--chunk-size", MIB),
        .stripe = (uint32_t)argument_number(args, "--stripe", stripe)
    };
    int r = check_options(a, &options);
    if (r < 0) return r;
    struct telling telling = { .a = a };
    struct bootstrap b = { .node = a->node,
                           .options = &options,
                           .say = tell,
                           .arg = &telling,
                           .grows = true,
                           .keeps_replicas = !argument(args, "--replicas")->is_set };
    if (a->printer.is_json) block_begin(&telling.block, &a->printer);
    r = run_steps(a, &b);
    arena_done(&b.arena);
    if (a->printer.is_json && (r >= 0 || telling.has_failed))
        table_end(&telling.block);
    else if (a->printer.is_json)
        table_drop(&telling.block); /* the failure has been printed */
    return MIN_OF(r, 0);
}

const struct command_spec bootstrap_commands[] = {
    { "bootstrap", run_bootstrap, bootstrap_spec,
      "From registered storages to a cluster that can be mounted: first records, root user, "
      "targets, chains, chain\n"
      "table. Does what is missing, says what it did; may be repeated: storages that came since\n"
      "then get targets, and new chains, which new files use; nothing that is there is changed.\n"
      "  bootstrap --replicas 3\n"
      "  bootstrap --replicas 2 --storages 2 --stripe 2" },
    { NULL, NULL, NULL, NULL },
};
