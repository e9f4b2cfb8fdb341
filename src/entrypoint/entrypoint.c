/* entrypoint.c - variables become settings. */
#include "entrypoint/entrypoint.h"

#include "base/check.h"
#include "base/error.h"
#include "config/settings.h"
#include "config/toml.h"
#include "loop/net.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LIST_COUNT_MAX = 256, NOTE_COUNT_MAX = 8, NODE_ID_MAX = 999999 };

struct reader {
    const char *const *environment;
    const char *host_address;
    struct arena *arena;
    struct entry_plan *plan;
    const char **notes;
    uint32_t note_count;
    const char **ret_error;
};

struct service {
    const char *name, *role, *file, *id_variable;
    const char *port; /* by default */
    int (*render)(struct reader *r, const struct service *service);
};

static int refuse(struct reader *r, const char *text)
{
    *r->ret_error = text;
    return -ERR_WRONG_USAGE;
}

static void note(struct reader *r, const char *text)
{
    check(r->note_count < NOTE_COUNT_MAX);
    r->notes[r->note_count++] = text;
}

/* NULL when it is missing or empty. */
static const char *variable(const struct reader *r, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *e = r->environment; *e; e++)
        if (strncmp(*e, name, size) == 0 && (*e)[size] == '=')
            return (*e)[size + 1] ? *e + size + 1 : NULL;
    return NULL;
}

static const char *quoted(struct reader *r, const char *text)
{
    struct toml_value value = { .kind = TOML_STRING, .text = bytes_of_text(text) };
    return toml_to_text(r->arena, &value);
}

static bool is_number(const char *text, unsigned long least, unsigned long most)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    unsigned long n = strtoul(text, &end, 10);
    return *end == 0 && n >= least && n <= most;
}

/* "TCP://host:port", also with the other names of transports. */
static bool is_address(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:[]%";
    struct net_address address;
    const char *host = strstr(text, "://");
    return host && strspn(host + 3, letters) == strlen(host + 3) &&
           net_address_parse(text, &address) >= 0;
}

/* ---- lists ---- */

/* The pieces between commas, without blanks around them; an empty one is left out. */
static uint32_t split(struct reader *r, const char *text, const char **ret_items)
{
    uint32_t count = 0;
    while (*text && count < LIST_COUNT_MAX) {
        size_t size = strcspn(text, ",");
        const char *begin = text + strspn(text, " \t"), *end = text + size;
        while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        if (begin < end)
            ret_items[count++] = arena_text(r->arena, bytes_of(begin, (size_t)(end - begin)));
        text += size + (text[size] == ',');
    }
    return count;
}

static const char *list_text(struct reader *r, const char **items, uint32_t count)
{
    const char *text = "[";
    for (uint32_t i = 0; i < count; i++)
        text = arena_printf(r->arena, "%s%s%s", text, i ? ", " : "", quoted(r, items[i]));
    return arena_printf(r->arena, "%s]", text);
}

/* *ret is a TOML list of addresses. */
static int managers(struct reader *r, const char **ret)
{
    const char *items[LIST_COUNT_MAX], *text = variable(r, "MGMTD_SERVER_ADDRESSES");
    if (!text)
        return refuse(r,
                      "MGMTD_SERVER_ADDRESSES is missing: the addresses of the cluster managers, "
                      "such as TCP://10.0.0.1:8000,TCP://10.0.0.2:8000");
    uint32_t count = split(r, text, items);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_address(items[i]))
            return refuse(r, arena_printf(r->arena,
                                          "MGMTD_SERVER_ADDRESSES: '%s' is no address such as "
                                          "TCP://10.0.0.1:8000 or RDMA://10.0.0.1:8000",
                                          items[i]));
    }
    if (!count) return refuse(r, "MGMTD_SERVER_ADDRESSES names no address");
    *ret = list_text(r, items, count);
    return 0;
}

static int target_paths(struct reader *r, const char **ret)
{
    const char *items[LIST_COUNT_MAX], *text = variable(r, "TARGET_PATHS");
    if (!text)
        return refuse(r, "TARGET_PATHS is missing: a directory for each disk, such as /3fs/data");
    uint32_t count = split(r, text, items);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i][0] != '/')
            return refuse(
                r, arena_printf(r->arena, "TARGET_PATHS: '%s' is no absolute path", items[i]));
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(items[i], items[j]) == 0)
                return refuse(
                    r, arena_printf(r->arena, "TARGET_PATHS: '%s' is there twice", items[i]));
    }
    if (!count) return refuse(r, "TARGET_PATHS names no directory");
    *ret = list_text(r, items, count);
    return 0;
}

/* ---- single variables ---- */

static int port_of(struct reader *r, const char *name, const char *fallback, const char **ret)
{
    const char *text = variable(r, name) ?: fallback;
    if (!is_number(text, 1, 65535))
        return refuse(r, arena_printf(r->arena, "%s: '%s' is no port from 1 to 65535", name, text));
    *ret = text;
    return 0;
}

static int node_id_of(struct reader *r, const struct service *service, const char **ret)
{
    const char *text = variable(r, service->id_variable);
    if (!text)
        return refuse(r, arena_printf(r->arena,
                                      "%s is missing: the number of this node, unique in "
                                      "the cluster",
                                      service->id_variable));
    if (!is_number(text, 1, NODE_ID_MAX))
        return refuse(r, arena_printf(r->arena, "%s: '%s' is no number from 1 to %d",
                                      service->id_variable, text, NODE_ID_MAX));
    *ret = text;
    return 0;
}

/* Names of 3FS's levels and ours. */
static int log_level(struct reader *r, const char **ret)
{
    static const struct {
        const char *name, *level;
    } levels[] = { { "DBG", "debug" },  { "DEBUG", "debug" },  { "INFO", "info" },
                   { "WARN", "warn" },  { "WARNING", "warn" }, { "ERR", "error" },
                   { "ERROR", "error" } };
    const char *text = variable(r, "LOG_LEVEL") ?: "INFO";
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        *ret = levels[i].level;
        if (strcasecmp(levels[i].name, text) == 0) return 0;
    }
    return refuse(
        r, arena_printf(r->arena, "LOG_LEVEL: '%s' is none of DEBUG, INFO, WARN, ERROR", text));
}

static int common(struct reader *r, const char **ret)
{
    const char *level = NULL, *port = NULL;
    int e = log_level(r, &level);
    if (e >= 0) e = port_of(r, "CORE_PORT", "9000", &port);
    if (e < 0) return e;
    if (variable(r, "FDB_CLUSTER"))
        return refuse(r, "FDB_CLUSTER: this build has no FoundationDB; leave the variable out and "
                         "set KV_PATH to a directory that mgmtd and meta of one host share");
    if (variable(r, "DEVICE_FILTER"))
        note(r, "DEVICE_FILTER has no effect: this build has no RDMA and uses TCP");
    if (variable(r, "REMOTE_IP"))
        note(r, "REMOTE_IP has no effect: this build has no monitor to send samples to");
    r->plan->cluster_key = variable(r, "CLUSTER_KEY");
    r->plan->cluster_key_file = r->plan->cluster_key ? NULL : variable(r, "CLUSTER_KEY_FILE");
    *ret = arena_printf(r->arena,
                        "# rendered from the variables of the container; changes are lost\n"
                        "cluster_id = %s\nlog.level = \"%s\"\n",
                        quoted(r, variable(r, "CLUSTER_ID") ?: "default"), level);
    return 0;
}

/* Where it listens and what peers are told; *ret are lines, the list form for storage. */
static int addresses(struct reader *r, const struct service *service, bool is_list,
                     const char **ret)
{
    const char *port = NULL, *host = variable(r, "LISTEN") ?: "0.0.0.0";
    const char *told = variable(r, "ADVERTISE") ?: r->host_address;
    int e = port_of(r, "PORT", service->port, &port);
    if (e < 0) return e;
    const char *listen = arena_printf(r->arena, "TCP://%s:%s", host, port);
    const char *advertise = told[0] ? arena_printf(r->arena, "TCP://%s:%s", told, port) : "";
    if (!is_address(listen))
        return refuse(r, arena_printf(r->arena,
                                      "LISTEN: '%s' is no host name or address (IPv6 in "
                                      "brackets)",
                                      host));
    if (told[0] && !is_address(advertise))
        return refuse(r, arena_printf(r->arena,
                                      "ADVERTISE: '%s' is no host name or address (IPv6 "
                                      "in brackets)",
                                      told));
    const char *text = told[0] ? quoted(r, advertise) : "";
    const char *line =
        !told[0]
            ? ""
            : arena_printf(r->arena, is_list ? "advertise = [%s]\n" : "advertise = %s\n", text);
    *ret = arena_printf(r->arena, "listen = %s\n%s", quoted(r, listen), line);
    return 0;
}

static const char *kv_line(struct reader *r)
{
    return arena_printf(r->arena, "kv_path = %s\n",
                        quoted(r, variable(r, "KV_PATH") ?: "/var/lib/3fs/kv"));
}

/* ---- services ---- */

/* What is not of one node in the file becomes the template of all services of the type. */
#define UPLOAD "upload_template = true\n"

static int server(struct reader *r, const struct service *service, bool is_list, const char **ret)
{
    const char *head = NULL, *id = NULL, *at = NULL;
    int e = common(r, &head);
    if (e >= 0) e = node_id_of(r, service, &id);
    if (e >= 0) e = addresses(r, service, is_list, &at);
    if (e < 0) return e;
    *ret = arena_printf(r->arena, "%snode_id = %s\n%s", head, id, at);
    return 0;
}

static int render_mgmtd(struct reader *r, const struct service *service)
{
    const char *text = NULL;
    int e = server(r, service, false, &text);
    if (e < 0) return e;
    r->plan->text = arena_printf(r->arena, "%s%s", text, kv_line(r));
    return 0;
}

static int render_meta(struct reader *r, const struct service *service)
{
    const char *text = NULL, *list = NULL;
    int e = server(r, service, false, &text);
    if (e >= 0) e = managers(r, &list);
    if (e < 0) return e;
    r->plan->text =
        arena_printf(r->arena, "%smgmtd_server_addresses = %s\n%s" UPLOAD, text, list, kv_line(r));
    return 0;
}

static int render_storage(struct reader *r, const struct service *service)
{
    const char *text = NULL, *list = NULL, *paths = NULL;
    int e = server(r, service, true, &text);
    if (e >= 0) e = managers(r, &list);
    if (e >= 0) e = target_paths(r, &paths);
    if (e < 0) return e;
    if (!r->plan->cluster_key && !r->plan->cluster_key_file) {
        r->plan->kv_path = variable(r, "KV_PATH");
        if (!r->plan->kv_path)
            return refuse(r, "CLUSTER_KEY is missing: a storage needs the key that init-cluster "
                             "made, by CLUSTER_KEY, CLUSTER_KEY_FILE, or KV_PATH with the store");
    }
    r->plan->text = arena_printf(
        r->arena, "%smgmtd_server_addresses = %s\ntarget_paths = %s\n" UPLOAD, text, list, paths);
    return 0;
}

static int render_fuse(struct reader *r, const struct service *service)
{
    const char *head = NULL, *list = NULL;
    int e = common(r, &head);
    if (e >= 0) e = managers(r, &list);
    if (e < 0) return e;
    r->plan->token = variable(r, "TOKEN");
    r->plan->mountpoint = variable(r, "MOUNTPOINT") ?: "/mnt/3fs";
    if (!r->plan->token)
        return refuse(r, "TOKEN is missing: the token of the user to mount for, as user-add "
                         "printed it");
    if (r->plan->mountpoint[0] != '/')
        return refuse(
            r, arena_printf(r->arena, "MOUNTPOINT: '%s' is no absolute path", r->plan->mountpoint));
    r->plan->text =
        arena_printf(r->arena, "%smgmtd_server_addresses = %s\nmountpoint = %s\n" UPLOAD, head,
                     list, quoted(r, r->plan->mountpoint));
    return 0;
}

static int render_admin(struct reader *r, const struct service *service)
{
    const char *head = NULL, *list = NULL;
    int e = common(r, &head);
    if (e >= 0) e = managers(r, &list);
    if (e < 0) return e;
    /* The admin tool has no log. */
    r->plan->text = arena_printf(
        r->arena,
        "# rendered from the variables of the container; changes are lost\n"
        "cluster_id = %s\nmgmtd_server_addresses = %s\ntoken_file = \"/opt/3fs/etc/token.txt\"\n%s",
        quoted(r, variable(r, "CLUSTER_ID") ?: "default"), list,
        variable(r, "KV_PATH") ? kv_line(r) : "");
    return 0;
}

static const struct service services[] = {
    { "admin_cli", NULL, "admin_cli.toml", NULL, NULL, render_admin },
    { "mgmtd", "mgmtd", "mgmtd_main.toml", "MGMTD_NODE_ID", "8000", render_mgmtd },
    { "meta", "meta", "meta_main.toml", "META_NODE_ID", "8001", render_meta },
    { "storage", "storage", "storage_main.toml", "STORAGE_NODE_ID", "8000", render_storage },
    { "fuse", "fuse", "hf3fs_fuse_main.toml", NULL, NULL, render_fuse },
};

int entry_plan_make(const char *service, const char *const *environment, const char *host_address,
                    struct arena *arena, struct entry_plan *ret, const char **ret_error)
{
    struct entry_plan plan = { 0 };
    struct reader r = { .environment = environment,
                        .host_address = host_address,
                        .arena = arena,
                        .plan = &plan,
                        .notes = arena_array(arena, const char *, NOTE_COUNT_MAX + 1),
                        .ret_error = ret_error };
    const char *names[ARRAY_SIZE(services)];
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        names[i] = services[i].name;
        if (strcmp(service, services[i].name) != 0) continue;
        plan.role = services[i].role;
        plan.file = services[i].file;
        int e = services[i].render(&r, &services[i]);
        if (e < 0) return e;
        plan.notes = r.notes;
        *ret = plan;
        return 0;
    }
    if (strcmp(service, "monitor") == 0) return refuse(&r, "monitor: this build has no monitor");
    const char *near = nearest_name(service, names, ARRAY_SIZE(names));
    return refuse(&r, arena_printf(arena,
                                   "there is no service '%s'%s%s%s; there are admin_cli, "
                                   "mgmtd, meta, storage and fuse",
                                   service, near ? "; did you mean '" : "", near ?: "",
                                   near ? "'" : ""));
}
