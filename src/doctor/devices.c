/* devices.c - /sys/class/infiniband and /sys/class/net.
 *
 * An interface belongs to a port when the port's table of addresses names it (gid_attrs/ndevs), or
 * else when it hangs at the same device and its port number (dev_port, in older drivers dev_id) is
 * that of the port.
 */
#include "doctor/devices.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_COUNT_MAX = 256, NAME_COUNT_MAX = 128, GID_COUNT_MAX = 16 };

/* The first line of a file, "" when it cannot be read. */
static const char *line_of(struct arena *arena, const char *path)
{
    char line[256] = "";
    FILE *f = fopen(path, "re");
    bool is_read = f && fgets(line, sizeof line, f);
    if (f) fclose(f);
    line[strcspn(line, "\n")] = 0;
    return is_read ? arena_printf(arena, "%s", line) : "";
}

/* "mlx5_2" before "mlx5_10". */
static int by_name(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strverscmp(*left, *right);
}

/* The entries of a directory, in order of name. */
static uint32_t names_in(struct arena *arena, const char *path, const char **ret)
{
    uint32_t count = 0;
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory && count < NAME_COUNT_MAX && (entry = readdir(directory)))
        if (entry->d_name[0] != '.') ret[count++] = arena_printf(arena, "%s", entry->d_name);
    if (directory) closedir(directory);
    qsort(ret, count, sizeof *ret, by_name);
    return count;
}

static const char *net_of_table(struct arena *arena, const char *port_path)
{
    for (int i = 0; i < GID_COUNT_MAX; i++) {
        const char *net =
            line_of(arena, arena_printf(arena, "%s/gid_attrs/ndevs/%d", port_path, i));
        if (net[0]) return net;
    }
    return "";
}

static const char *net_of_device(struct arena *arena, const char *device_path, uint32_t port)
{
    const char *names[NAME_COUNT_MAX];
    const char *folder = arena_printf(arena, "%s/device/net", device_path);
    uint32_t count = names_in(arena, folder, names);
    for (uint32_t i = 0; i < count; i++) {
        const char *dev_port =
            line_of(arena, arena_printf(arena, "%s/%s/dev_port", folder, names[i]));
        const char *dev_id = line_of(arena, arena_printf(arena, "%s/%s/dev_id", folder, names[i]));
        unsigned long at = strtoul(dev_port, NULL, 0), by_id = strtoul(dev_id, NULL, 0);
        if ((at > by_id ? at : by_id) + 1 == port) return names[i];
    }
    return "";
}

static const char *link_of(struct arena *arena, const char *sysfs, const char *net)
{
    if (!net[0]) return "NA";
    const char *folder = arena_printf(arena, "%s/class/net/%s", sysfs, net);
    DIR *directory = opendir(folder);
    if (!directory) return "NA"; /* in another network namespace */
    closedir(directory);
    /* of an interface that is switched off the file cannot be read */
    return line_of(arena, arena_printf(arena, "%s/carrier", folder))[0] == '1' ? "Up" : "Down";
}

static struct rdma_port read_port(struct arena *arena, const char *sysfs, const char *device,
                                  const char *number)
{
    const char *device_path = arena_printf(arena, "%s/class/infiniband/%s", sysfs, device);
    const char *path = arena_printf(arena, "%s/ports/%s", device_path, number);
    struct rdma_port port = { .device = device, .port = (uint32_t)strtoul(number, NULL, 10) };
    port.net = net_of_table(arena, path);
    if (!port.net[0]) port.net = net_of_device(arena, device_path, port.port);
    port.link = link_of(arena, sysfs, port.net);
    port.link_layer = line_of(arena, arena_printf(arena, "%s/link_layer", path));
    port.is_active = line_of(arena, arena_printf(arena, "%s/state", path))[0] == '4';
    return port;
}

void rdma_list(const char *sysfs, struct arena *arena, struct rdma_ports *ret)
{
    const char *devices[NAME_COUNT_MAX], *ports[NAME_COUNT_MAX];
    const char *folder = arena_printf(arena, "%s/class/infiniband", sysfs);
    *ret = (struct rdma_ports){ arena_array(arena, struct rdma_port, PORT_COUNT_MAX), 0 };
    uint32_t device_count = names_in(arena, folder, devices);
    for (uint32_t i = 0; i < device_count; i++) {
        uint32_t count =
            names_in(arena, arena_printf(arena, "%s/%s/ports", folder, devices[i]), ports);
        for (uint32_t j = 0; j < count && ret->count < PORT_COUNT_MAX; j++)
            ret->items[ret->count++] = read_port(arena, sysfs, devices[i], ports[j]);
    }
}
