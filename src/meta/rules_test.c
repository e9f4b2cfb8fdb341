/* rules_test.c - single rules of the metadata operations: access, truncation, sessions, retries
 * that come late, trees, attributes, names.
 */
#include "meta/test_meta.h"

#include "base/check.h"
#include "rpc/rpc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

static void rules_of_access(struct world *w, struct arena *a)
{
    struct inode dir, file, out;
    check(make(w, a, INODE_ROOT, "pub", S_IFDIR | 01777, 0, &dir) == 0);
    check(make(w, a, INODE_ROOT, "priv", S_IFDIR | 0755, 0, &out) == 0);
    check(make(w, a, out.id, "x", S_IFREG | 0644, 7, &file) == -ERR_META_NO_ACCESS);
    check(make(w, a, dir.id, "mine", S_IFREG | 0600, 7, &file) == 0);
    check(file.uid == 7);
    check(drop(w, a, dir.id, "mine", REMOVE_FILE, 8) ==
          -ERR_META_NO_PERMISSION); /* sticky: EPERM */
    struct setattr_request chmod = { .inode = file.id, .set = SETATTR_MODE, .mode = 0777 };
    check(set(w, a, &chmod, 8, &out) == -ERR_META_NO_PERMISSION);
    struct setattr_request chown = { .inode = file.id, .set = SETATTR_UID, .uid = 8 };
    check(set(w, a, &chown, 7, &out) == -ERR_META_NO_PERMISSION);
    struct setattr_request cut = { .inode = file.id, .set = SETATTR_LENGTH, .length = 5 };
    check(set(w, a, &cut, 8, &out) == -ERR_META_NO_ACCESS);
    check(set(w, a, &cut, 7, &out) == 0 && out.length == 5);
    check(make(w, a, dir.id, "dev", S_IFCHR | 0600, 7, &out) == -ERR_META_NO_PERMISSION);
    check(drop(w, a, dir.id, "mine", REMOVE_FILE, 7) == 0);
}

static void rules_of_truncate(struct world *w, struct arena *a)
{
    struct inode file, out;
    check(make(w, a, INODE_ROOT, "t", S_IFREG | 0644, 0, &file) == 0);
    uint32_t generation = file.generation;
    struct setattr_request grow = { .inode = file.id, .set = SETATTR_LENGTH, .length = 10 * CHUNK };
    check(set(w, a, &grow, 0, &out) == 0);
    check(out.generation == generation && out.length == 10 * CHUNK && w->chunks.trim_count == 0);
    struct setattr_request shrink = { .inode = file.id, .set = SETATTR_LENGTH, .length = 3 };
    w->chunks.fail_next = 1; /* the storage is away: the truncate is done all the same */
    check(set(w, a, &shrink, 0, &out) == 0);
    check(out.generation == generation + 1 && out.length == 3 && out.trim_from == 3);
    check(set(w, a, &grow, 0, &out) == 0); /* growing had to finish the trim first */
    check(w->chunks.trim_count == 1 && w->chunks.last_trim == 3 && out.trim_from == TRIM_NONE);
    w->chunks.fail_next = 1;
    check(set(w, a, &shrink, 0, &out) == 0 && out.trim_from == 3);
    check(trims_once(w->meta, 0) == 1);
    check(stat_of(w, a, file.id).trim_from == TRIM_NONE);
    /* The clock was wrong when it was noted. */
    sim_clock_jump(w->machine, 3600 * (int64_t)SEC);
    check(set(w, a, &grow, 0, &out) == 0);
    w->chunks.fail_next = 1;
    check(set(w, a, &shrink, 0, &out) == 0 && out.trim_from == 3);
    check(trims_once(w->meta, 10 * SEC) == 0);
    sim_clock_jump(w->machine, -3600 * (int64_t)SEC);
    check(trims_once(w->meta, 10 * SEC) == 1);
    check(stat_of(w, a, file.id).trim_from == TRIM_NONE);

    struct rpc_call call = call_of(w, a);
    struct settle_request settle = { .base = base_of(w, 0),
                                     .inode = file.id,
                                     .wrote = 1,
                                     .length_hint = 500,
                                     .generation = stat_of(w, a, file.id).generation };
    struct inode_reply rep = { 0 };
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 500);
    settle.length_hint = 100;
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 500);
    settle.generation--; /* an old hint is not believed: the storage is asked */
    settle.length_hint = 1 << 30;
    w->chunks.stored_length = 600;
    check(on_settle(w->meta, &call, &settle, &rep) == 0 && rep.inode.length == 600);
    struct append_request append = { .base = base_of(w, 0), .inode = file.id, .length = 50 };
    struct append_reply appended = { 0 };
    check(on_append(w->meta, &call, &append, &appended) == 0 && appended.offset == 600);
    check(on_append(w->meta, &call, &append, &appended) == 0 &&
          appended.offset == 600); /* a retry */
    check(appended.inode.length == 650);
    check(drop(w, a, INODE_ROOT, "t", REMOVE_FILE, 0) == 0);
}

static void rules_of_sessions(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct create_request req = { .base = base_of(w, 0),
                                  .name = bytes_of_text("open"),
                                  .mode = S_IFREG | 0644,
                                  .session = { 5, 5 } };
    struct inode_reply rep = { 0 };
    check(do_create(w, a, &req, &rep) == 0);
    struct inode file = rep.inode;
    check(collect_once(w->meta) >= 0); /* what earlier rules left */
    int removed = w->chunks.remove_count;
    check(drop(w, a, INODE_ROOT, "open", REMOVE_FILE, 0) == 0);
    check(collect_once(w->meta) == 0 &&
          w->chunks.remove_count == removed); /* somebody has it open */
    check(stat_of(w, a, file.id).mode == file.mode && stat_of(w, a, file.id).nlink == 0);
    struct settle_request settle = { .base = base_of(w, 0),
                                     .inode = file.id,
                                     .wrote = 1,
                                     .length_hint = 10,
                                     .generation = file.generation };
    check(on_settle(w->meta, &call, &settle, &rep) == 0);
    /* Who holds it may open it once more; when nobody does, its chunks may be going. */
    struct open_request again = {
        .base = base_of(w, 0), .inode = file.id, .access = ACCESS_READ, .session = { 6, 6 }
    };
    check(on_open(w->meta, &call, &again, &rep) == 0);
    struct open_file open[] = { { file.id, { 5, 5 } }, { file.id, { 6, 6 } } };
    struct close_request close = { .base = base_of(w, 0), .files = { open, ARRAY_SIZE(open) } };
    struct empty_record none;
    check(collect_once(w->meta) == 0); /* settled, and still open */
    check(on_close(w->meta, &call, &close, &none) == 0);
    check(on_open(w->meta, &call, &again, &rep) == -ERR_META_STALE);
    check(collect_once(w->meta) == 1 && w->chunks.remove_count == removed + 1);
    check(stat_of(w, a, file.id).mode == 0);
    check(on_close(w->meta, &call, &close, &none) == 0); /* a late retry of the close */
    open[1].session = (struct uuid){ 0 };
    check(on_close(w->meta, &call, &close, &none) == -ERR_INVALID_ARG);
}

/* A client dies with a file open for writing: its file gets the length of what is stored, and
 * others hear that the content changed. One that lives keeps its session. */
static void rules_of_dead_clients(struct world *w, struct arena *a)
{
    struct create_request req = { .base = base_of(w, 0),
                                  .name = bytes_of_text("left"),
                                  .mode = S_IFREG | 0644,
                                  .session = { 7, 7 } };
    struct inode_reply rep = { 0 };
    check(do_create(w, a, &req, &rep) == 0);
    uint64_t id = rep.inode.id;
    struct client_session client = { .client = req.base.client };
    struct client_session_list alive = { &client, 1 }, none = { 0 };
    check(fiber_sleep(1 * MSEC) == 0);
    w->chunks.stored_length = 700;
    check(sessions_prune(w->meta, &alive) == 0);
    check(stat_of(w, a, id).length == 0);
    check(sessions_prune(w->meta, &none) == 1);
    struct inode after = stat_of(w, a, id);
    check(after.length == 700 && after.change > rep.inode.change);
    check(after.mtime_ns > rep.inode.mtime_ns);
    check(sessions_prune(w->meta, &none) == 0);
    /* One that overwrote and did not grow the file. */
    struct rpc_call call = call_of(w, a);
    struct open_request open = {
        .base = base_of(w, 0), .inode = id, .access = ACCESS_WRITE, .session = { 8, 8 }
    };
    check(on_open(w->meta, &call, &open, &rep) == 0 && rep.inode.change == after.change);
    check(fiber_sleep(1 * MSEC) == 0);
    check(sessions_prune(w->meta, &none) == 1);
    check(stat_of(w, a, id).length == 700 && stat_of(w, a, id).change > after.change);
    /* A reader changes nothing. */
    open = (struct open_request){
        .base = base_of(w, 0), .inode = id, .access = ACCESS_READ, .session = { 9, 9 }
    };
    check(on_open(w->meta, &call, &open, &rep) == 0);
    check(fiber_sleep(1 * MSEC) == 0);
    check(sessions_prune(w->meta, &none) == 1);
    check(stat_of(w, a, id).change == rep.inode.change);
    check(drop(w, a, INODE_ROOT, "left", REMOVE_FILE, 0) == 0);
}

/* A request that was lost on its way is sent again and refused; it arrives when it could be done.
 */
static void rules_of_late_firsts(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct inode out;
    struct inode_reply rep = { 0 };
    struct remove_request rm = { .base = base_of(w, 0), .name = bytes_of_text("late") };
    rm.base.flags = META_SENT_AGAIN;
    check(on_remove(w->meta, &call, &rm, &rep) == -ERR_META_NOT_FOUND);
    check(make(w, a, INODE_ROOT, "late", S_IFREG | 0644, 0, &out) == 0);
    rm.base.flags = 0;
    check(on_remove(w->meta, &call, &rm, &rep) == -ERR_META_NOT_FOUND);
    struct create_request create = {
        .base = base_of(w, 0), .name = bytes_of_text("late"), .mode = S_IFREG | 0644, .exclusive = 1
    };
    create.base.flags = META_SENT_AGAIN;
    check(do_create(w, a, &create, &rep) == -ERR_META_EXISTS);
    check(drop(w, a, INODE_ROOT, "late", REMOVE_FILE, 0) == 0);
    create.base.flags = 0;
    check(do_create(w, a, &create, &rep) == -ERR_META_EXISTS);
    check(look(w, a, INODE_ROOT, "late", 0, &out) == -ERR_META_NOT_FOUND);

    /* One that was done, and whose entry was removed and made by another since. */
    create.base = base_of(w, 0);
    check(do_create(w, a, &create, &rep) == 0);
    uint64_t made = rep.inode.id;
    check(drop(w, a, INODE_ROOT, "late", REMOVE_FILE, 0) == 0);
    check(make(w, a, INODE_ROOT, "late", S_IFREG | 0644, 0, &out) == 0);
    create.base.flags = META_SENT_AGAIN;
    check(do_create(w, a, &create, &rep) == 0 && rep.created && rep.inode.id == made);
    check(drop(w, a, INODE_ROOT, "late", REMOVE_FILE, 0) == 0);

    /* Between two links of one file nothing happens: nor when one of them has gone since. */
    check(make(w, a, INODE_ROOT, "one", S_IFREG | 0644, 0, &out) == 0);
    struct link_request ln = {
        .base = base_of(w, 0), .inode = out.id, .parent = INODE_ROOT, .name = bytes_of_text("two")
    };
    check(on_link(w->meta, &call, &ln, &rep) == 0);
    struct rename_request mv = { .base = base_of(w, 0),
                                 .name = bytes_of_text("one"),
                                 .new_name = bytes_of_text("two") };
    mv.base.flags = META_SENT_AGAIN;
    check(on_rename(w->meta, &call, &mv, &rep) == 0);
    check(drop(w, a, INODE_ROOT, "two", REMOVE_FILE, 0) == 0);
    check(on_rename(w->meta, &call, &mv, &rep) == 0);
    check(look(w, a, INODE_ROOT, "one", 0, &out) == 0);
    check(drop(w, a, INODE_ROOT, "one", REMOVE_FILE, 0) == 0);
}

static void close_session(struct world *w, struct arena *a, uint64_t inode, struct uuid session)
{
    struct rpc_call call = call_of(w, a);
    struct open_file file = { .inode = inode, .session = session };
    struct close_request req = { .base = base_of(w, 0), .files = { &file, 1 } };
    struct empty_record rep = { 0 };
    check(on_close(w->meta, &call, &req, &rep) == 0);
}

/* What was opened by the second request and closed is not open again when the first arrives. */
static void rules_of_late_opens(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct client_session_list none = { 0 };
    struct inode_reply rep = { 0 };
    struct create_request create = { .base = base_of(w, 0),
                                     .name = bytes_of_text("late"),
                                     .mode = S_IFREG | 0644,
                                     .session = { 5, 5 } };
    for (int is_made_again = 0; is_made_again < 2; is_made_again++) {
        create.base.flags = is_made_again ? META_SENT_AGAIN : 0;
        check(do_create(w, a, &create, &rep) == 0);
        create.base.flags = META_SENT_AGAIN;
        check(do_create(w, a, &create, &rep) == 0 && rep.created);
        close_session(w, a, rep.inode.id, create.session);
        create.base.flags = 0;
        check(do_create(w, a, &create, &rep) == 0);
        check(sessions_prune(w->meta, &none) == 0);
        if (!is_made_again) check(drop(w, a, INODE_ROOT, "late", REMOVE_FILE, 0) == 0);
        create.base = base_of(w, 0);
    }
    struct open_request open = {
        .base = base_of(w, 0), .inode = rep.inode.id, .access = ACCESS_WRITE, .session = { 6, 6 }
    };
    open.base.flags = META_SENT_AGAIN;
    check(on_open(w->meta, &call, &open, &rep) == 0);
    check(on_open(w->meta, &call, &open, &rep) == 0);
    close_session(w, a, open.inode, open.session);
    open.base.flags = 0;
    check(on_open(w->meta, &call, &open, &rep) == 0);
    check(sessions_prune(w->meta, &none) == 0);
    check(drop(w, a, INODE_ROOT, "late", REMOVE_FILE, 0) == 0);
}

/* Retries that come when others have gone on: what was executed is not executed again. */
static void rules_of_late_retries(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct create_request create = {
        .base = base_of(w, 0), .name = bytes_of_text("made"), .mode = S_IFREG | 0644, .exclusive = 1
    };
    struct inode_reply rep = { 0 }, again = { 0 };
    struct inode out;
    check(do_create(w, a, &create, &rep) == 0);
    struct rename_request mv = { .base = base_of(w, 0),
                                 .name = bytes_of_text("made"),
                                 .new_name = bytes_of_text("moved") };
    check(on_rename(w->meta, &call, &mv, &again) == 0);
    check(do_create(w, a, &create, &again) == 0);
    check(again.created && again.inode.id == rep.inode.id && again.inode.nlink == 1);
    check(look(w, a, INODE_ROOT, "made", 0, &out) == -ERR_META_NOT_FOUND);
    struct link_request ln = { .base = base_of(w, 0),
                               .inode = rep.inode.id,
                               .name = bytes_of_text("linked") };
    check(on_link(w->meta, &call, &ln, &again) == 0);
    check(drop(w, a, INODE_ROOT, "linked", REMOVE_FILE, 0) == 0);
    check(on_link(w->meta, &call, &ln, &again) == 0);
    check(look(w, a, INODE_ROOT, "linked", 0, &out) == -ERR_META_NOT_FOUND);
    check(drop(w, a, INODE_ROOT, "moved", REMOVE_FILE, 0) == 0);
    check(do_create(w, a, &create, &again) == 0 && again.inode.nlink == 0);
    check(look(w, a, INODE_ROOT, "made", 0, &out) == -ERR_META_NOT_FOUND);
    /* Replaced by a rename, and as a directory. */
    create.base = base_of(w, 0);
    check(do_create(w, a, &create, &rep) == 0);
    struct create_request mkdir = {
        .base = base_of(w, 0), .name = bytes_of_text("dir"), .mode = S_IFDIR | 0755, .exclusive = 1
    };
    check(do_create(w, a, &mkdir, &again) == 0);
    check(drop(w, a, INODE_ROOT, "dir", REMOVE_DIRECTORY, 0) == 0);
    check(do_create(w, a, &mkdir, &again) == 0);
    check(look(w, a, INODE_ROOT, "dir", 0, &out) == -ERR_META_NOT_FOUND);
    check(make(w, a, INODE_ROOT, "over", S_IFREG | 0644, 0, &out) == 0);
    mv = (struct rename_request){ .base = base_of(w, 0),
                                  .name = bytes_of_text("over"),
                                  .new_name = bytes_of_text("made") };
    check(on_rename(w->meta, &call, &mv, &again) == 0);
    check(drop(w, a, INODE_ROOT, "made", REMOVE_FILE, 0) == 0);
    check(do_create(w, a, &create, &again) == 0);
    check(look(w, a, INODE_ROOT, "made", 0, &out) == -ERR_META_NOT_FOUND);
    /* Another creation of that name is one. */
    create.base = base_of(w, 0);
    check(do_create(w, a, &create, &again) == 0 && again.inode.id != rep.inode.id);
    check(drop(w, a, INODE_ROOT, "made", REMOVE_FILE, 0) == 0);
}

static void rules_of_access_times(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct inode file, dir;
    check(make(w, a, INODE_ROOT, "read", S_IFREG | 0644, 0, &file) == 0);
    check(make(w, a, INODE_ROOT, "listed", S_IFDIR | 0755, 0, &dir) == 0);
    check(fiber_sleep(1 * MSEC) == 0);
    int64_t now_ns = (int64_t)node_wall_ns(w->meta->node);
    struct open_file read[] = { { .inode = file.id, .atime_ns = file.atime_ns + 5 },
                                { .inode = dir.id, .atime_ns = dir.atime_ns + 5 },
                                { .inode = 1ull << 40, .atime_ns = 5 } };
    struct close_request close = { .base = base_of(w, 0), .files = { read, ARRAY_SIZE(read) } };
    struct empty_record none;
    check(on_close(w->meta, &call, &close, &none) == 0);
    struct inode after = stat_of(w, a, file.id);
    check(after.atime_ns == file.atime_ns + 5 && after.change == file.change &&
          after.ctime_ns == file.ctime_ns);
    check(stat_of(w, a, dir.id).atime_ns == dir.atime_ns);
    read[0].atime_ns = file.atime_ns + 4; /* it never goes back */
    check(on_close(w->meta, &call, &close, &none) == 0);
    check(stat_of(w, a, file.id).atime_ns == file.atime_ns + 5);
    read[0].atime_ns = INT64_MAX; /* nor into the future */
    check(on_close(w->meta, &call, &close, &none) == 0);
    after = stat_of(w, a, file.id);
    check(after.atime_ns >= now_ns && after.atime_ns <= (int64_t)node_wall_ns(w->meta->node));
}

static void rules_of_trees(struct world *w, struct arena *a)
{
    struct inode top, sub, file, out;
    check(make(w, a, INODE_ROOT, "tree", S_IFDIR | 0755, 0, &top) == 0);
    check(stat_of(w, a, INODE_ROOT).nlink > 2);
    check(make(w, a, top.id, "sub", S_IFDIR | 0755, 0, &sub) == 0);
    for (int i = 0; i < 200; i++)
        check(make(w, a, sub.id, arena_printf(a, "f%03d", i), S_IFREG | 0644, 0, &file) == 0);
    check(drop(w, a, INODE_ROOT, "tree", REMOVE_DIRECTORY, 0) == -ERR_META_NOT_EMPTY);
    check(drop(w, a, INODE_ROOT, "tree", REMOVE_TREE, 0) == 0);
    check(look(w, a, INODE_ROOT, "tree", 0, &out) == -ERR_META_NOT_FOUND);
    check(make(w, a, top.id, "late", S_IFREG | 0644, 0, &out) == -ERR_META_NOT_FOUND);
    for (int round = 0; round < 10; round++)
        check(collect_once(w->meta) >= 0);
    check(stat_of(w, a, top.id).mode == 0 && stat_of(w, a, sub.id).mode == 0 &&
          stat_of(w, a, file.id).mode == 0);
}

static void rules_of_xattrs(struct world *w, struct arena *a)
{
    struct rpc_call call = call_of(w, a);
    struct inode file;
    struct empty_record none;
    struct xattr_reply rep = { 0 };
    check(make(w, a, INODE_ROOT, "x", S_IFREG | 0644, 0, &file) == 0);
    struct xattr_request req = { .base = base_of(w, 0),
                                 .inode = file.id,
                                 .name = bytes_of_text("user.k"),
                                 .value = bytes_of_text("v"),
                                 .flags = XATTR_REPLACE };
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_META_NO_ATTR);
    req.flags = XATTR_CREATE;
    check(on_xattr_set(w->meta, &call, &req, &none) == 0);
    check(on_xattr_set(w->meta, &call, &req, &none) == 0); /* a retry */
    req.base = base_of(w, 0);
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_META_EXISTS);
    check(on_xattr_get(w->meta, &call, &req, &rep) == 0 && bytes_equal_text(rep.value, "v"));
    check(on_xattr_list(w->meta, &call, &req, &rep) == 0 && rep.names.count == 1);
    req.name = bytes_of_text("system.posix_acl_access");
    check(on_xattr_set(w->meta, &call, &req, &none) == -ERR_NOT_SUPPORTED);
    req.name = bytes_of_text("user.k");
    req.base = base_of(w, 0);
    check(on_xattr_remove(w->meta, &call, &req, &none) == 0);
    check(on_xattr_get(w->meta, &call, &req, &rep) == -ERR_META_NO_ATTR);
    check(drop(w, a, INODE_ROOT, "x", REMOVE_FILE, 0) == 0);
}

static void rules_of_names(struct world *w, struct arena *a)
{
    struct inode out;
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[256] = 0;
    check(make(w, a, INODE_ROOT, long_name, S_IFREG, 0, &out) == -ERR_META_NAME_TOO_LONG);
    long_name[255] = 0;
    check(make(w, a, INODE_ROOT, long_name, S_IFREG, 0, &out) == 0);
    check(look(w, a, INODE_ROOT, long_name, 0, &out) == 0);
    check(drop(w, a, INODE_ROOT, long_name, REMOVE_FILE, 0) == 0);
    check(make(w, a, INODE_ROOT, "a/b", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "..", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "", S_IFREG, 0, &out) == -ERR_INVALID_ARG);
    check(make(w, a, INODE_ROOT, "odd", 0170000, 0, &out) == -ERR_INVALID_ARG);
    check(look(w, a, INODE_ROOT, "..", 0, &out) == 0 && out.id == INODE_ROOT);
}

static int rules_main(void *arg)
{
    struct world *w = arg;
    static void (*const rules[])(struct world *, struct arena *) = {
        rules_of_access,       rules_of_truncate,    rules_of_sessions,   rules_of_dead_clients,
        rules_of_late_retries, rules_of_late_firsts, rules_of_late_opens, rules_of_access_times,
        rules_of_trees,        rules_of_xattrs,      rules_of_names
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        cleanup_arena_ struct arena a = { 0 };
        rules[i](w, &a);
    }
    return 0;
}

static void test_rules(void **state)
{
    run_world(1, rules_main, NULL);
}

static void test_rules_harsh(void **state)
{
    run_world(2, rules_main, &harsh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_rules_harsh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
