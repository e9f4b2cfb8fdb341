/* devices_test.c - RDMA ports out of a sysfs that the test makes. */
#include "base/check.h"
#include "doctor/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
    char root[64];
    struct arena arena;
    struct rdma_ports ports;
};

static int set_up(void **state)
{
    struct world *w = new_zero(struct world);
    arena_init(&w->arena);
    snprintf(w->root, sizeof w->root, "/tmp/devices-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", w->root);
    assert_int_equal(system(command), 0);
    arena_done(&w->arena);
    free(w);
    return 0;
}

/* Makes the file ROOT/@path with a line of @text, and the directories above it. */
static void put(struct world *w, const char *path, const char *text)
{
    char *full = arena_printf(&w->arena, "%s/%s", w->root, path);
    for (char *at = full + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        (void)mkdir(full, 0755);
        *at = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

static const char *shown(struct world *w)
{
    const char *text = "";
    rdma_list(w->root, &w->arena, &w->ports);
    for (uint32_t i = 0; i < w->ports.count; i++) {
        const struct rdma_port *p = &w->ports.items[i];
        text = arena_printf(&w->arena, "%s%s port %u ==> %s (%s) %s%s\n", text, p->device, p->port,
                            p->net, p->link, p->link_layer, p->is_active ? " active" : "");
    }
    return text;
}

static void none(void **state)
{
    assert_string_equal(shown(*state), "");
}

/* Two cards of RoCE, whose tables of addresses name the interface, the second one's cable is out;
 * "mlx5_10" comes last although '1' < '2'. */
static void by_table(void **state)
{
    struct world *w = *state;
    static const char *const devices[] = { "mlx5_0", "mlx5_2", "mlx5_10" };
    for (int i = 0; i < 3; i++) {
        const char *port = arena_printf(&w->arena, "class/infiniband/%s/ports/1", devices[i]);
        put(w, arena_printf(&w->arena, "%s/link_layer", port), "Ethernet");
        put(w, arena_printf(&w->arena, "%s/state", port), i == 1 ? "1: DOWN" : "4: ACTIVE");
        put(w, arena_printf(&w->arena, "%s/gid_attrs/ndevs/1", port),
            arena_printf(&w->arena, "eth%d", i));
        if (i < 2)
            put(w, arena_printf(&w->arena, "class/net/eth%d/carrier", i), i == 0 ? "1" : "0");
    }
    assert_string_equal(shown(w), "mlx5_0 port 1 ==> eth0 (Up) Ethernet active\n"
                                  "mlx5_2 port 1 ==> eth1 (Down) Ethernet\n"
                                  "mlx5_10 port 1 ==> eth2 (NA) Ethernet active\n");
}

/* A card with two ports of InfiniBand: the interfaces hang at the device and know their port, one
 * by dev_port and the other, of an older driver, by dev_id. */
static void by_device(void **state)
{
    struct world *w = *state;
    put(w, "class/infiniband/mlx4_0/ports/1/link_layer", "InfiniBand");
    put(w, "class/infiniband/mlx4_0/ports/1/state", "4: ACTIVE");
    put(w, "class/infiniband/mlx4_0/ports/2/link_layer", "InfiniBand");
    put(w, "class/infiniband/mlx4_0/ports/2/state", "2: INIT");
    put(w, "class/infiniband/mlx4_0/device/net/ib0/dev_port", "0");
    put(w, "class/infiniband/mlx4_0/device/net/ib0/dev_id", "0x0");
    put(w, "class/infiniband/mlx4_0/device/net/ib1/dev_port", "0");
    put(w, "class/infiniband/mlx4_0/device/net/ib1/dev_id", "0x1");
    put(w, "class/net/ib0/carrier", "1");
    put(w, "class/net/ib1/operstate", "down"); /* switched off: no carrier */
    assert_string_equal(shown(w), "mlx4_0 port 1 ==> ib0 (Up) InfiniBand active\n"
                                  "mlx4_0 port 2 ==> ib1 (Down) InfiniBand\n");
}

static void without_interface(void **state)
{
    struct world *w = *state;
    put(w, "class/infiniband/siw0/ports/1/link_layer", "Ethernet");
    assert_string_equal(shown(w), "siw0 port 1 ==>  (NA) Ethernet\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_interface, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
