/* cmd_meta.c - the whole store to a file and back: metadata, chains, users, the cluster's key.
 *
 * A dump is one snapshot, taken while the services run. Chunks are not in it: it is of use together
 * with the storages that it knows.
 */
#include "admin/commands.h"

#include "admin/progress.h"
#include "meta/meta.h"

static const struct argument_spec meta_spec[] = {
    { "action", NULL, ARG_TEXT, true, "dump or load" },
    { "file", NULL, ARG_TEXT, true, "dump: is replaced when the new one is whole" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static void show(void *arg, uint64_t done, uint64_t total)
{
    struct progress *bar = arg;
    bar->total = total;
    progress_show(bar, done);
}

static int dump(struct admin *a, const char *path)
{
    struct progress bar;
    progress_begin(&bar, a, "meta dump", "bytes", 0);
    int r = kv_backup(a->kv, path, &(struct kv_progress){ show, &bar });
    progress_end(&bar);
    if (r < 0) return admin_fail(a, r, "meta dump to %s: %s", path, error_sentence(r));
    admin_say(a, "Dump of %s to %s succeeded; it holds the cluster key and all tokens",
              kv_describe(a->kv), path);
    return 0;
}

static const char *load_failure(int r)
{
    switch (-r) {
    case ERR_META_EXISTS: return "the store is not empty; a dump goes into an empty one only";
    case ERR_INVALID_FORMAT: return "that is no dump";
    case ERR_FORMAT_TOO_NEW: return "the dump was written by a newer version";
    case ERR_DATA_CORRUPTION: return "the dump is damaged or cut short; nothing was loaded";
    default: return error_sentence(r);
    }
}

/* What was made after the dump has chunks on the storages; a new file must not get the id of such a
 * one, and find them. */
#define SKIPPED_ID_COUNT (1ull << 32)

static int load(struct admin *a, const char *path)
{
    struct progress bar;
    progress_begin(&bar, a, "meta load", "bytes", 0);
    int r = kv_restore(a->kv, path, &(struct kv_progress){ show, &bar });
    progress_end(&bar);
    if (r < 0) return admin_fail(a, r, "meta load from %s: %s", path, load_failure(r));
    r = meta_skip_inode_ids(a->kv, SKIPPED_ID_COUNT);
    if (r < 0)
        return admin_fail(a, r, "meta load from %s: remove the store and load it again: %s", path,
                          error_sentence(r));
    admin_say(a, "Load of %s into %s succeeded", path, kv_describe(a->kv));
    return 0;
}

static int run_meta(struct admin *a, const struct arguments *args)
{
    const char *action = argument_text(args, "action", ""), *path = argument_text(args, "file", "");
    bool is_dump = !strcmp(action, "dump");
    if (!is_dump && strcmp(action, "load") != 0)
        return admin_fail(a, -ERR_WRONG_USAGE, "'%s' is neither dump nor load", action);
    int r = admin_need_kv(a);
    if (r < 0) return r;
    return is_dump ? dump(a, path) : load(a, path);
}

const struct command_spec meta_commands[] = {
    { "meta", run_meta, meta_spec,
      "Writes the whole store to a file, or a file into an empty store: any engine to any other.\n"
      "Chunks stay with the storages. Stop all services before a load, start them after it, and "
      "run\n"
      "fsck: what changed after the dump is not as the storages have it.\n"
      "  meta dump /backup/c3fs.kv\n  meta load /backup/c3fs.kv" },
    { NULL, NULL, NULL, NULL },
};
