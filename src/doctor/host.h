/* host.h - what is so on this host, as far as services care: facts without a judgement (judge.h).
 *
 * Files of the kernel are read below a root that a test may set; the rest are system calls.
 * Nothing that is looked at is changed, but for a file that is made and removed at once in each
 * disk's directory.
 */
#pragma once
#include "doctor/devices.h"

enum { HOST_ITEM_COUNT_MAX = 64 };

struct host_question {
    const char *proc, *sysfs; /* "/proc", "/sys" */
    const char *const *disks; /* directories */
    uint32_t disk_count;
    const char *const *addresses; /* of cluster managers: TCP://host:port */
    uint32_t address_count;
    const uint64_t *ports; /* to be listened at */
    uint32_t port_count;
    const char *mountpoint; /* NULL: nothing is to be mounted */
    uint64_t timeout_ns;    /* for each address and each mount */
};

struct host_disk {
    const char *path;
    int error;      /* errno of looking at it */
    uint64_t magic; /* of the file system: statfs */
    uint64_t size_bytes, free_bytes, free_inodes;
    bool has_inode_limit;
    int write_error, direct_error; /* of making a file; of an O_DIRECT write */
    uint64_t device;               /* equal for directories of one file system */
};

struct host_address {
    const char *text;
    int error; /* errno of a connection; 0: somebody listens */
    uint64_t took_ns;
};

struct host_port {
    uint32_t port;
    int error; /* errno of listening */
};

struct host_mount {
    const char *path;
    int error; /* errno of asking it; 0: it lives; ETIMEDOUT: no answer in time */
};

struct host_facts {
    unsigned uid;
    bool is_in_user_namespace; /* other than the host's */
    uint32_t kernel_major, kernel_minor;
    const char *kernel;                /* "6.1.0-13-amd64" */
    int fuse_error;                    /* errno of opening /dev/fuse */
    bool has_fusermount, allows_other; /* fusermount3 is there; user_allow_other in fuse.conf */
    int uring_error;                   /* errno of io_uring_setup() */
    uint32_t uring_disabled;           /* the sysctl */
    uint64_t nofile_soft, nofile_hard, memlock_soft; /* UINT64_MAX: no limit */
    uint64_t shm_size_bytes, shm_free_bytes;
    int shm_error;
    uint64_t memory_bytes;
    bool clock_is_known, clock_is_synchronised;
    bool mount_is_shared; /* what is above the mountpoint */
    bool mountpoint_is_there;
    int mountpoint_error;
    struct rdma_ports rdma;
    int rdma_cm_error; /* errno of opening /dev/infiniband/rdma_cm */
    struct host_disk *disks;
    uint32_t disk_count;
    struct host_address *addresses;
    uint32_t address_count;
    struct host_port *ports;
    uint32_t port_count;
    struct host_mount *mounts; /* of ours, alive or not */
    uint32_t mount_count;
};

/* *ret lies in @arena. Takes at most some seconds, and the time-out for each address and mount. */
void host_look(const struct host_question *question, struct arena *arena, struct host_facts *ret);
