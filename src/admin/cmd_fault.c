/* cmd_fault.c - rules at the named fault points of a running service, for tests of failures.
 * Refused by every service that was not started with fault_injection = true.
 */
#include "admin/commands.h"

#include "base/units.h"
#include "loop/fault.h"
#include "proto/core.h"

static const char *const kind_names[] = { "fail", "delay", "suspend" };

static const struct argument_spec fault_spec[] = {
    { "--node-id", "-n", ARG_U32, false, "of this node" },
    { "--address", "-a", ARG_TEXT, false, "of the service at TCP://ip:port" },
    { "action", NULL, ARG_TEXT, true, "add, list or clear" },
    { "point", NULL, ARG_TEXT, false, "add: the point's name; clear: only this one" },
    { "kind", NULL, ARG_TEXT, false, "add: fail, delay or suspend (until it is cleared)" },
    { "--error", "-e", ARG_U32, false, "fail: a status code; default 70(FaultInjection)" },
    { "--delay", "-d", ARG_TEXT, false, "delay: how long, e.g. 50ms" },
    { "--skip", NULL, ARG_U32, false, "passes that go through before; default 0" },
    { "--count", NULL, ARG_U32, false, "passes that it counts for; default 0: all" },
    { NULL, NULL, ARG_FLAG, false, NULL },
};

static int fault_call(struct admin *a, const struct arguments *args,
                      const struct rpc_method *method, const void *req, void *rep)
{
    if (argument(args, "--node-id")->is_set == argument(args, "--address")->is_set)
        return admin_fail(a, -ERR_WRONG_USAGE, "exactly one of --node-id and --address is needed");
    const char *text = argument_text(args, "--address", NULL);
    if (!text)
        return admin_node(a, (uint32_t)argument_number(args, "--node-id", 0), &core_service, method,
                          req, rep);
    struct net_address address;
    int r = net_address_parse(text, &address);
    if (r < 0)
        return admin_fail(a, r, "--address: '%s' is no address such as TCP://10.0.0.1:8000", text);
    return admin_address(a, text, &address, &core_service, method, req, rep);
}

static int add(struct admin *a, const struct arguments *args)
{
    const char *point = argument_text(args, "point", ""), *kind = argument_text(args, "kind", "");
    const char *delay = argument_text(args, "--delay", "0s");
    struct core_fault rule = { .point = bytes_of_text(point),
                               .kind = UINT8_MAX,
                               .error =
                                   (uint32_t)argument_number(args, "--error", ERR_FAULT_INJECTION),
                               .skip_count = (uint32_t)argument_number(args, "--skip", 0),
                               .hit_count = (uint32_t)argument_number(args, "--count", 0) };
    for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++)
        if (!strcmp(kind_names[i], kind)) rule.kind = (uint8_t)i;
    if (!*point || rule.kind == UINT8_MAX)
        return admin_fail(a, -ERR_WRONG_USAGE,
                          "add needs a point and one of fail, delay and suspend");
    int r = duration_parse(delay, &rule.delay_ns);
    if (r < 0) return admin_fail(a, r, "--delay: '%s' is no duration such as 50ms", delay);
    if (rule.kind == FAULT_DELAY && rule.delay_ns == 0)
        return admin_fail(a, -ERR_WRONG_USAGE, "delay needs --delay");
    struct empty_record none;
    r = fault_call(a, args, RPC_METHOD(core, add_fault), &rule, &none);
    if (r >= 0) admin_say(a, "Fault point %s: %s", point, kind);
    return r;
}

static const char *rules_text(struct admin *a, const struct core_fault_list *rules)
{
    const char *text = "";
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct core_fault *rule = &rules->items[i];
        char delay[64] = "";
        if (rule->kind == FAULT_DELAY) duration_to_text(rule->delay_ns, delay, sizeof delay);
        const char *kind = rule->kind <= FAULT_SUSPEND ? kind_names[rule->kind] : "?";
        const char *what = rule->kind == FAULT_FAIL ? error_name(-(int)rule->error) : delay;
        text = arena_printf(&a->arena, "%s%s%s%s%s", text, i ? ", " : "", kind, *what ? " " : "",
                            what);
        if (rule->skip_count) text = arena_printf(&a->arena, "%s after %u", text, rule->skip_count);
        if (rule->hit_count) text = arena_printf(&a->arena, "%s, %u times", text, rule->hit_count);
    }
    return text;
}

static int list(struct admin *a, const struct arguments *args)
{
    static const char *const headers[] = { "Point", "Hits", "Rules" };
    struct empty_record none = { 0 };
    struct core_faults_reply rep = { 0 };
    int r = fault_call(a, args, RPC_METHOD(core, list_faults), &none, &rep);
    if (r < 0) return r;
    struct print_table t;
    table_begin(&t, &a->printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < rep.points.count; i++) {
        const struct core_fault_point *p = &rep.points.items[i];
        table_cell(&t, "%.*s", (int)p->point.size, (const char *)p->point.base);
        table_cell(&t, "%u", p->hits);
        table_cell(&t, "%s", rules_text(a, &p->rules));
    }
    table_end(&t);
    return 0;
}

static int clear(struct admin *a, const struct arguments *args)
{
    const char *point = argument_text(args, "point", "");
    struct core_fault_filter req = { .point = bytes_of_text(point) };
    struct empty_record none;
    int r = fault_call(a, args, RPC_METHOD(core, clear_faults), &req, &none);
    if (r >= 0) admin_say(a, "Clear %s succeeded", *point ? point : "all fault points");
    return r;
}

static int run_fault(struct admin *a, const struct arguments *args)
{
    const char *action = argument_text(args, "action", "");
    if (!strcmp(action, "add")) return add(a, args);
    if (!strcmp(action, "list")) return list(a, args);
    if (!strcmp(action, "clear")) return clear(a, args);
    return admin_fail(a, -ERR_WRONG_USAGE, "action: '%s' is none of add, list, clear", action);
}

const struct command_spec fault_commands[] = {
    { "fault", run_fault, fault_spec,
      "Makes named points of a running service fail, wait or stand still, where its setting "
      "fault_injection is true.\n"
      "  fault -n 1001 add storage.update.before_stage fail --count 1\n"
      "  fault -n 1001 list\n  fault -n 1001 clear" },
    { NULL, NULL, NULL, NULL },
};
