/* core.c - client stubs and method table of the core service. */
#include "proto/core.h"

RPC_SERVICE_DEFINE(core, 10001, CORE_METHODS)
