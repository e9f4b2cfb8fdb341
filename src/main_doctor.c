/* main_doctor.c - c3fs doctor: what is wrong on this host, and the remedy; c3fs devices.
 *
 * What is not given is taken from the variables that the container's services have. Exit status: 0
 * when nothing is BAD, 1 when something is, 2 for a wrong command line.
 */
#include "main_doctor.h"

#include "admin/print.h"
#include "base/units.h"
#include "doctor/judge.h"
#include "main_tool.h"

static const char tool[] = "c3fs doctor";
#define TIMEOUT_TEXT "2s"

static const char *variable(const char *name)
{
    const char *text = getenv(name);
    return text && text[0] ? text : NULL;
}

/* What was given, or the pieces of a variable between commas. */
static uint32_t texts_of(struct arena *arena, const struct arguments *args, const char *name,
                         const char *from, const char ***ret)
{
    const struct argument_value *given = argument(args, name);
    const char *text = given->is_set ? NULL : variable(from);
    uint32_t count = given->is_set ? given->count : 0;
    *ret = given->is_set ? given->texts : arena_array(arena, const char *, HOST_ITEM_COUNT_MAX);
    while (text && *text && count < HOST_ITEM_COUNT_MAX) {
        size_t size = strcspn(text, ",");
        if (size) (*ret)[count++] = arena_text(arena, bytes_of(text, size));
        text += size + (text[size] == ',');
    }
    return count < HOST_ITEM_COUNT_MAX ? count : HOST_ITEM_COUNT_MAX;
}

static int ports_of(struct arena *arena, const struct arguments *args, struct host_question *ret)
{
    const struct argument_value *given = argument(args, "--port");
    uint64_t *numbers = arena_array(arena, uint64_t, HOST_ITEM_COUNT_MAX);
    uint32_t count = 0;
    const char *port = given->is_set ? NULL : variable("PORT");
    if (port && !argument_number_parse(port, &numbers[count++])) numbers[0] = 0;
    for (; given->is_set && count < given->count && count < HOST_ITEM_COUNT_MAX; count++)
        numbers[count] = given->numbers[count];
    for (uint32_t i = 0; i < count; i++) {
        if (numbers[i] >= 1 && numbers[i] <= 65535) continue;
        tool_fail(tool, "--port: there are ports from 1 to 65535");
        return TOOL_EXIT_USAGE;
    }
    ret->ports = numbers;
    ret->port_count = count;
    return 0;
}

static void print_json(const struct findings *findings)
{
    static const char *const headers[] = { "Check", "State", "Found", "Remedy" };
    struct printer printer = { stdout, true };
    struct print_table table;
    table_begin(&table, &printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct finding *f = &findings->items[i];
        table_cell(&table, "%s", f->check);
        table_cell(&table, "%s", verdict_name(f->verdict));
        table_cell(&table, "%s", f->what);
        table_cell(&table, "%s", f->remedy);
    }
    table_end(&table);
}

/* Columns of what is, and below it the remedy: side by side no terminal is wide enough. */
static void print_lines(const struct findings *findings)
{
    int width = 0;
    for (uint32_t i = 0; i < findings->count; i++)
        width = MAX_OF(width, (int)strlen(findings->items[i].check));
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct finding *f = &findings->items[i];
        printf("%-*s  %-7s  %s\n", width, f->check, verdict_name(f->verdict), f->what);
        if (f->remedy[0]) printf("%-*s  %-7s  -> %s\n", width, "", "", f->remedy);
    }
}

static int print_findings(const struct findings *findings, bool as_json)
{
    uint32_t bad_count = 0, warning_count = 0;
    for (uint32_t i = 0; i < findings->count; i++) {
        bad_count += findings->items[i].verdict == VERDICT_BAD;
        warning_count += findings->items[i].verdict == VERDICT_WARN;
    }
    if (as_json) {
        print_json(findings);
    } else {
        print_lines(findings);
        printf("%u bad, %u warnings\n", bad_count, warning_count);
    }
    return bad_count ? TOOL_EXIT_FAILED : 0;
}

static int look(struct arena *arena, const struct arguments *args)
{
    const char **disks, **addresses;
    const char *timeout = argument_text(args, "--timeout", TIMEOUT_TEXT);
    struct host_question q = { .proc = "/proc",
                               .sysfs = argument_text(args, "--sysfs", "/sys"),
                               .mountpoint =
                                   argument_text(args, "--mount", variable("MOUNTPOINT")) };
    if (duration_parse(timeout, &q.timeout_ns) < 0 || q.timeout_ns > 60 * SEC) {
        tool_fail(tool, "--timeout: '%s' is no duration up to 60s", timeout);
        return TOOL_EXIT_USAGE;
    }
    int r = ports_of(arena, args, &q);
    if (r) return r;
    q.disk_count = texts_of(arena, args, "--disk", "TARGET_PATHS", &disks);
    q.address_count = texts_of(arena, args, "--mgmtd", "MGMTD_SERVER_ADDRESSES", &addresses);
    q.disks = disks;
    q.addresses = addresses;
    struct host_facts facts;
    struct findings findings;
    host_look(&q, arena, &facts);
    host_judge(&q, &facts, arena, &findings);
    return print_findings(&findings, argument_flag(args, "--json"));
}

int doctor_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = {
        { "--disk", NULL, ARG_TEXTS, false, "directories for data; TARGET_PATHS" },
        { "--mgmtd", NULL, ARG_TEXTS, false,
          "cluster managers to be reached, TCP://host:port; MGMTD_SERVER_ADDRESSES" },
        { "--port", NULL, ARG_U64S, false, "ports that a service is to listen at; PORT" },
        { "--mount", NULL, ARG_TEXT, false, "where to mount; MOUNTPOINT" },
        { "--timeout", NULL, ARG_TEXT, false,
          "for each cluster manager and each mount; " TIMEOUT_TEXT },
        { "--sysfs", NULL, ARG_TEXT, false, "instead of /sys" },
        { "--json", NULL, ARG_FLAG, false, "an array of objects" },
        { NULL, NULL, ARG_FLAG, false, NULL },
    };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, tool,
                           "c3fs doctor - names what is wrong on this host, and the remedy",
                           "Exit status: 1 when something is BAD: a service that needs it would "
                           "not work.\n"
                           "example:\n  c3fs doctor --disk /3fs/data --port 8000 --mgmtd "
                           "TCP://10.0.0.1:8000\n",
                           spec, argc, argv, &args);
    return r >= 0 ? r : look(&arena, &args);
}

/* ---- devices ---- */

int devices_main(int argc, char *const *argv)
{
    static const struct argument_spec spec[] = {
        { "--sysfs", NULL, ARG_TEXT, false, "instead of /sys" },
        { "--json", NULL, ARG_FLAG, false, "an array of objects" },
        { NULL, NULL, ARG_FLAG, false, NULL },
    };
    static const char *const headers[] = { "Device", "Port", "Net", "Link", "Layer", "Active" };
    cleanup_arena_ struct arena arena;
    arena_init(&arena);
    struct arguments args;
    int r = tool_arguments(&arena, "c3fs devices",
                           "c3fs devices - lists RDMA devices and their network interfaces, as "
                           "ibdev2netdev does",
                           "example of a line:\n  mlx5_0 port 1 ==> eth0 (Up)\n", spec, argc, argv,
                           &args);
    if (r >= 0) return r;
    struct rdma_ports ports;
    rdma_list(argument_text(&args, "--sysfs", "/sys"), &arena, &ports);
    bool as_json = argument_flag(&args, "--json");
    struct printer printer = { stdout, true };
    struct print_table table;
    if (as_json) table_begin(&table, &printer, ARRAY_SIZE(headers), headers);
    for (uint32_t i = 0; i < ports.count; i++) {
        const struct rdma_port *p = &ports.items[i];
        if (!as_json) {
            printf("%s port %u ==> %s (%s)\n", p->device, p->port, p->net, p->link);
            continue;
        }
        table_cell(&table, "%s", p->device);
        table_cell(&table, "%u", p->port);
        table_cell(&table, "%s", p->net);
        table_cell(&table, "%s", p->link);
        table_cell(&table, "%s", p->link_layer);
        table_cell(&table, "%s", p->is_active ? "true" : "false");
    }
    if (as_json) table_end(&table);
    if (!ports.count && !as_json) fprintf(stderr, "c3fs devices: there is no RDMA device\n");
    return 0;
}
