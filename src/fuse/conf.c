/* conf.c - the settings behind 3fs-virt/get-conf and set-conf: sys.* of the mount, usr.* of one
 * user.
 *
 * A user's own settings live in memory until the mount ends. System keys are root's alone. Nobody
 * can undo a read-only mount.
 */
#include "fuse/mount.h"

#include "base/check.h"

struct user_override {
    uint32_t uid;
    uint32_t set; /* bits by index of user_keys */
    struct user_view view;
};

struct user_config {
    struct map overrides; /* uid + 1 -> struct user_override * */
};

enum conf_kind { CONF_BOOL, CONF_COUNT, CONF_SECONDS, CONF_DURATION };

struct conf_key {
    const char *name;
    enum conf_kind kind;
    bool is_user;
    size_t offset; /* in fuse_settings, or in user_view */
};

#define SYS(name, kind, member)                                                                    \
    {                                                                                              \
        "sys." name, kind, false, offsetof(struct fuse_settings, member)                           \
    }
#define USR(name, kind, member)                                                                    \
    {                                                                                              \
        "usr." name, kind, true, offsetof(struct user_view, member)                                \
    }
/* Sorted by name, as a listing shows them. */
static const struct conf_key conf_keys[] = {
    SYS("io_job_deq_timeout", CONF_DURATION, io_job_deq_timeout_ns),
    SYS("io_worker_coros.hi", CONF_COUNT, io_worker_coros_hi),
    SYS("io_worker_coros.lo", CONF_COUNT, io_worker_coros_lo),
    SYS("max_jobs_per_ioring", CONF_COUNT, max_jobs_per_ioring),
    SYS("periodic_sync.enable", CONF_BOOL, periodic_sync_enable),
    SYS("periodic_sync.flush_write_buf", CONF_BOOL, periodic_sync_flush),
    SYS("periodic_sync.interval", CONF_DURATION, periodic_sync_ns),
    SYS("storage.net_client.rdma_control.max_concurrent_transmission", CONF_COUNT,
        rdma_transmission_count),
    USR("attr_timeout", CONF_SECONDS, attr_timeout),
    USR("dryrun_bench_mode", CONF_BOOL, dryrun_bench_mode),
    USR("enable_read_cache", CONF_BOOL, enable_read_cache),
    USR("entry_timeout", CONF_SECONDS, entry_timeout),
    USR("flush_on_stat", CONF_BOOL, flush_on_stat),
    USR("negative_timeout", CONF_SECONDS, negative_timeout),
    USR("readonly", CONF_BOOL, readonly),
    USR("symlink_timeout", CONF_SECONDS, symlink_timeout),
    USR("sync_on_stat", CONF_BOOL, sync_on_stat),
};

struct user_config *user_config_new(struct mount *m)
{
    struct user_config *c = new_zero(struct user_config);
    map_init(&c->overrides, node_random_u64(m->node));
    return c;
}

struct user_config *user_config_free(struct user_config *c)
{
    if (!c) return NULL;
    size_t at = 0;
    void *o;
    while ((o = map_next(&c->overrides, &at)))
        free(o);
    map_done(&c->overrides);
    free(c);
    return NULL;
}

static struct user_view view_of_settings(const struct fuse_settings *s)
{
    return (struct user_view){ .enable_read_cache = s->enable_read_cache,
                               .readonly = s->readonly,
                               .dryrun_bench_mode = s->dryrun_bench_mode,
                               .flush_on_stat = s->flush_on_stat,
                               .sync_on_stat = s->sync_on_stat,
                               .attr_timeout = s->attr_timeout,
                               .entry_timeout = s->entry_timeout,
                               .negative_timeout = s->negative_timeout,
                               .symlink_timeout = s->symlink_timeout };
}

static size_t kind_size(enum conf_kind kind)
{
    static const size_t sizes[] = { [CONF_BOOL] = sizeof(bool),
                                    [CONF_COUNT] = sizeof(uint32_t),
                                    [CONF_SECONDS] = sizeof(double),
                                    [CONF_DURATION] = sizeof(uint64_t) };
    return sizes[kind];
}

struct user_view user_view(const struct mount *m, uint32_t uid)
{
    struct user_view view = view_of_settings(m->settings);
    const struct user_override *o = map_get(&m->users->overrides, (uint64_t)uid + 1);
    if (!o) return view;
    for (size_t i = 0; i < ARRAY_SIZE(conf_keys); i++) {
        const struct conf_key *k = &conf_keys[i];
        if (!(o->set & 1u << i)) continue;
        memcpy((char *)&view + k->offset, (const char *)&o->view + k->offset, kind_size(k->kind));
    }
    view.readonly |= m->settings->readonly;
    return view;
}

uint32_t conf_key_count(void)
{
    return ARRAY_SIZE(conf_keys);
}

const char *conf_key_name(uint32_t index)
{
    return conf_keys[index].name;
}

int conf_key_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(conf_keys); i++) {
        bool is_bare_user_key = conf_keys[i].is_user && !strcmp(conf_keys[i].name + 4, name);
        if (!strcmp(conf_keys[i].name, name) || is_bare_user_key) return (int)i;
    }
    return -1;
}

char *conf_value(const struct mount *m, struct arena *arena, uint32_t index, uint32_t uid)
{
    const struct conf_key *k = &conf_keys[index];
    struct user_view view = user_view(m, uid);
    const void *at = (k->is_user ? (const char *)&view : (const char *)m->settings) + k->offset;
    char text[64];
    switch (k->kind) {
    case CONF_BOOL: return arena_printf(arena, "%s", *(const bool *)at ? "true" : "false");
    case CONF_COUNT: return arena_printf(arena, "%u", *(const uint32_t *)at);
    case CONF_SECONDS: return arena_printf(arena, "%.1f", *(const double *)at);
    default:
        return arena_printf(arena, "'%s'",
                            duration_to_text(*(const uint64_t *)at, text, sizeof text));
    }
}

union conf_parsed {
    bool flag;
    uint32_t count;
    double seconds;
    uint64_t ns;
};

static int parse_value(enum conf_kind kind, const char *text, union conf_parsed *ret)
{
    char *end = NULL, bare[64];
    switch (kind) {
    case CONF_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) return -ERR_INVALID_ARG;
        ret->flag = !strcmp(text, "true");
        return 0;
    case CONF_COUNT: {
        unsigned long count = strtoul(text, &end, 10);
        ret->count = (uint32_t)count;
        return *text >= '0' && *text <= '9' && !*end && count <= UINT32_MAX ? 0 : -ERR_INVALID_ARG;
    }
    case CONF_SECONDS:
        ret->seconds = strtod(text, &end);
        return *text && !*end && ret->seconds >= 0 && ret->seconds <= 1e9 ? 0 : -ERR_INVALID_ARG;
    default: {
        size_t size = strlen(text);
        bool is_quoted = size >= 2 && text[0] == '\'' && text[size - 1] == '\'';
        if (is_quoted) text++, size -= 2;
        if (size >= sizeof bare) return -ERR_INVALID_ARG;
        memcpy(bare, text, size);
        bare[size] = 0;
        return duration_parse(bare, &ret->ns);
    }
    }
}

int conf_set(struct mount *m, uint32_t index, const char *value, uint32_t uid)
{
    const struct conf_key *k = &conf_keys[index];
    union conf_parsed parsed;
    int r = parse_value(k->kind, value, &parsed);
    if (r < 0) return r;
    if (!k->is_user) {
        if (uid != 0) return -ERR_META_NO_PERMISSION;
        memcpy((char *)m->settings + k->offset, &parsed, kind_size(k->kind));
        return 0;
    }
    struct user_override *o = map_get(&m->users->overrides, (uint64_t)uid + 1);
    if (!o) {
        o = new_zero(struct user_override);
        o->uid = uid;
        map_put(&m->users->overrides, (uint64_t)uid + 1, o);
    }
    memcpy((char *)&o->view + k->offset, &parsed, kind_size(k->kind));
    o->set |= 1u << index;
    return 0;
}
