/* sessions.c - the table of sessions, the longest not extended first.
 */
#include "mgmtd/sessions.h"

#include "mgmtd/tags.h"

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
    return 0;
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
