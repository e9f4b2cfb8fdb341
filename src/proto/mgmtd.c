/* mgmtd.c - client stubs and method table of the mgmtd service. */
#include "proto/mgmtd.h"

RPC_SERVICE_DEFINE(mgmtd, 217, MGMTD_METHODS)
