/* meta.c - client stubs and method table of the meta service. */
#include "proto/meta.h"

RPC_SERVICE_DEFINE(meta, 4, META_METHODS)
