/* mgmtd_template.c - a service's own settings as the template of its type, as 3FS's entrypoint
 * uploads them.
 *
 * The cluster manager decides: it stores the text when the type has none, or another one that a
 * service uploaded, and never over what a person set. Nothing of the service waits for it.
 */
#include "client/mgmtd_client_internal.h"
#include "client/names.h"

static int upload_once(struct mgmtd_client *c, struct config_info *ret, const char **ret_why,
                       struct arena *arena)
{
    struct set_config_request request = {
        .type = (uint8_t)c->upload_type,
        .content = bytes_of_text(c->node->config_template),
        .desc = bytes_of_text(arena_printf(arena, "uploaded by %s%s%s at its start", c->node->name,
                                           c->node->host[0] ? " on " : "", c->node->host)),
        .from_service = 1,
    };
    struct rpc_options options = { .arena = arena, .ret_error_text = ret_why };
    return mgmtd_client_call(c, RPC_METHOD(mgmtd, set_config), &options, &request, ret);
}

static int upload_fiber(void *arg)
{
    struct mgmtd_client *c = arg;
    const struct log *log = &c->node->log;
    const char *type = node_type_name((uint8_t)c->upload_type);
    for (;;) {
        cleanup_arena_ struct arena arena = { 0 };
        struct config_info stored = { 0 };
        const char *why = NULL;
        int r = upload_once(c, &stored, &why, &arena);
        if (r == -ERR_CANCELED) return r;
        if (r >= 0) {
            log_info(log, "configuration template of %s: version %llu", type,
                     (unsigned long long)stored.version);
            return 0;
        }
        if (mgmtd_client_moves_on(r)) continue; /* nobody leads; the call has waited */
        log_warn(log, r, "the settings of this service are not made the template of %s: %s", type,
                 why ?: error_sentence(r));
        return 0;
    }
}

int mgmtd_client_start_upload(struct mgmtd_client *c, enum node_type type)
{
    if (!c->node->config_template) return 0;
    if (c->identity.kind == AUTH_TOKEN && !(c->user.rights & AUTH_RIGHT_ADMIN)) {
        log_info(&c->node->log, "user %u is no admin: the configuration template is left to admins",
                 c->user.uid);
        return 0;
    }
    c->upload_type = type;
    return mgmtd_client_spawn(c, "mgmtd-template", upload_fiber);
}
