/* names.c - tables of names. */
#include "client/names.h"

#include <strings.h>

static const char *const type_names[NODE_TYPE_MAX] = { "MGMTD", "META", "STORAGE", "CLIENT",
                                                       "FUSE" };
static const char *const status_names[NODE_STATUS_MAX] = { "PRIMARY_MGMTD", "HEARTBEAT_CONNECTED",
                                                           "HEARTBEAT_CONNECTING",
                                                           "HEARTBEAT_FAILED", "DISABLED" };
static const char *const config_names[] = { "NORMAL", "DIRTY", "FAILED", "UNKNOWN", "STALE" };
static const char *const event_names[EVENT_KIND_MAX] = { "MANAGER", "NODE",   "CHAIN",
                                                         "TABLE",   "CONFIG", "LOST" };

const char *event_kind_name(uint8_t kind)
{
    return kind < EVENT_KIND_MAX ? event_names[kind] : "?";
}

const char *node_type_name(uint8_t type)
{
    return type < NODE_TYPE_MAX ? type_names[type] : "?";
}

const char *node_status_name(uint8_t status)
{
    return status < NODE_STATUS_MAX ? status_names[status] : "?";
}

const char *config_status_name(uint8_t status)
{
    return status < ARRAY_SIZE(config_names) ? config_names[status] : "?";
}

const char *public_state_name(uint8_t state)
{
    switch (state) {
    case PUBLIC_INVALID: return "INVALID";
    case PUBLIC_SERVING: return "SERVING";
    case PUBLIC_LASTSRV: return "LASTSRV";
    case PUBLIC_SYNCING: return "SYNCING";
    case PUBLIC_WAITING: return "WAITING";
    case PUBLIC_OFFLINE: return "OFFLINE";
    default: return "?";
    }
}

const char *local_state_name(uint8_t state)
{
    switch (state) {
    case LOCAL_INVALID: return "INVALID";
    case LOCAL_UPTODATE: return "UPTODATE";
    case LOCAL_ONLINE: return "ONLINE";
    case LOCAL_OFFLINE: return "OFFLINE";
    default: return "?";
    }
}

int node_type_parse(const char *name)
{
    for (int type = 0; type < NODE_TYPE_MAX; type++) {
        if (strcasecmp(name, type_names[type]) == 0) return type;
    }
    return strcasecmp(name, "CLIENT_AGENT") == 0 ? NODE_CLIENT : -1;
}
