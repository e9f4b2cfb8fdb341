/* embedded_server.h - the holder's side: serves its store to other processes of the host over a
 * unix socket.
 *
 * Reads are answered in the turn in which they arrive; commits run in a fiber each. Only processes
 * of the same user, or root's, get an answer. Nothing that a client sends does more than end its
 * own connection. Private to src/kv.
 */
#pragma once
#include "kv/store.h"

struct kv_server;
/* Listens at @path (a stale file there is replaced: the caller holds the store's lock). */
int kv_server_start(struct node *node, const char *path,
                    struct kv_server **ret) fiber_fn must_check;
/* From now on requests are served from @store, which outlives the server; before that only pings
 * are. */
void kv_server_set_store(struct kv_server *server, struct store *store);
/* Ends all connections and joins their fibers. NULL is fine; returns NULL. */
struct kv_server *kv_server_stop(struct kv_server *server) fiber_fn;
