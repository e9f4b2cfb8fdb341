/* devices.h - RDMA devices and the network interface of each of their ports, out of sysfs.
 *
 * Only reads files below @sysfs ("/sys"; a test makes its own). What cannot be read is left out.
 */
#pragma once
#include "base/arena.h"

struct rdma_port {
    const char *device, *link_layer; /* "mlx5_0"; "Ethernet", "InfiniBand", "" */
    uint32_t port;
    const char *net;  /* "eth0", or "" */
    const char *link; /* of that interface: "Up", "Down", "NA" */
    bool is_active;   /* the port itself */
};

struct rdma_ports {
    struct rdma_port *items; /* by device, then by port */
    uint32_t count;
};

/* *ret lies in @arena; none is no error. */
void rdma_list(const char *sysfs, struct arena *arena, struct rdma_ports *ret);
