/* names.h - the words that operators know for types and states of the cluster, both ways.
 */
#pragma once
#include "proto/mgmtd.h"

/* "?" for a number that has no name. */
const char *node_type_name(uint8_t type);     /* MGMTD, META, STORAGE, CLIENT, FUSE */
const char *node_status_name(uint8_t status); /* PRIMARY_MGMTD, HEARTBEAT_CONNECTED, … */
const char *
public_state_name(uint8_t state); /* SERVING, LASTSRV, SYNCING, WAITING, OFFLINE, INVALID */
const char *local_state_name(uint8_t state);    /* UPTODATE, ONLINE, OFFLINE, INVALID */
const char *config_status_name(uint8_t status); /* NORMAL, DIRTY, FAILED, UNKNOWN, STALE */
/* The type of that name in any case; CLIENT_AGENT is CLIENT. -1 for none. */
const char *event_kind_name(uint8_t kind); /* MANAGER, NODE, CHAIN, TABLE, CONFIG, LOST */
int node_type_parse(const char *name);
