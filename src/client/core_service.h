/* core_service.h - the server side of proto/core.h, the same for every role. */
#pragma once
#include "rpc/rpc.h"

/* Servers of the cluster and admins may call it. */
void core_serve(struct rpc_server *server, struct node *node);
