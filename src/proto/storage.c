/* storage.c - client stubs and method table of the storage service. */
#include "proto/storage.h"

RPC_SERVICE_DEFINE(storage, 3, STORAGE_METHODS)
