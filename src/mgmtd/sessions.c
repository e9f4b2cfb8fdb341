/* sessions.c - the table of sessions, the longest not extended first.
 */
#include "mgmtd/sessions.h"

#include "mgmtd/tags.h"

#define ORDER_LOOK_NS (200 * MSEC)

/* Settings by hand on their way to a client; on the stack of who waits for the outcome. */
struct client_order {
    uint64_t id;
    struct bytes content;
    struct client_session *outcome; /* of this the last update */
    struct arena *arena;            /* of the outcome's text */
    bool is_done;
    struct wait_queue done;
};

static struct bytes session_key(const struct uuid *client)
{
    return bytes_of(client, sizeof *client);
}

static void drop(struct state *s, struct session *session)
{
    map_remove_bytes(&s->sessions_by_id, session_key(&session->info.client));
    list_remove(&session->link);
    arena_done(&session->arena);
    free(session);
}

/* Takes what the client says, keeping the session's start. */
static void take(struct state *s, struct session *session, const struct client_session *said)
{
    uint64_t start = session->info.session_start_wall_ns;
    arena_done(&session->arena);
    session->info = *said;
    session->info.hostname = arena_copy(&session->arena, said->hostname);
    session->info.desc = arena_copy(&session->arena, said->desc);
    session->info.release = arena_copy(&session->arena, said->release);
    session->info.update_error = arena_copy(&session->arena, said->update_error);
    session->info.tags = (struct tag_list){ 0 };
    session->info.last_extend_wall_ns = node_wall_ns(s->options.node);
    session->info.session_start_wall_ns = start ? start : session->info.last_extend_wall_ns;
    session->extended_ns = state_now_ns(s);
    list_remove(&session->link);
    list_push_back(&s->sessions, &session->link);
}

void sessions_expire(struct state *s)
{
    uint64_t now = state_now_ns(s);
    list_for_each_safe (it, &s->sessions) {
        struct session *session = list_entry(it, struct session, link);
        if (now - session->extended_ns < s->options.session_timeout_ns) return;
        drop(s, session);
    }
}

static void fill_reply(const struct state *s, const struct client_session *said,
                       struct extend_session_reply *reply)
{
    const struct latest_config *config = &s->configs[said->type];
    reply->interval_ns = s->options.timing->session_ns;
    reply->timeout_ns = s->options.session_timeout_ns;
    reply->config_version = config->version;
    if (config->version > said->config_version) reply->config = config->content;
    reply->tags = hosts_tags(s, said->hostname);
}

/* The client's outcome to whoever waits for it; or what waits for the client. */
static void exchange_order(struct session *session, const struct extend_session_request *request,
                           struct extend_session_reply *reply)
{
    struct client_order *order = session->order;
    if (!order) return;
    if (request->order_id != order->id) {
        reply->order_id = order->id;
        reply->order = order->content;
        return;
    }
    *order->outcome = request->session;
    order->outcome->update_error = arena_copy(order->arena, request->session.update_error);
    order->is_done = true;
    session->order = NULL;
    wait_queue_wake_all(&order->done);
}

int sessions_extend(struct state *s, const struct extend_session_request *request,
                    struct extend_session_reply *reply)
{
    const struct client_session *said = &request->session;
    if (uuid_is_zero(said->client) || (said->type != NODE_CLIENT && said->type != NODE_FUSE))
        return -ERR_INVALID_ARG;
    struct session *session = map_get_bytes(&s->sessions_by_id, session_key(&said->client));
    if (session) {
        const struct client_session *held = &session->info;
        if (held->type != said->type || held->client_start_wall_ns != said->client_start_wall_ns)
            return -ERR_MGMTD_SESSION_MISMATCH;
        if (said->version <= held->version) return -ERR_MGMTD_SESSION_STALE;
    }
    fill_reply(s, said, reply);
    if (request->ending) {
        if (session) drop(s, session);
        return 0;
    }
    if (!session) {
        sessions_expire(s);
        if (s->sessions_by_id.count >= SESSION_COUNT_MAX) return -ERR_BUSY;
        session = new_zero(struct session);
        list_init(&session->link);
        map_put_bytes(&s->sessions_by_id, session_key(&said->client), session);
    }
    take(s, session, said);
    exchange_order(session, request, reply);
    return 0;
}

/* ---- settings by hand ---- */

static struct session *find_session(const struct state *s, const struct uuid *client)
{
    return map_get_bytes(&s->sessions_by_id, session_key(client));
}

/* Until the client has said what it made of them, or its session ends, or this term. */
static int wait_outcome(struct state *s, const struct uuid *client, struct client_order *order)
{
    for (;;) {
        int r;
        {
            FIBER_TIMEOUT(ORDER_LOOK_NS);
            r = wait_queue_wait(&order->done, "outcome of settings by hand");
        }
        if (order->is_done) return 0;
        if (r < 0 && r != -ERR_TIMEOUT) return r;
        if (!state_is_valid(s)) return -ERR_MGMTD_NOT_PRIMARY;
        const struct session *session = find_session(s, client);
        if (!session || session->order != order) return -ERR_MGMTD_SESSION_NOT_FOUND;
        if (fiber_remaining_ns() == 0) return -ERR_TIMEOUT;
    }
}

int sessions_update_client(struct state *s, const struct update_client_request *request,
                           struct arena *arena, const char **ret_why)
{
    sessions_expire(s);
    struct session *session = find_session(s, &request->client);
    if (!session) {
        *ret_why = "no client has a session of that id (list-clients)";
        return -ERR_MGMTD_SESSION_NOT_FOUND;
    }
    if (session->order) {
        *ret_why = "other settings are on their way to that client";
        return -ERR_BUSY;
    }
    struct client_session outcome = { .update_status = 0 };
    struct client_order order = { .id = node_random_u64(s->options.node) | 1,
                                  .content = request->content,
                                  .outcome = &outcome,
                                  .arena = arena };
    wait_queue_init(&order.done);
    session->order = &order;
    int r = wait_outcome(s, &request->client, &order);
    session = find_session(s, &request->client);
    if (session && session->order == &order) session->order = NULL;
    if (r == -ERR_TIMEOUT) *ret_why = "the client has not fetched them yet; it still may";
    if (r == -ERR_MGMTD_SESSION_NOT_FOUND) *ret_why = "the client has ended";
    if (r < 0 || outcome.update_status == 0) return r;
    *ret_why = arena_printf(arena, "%.*s", (int)outcome.update_error.size,
                            (const char *)outcome.update_error.base);
    return error_number_is_known((int)outcome.update_status) ? -(int)outcome.update_status
                                                             : -ERR_UNKNOWN;
}

void sessions_list(struct state *s, struct arena *arena, struct list_sessions_reply *reply)
{
    sessions_expire(s);
    reply->bootstrapping = state_now_ns(s) - s->takeover_ns < s->options.session_timeout_ns;
    reply->sessions = (struct client_session_list){
        arena_array(arena, struct client_session, s->sessions_by_id.count), 0
    };
    list_for_each (it, &s->sessions) {
        struct client_session *info = &reply->sessions.items[reply->sessions.count++];
        *info = list_entry(it, struct session, link)->info;
        info->tags = hosts_tags(s, info->hostname);
    }
}
