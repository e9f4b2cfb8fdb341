/* process.c - /proc/PID/stat and process descriptors. */
#include "supervisor/process.h"

#include "base/units.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS_FROM_STATE_TO_START = 19 };

struct process_id process_identify(pid_t pid)
{
    struct process_id none = { 0 };
    char path[64], text[1024];
    if (pid <= 0) return none;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f) return none;
    size_t size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = '\0';
    char *at = strrchr(text, ')'); /* the name before may contain anything */
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X') return none;
    at += 2;
    for (int i = 0; i < FIELDS_FROM_STATE_TO_START && at; i++) {
        at = strchr(at, ' ');
        if (at) at++;
    }
    if (!at) return none;
    return (struct process_id){ .pid = pid, .start_ticks = strtoull(at, NULL, 10) };
}

bool process_is_alive(struct process_id id)
{
    struct process_id now = process_identify(id.pid);
    return now.pid != 0 && now.start_ticks == id.start_ticks;
}

int process_open(struct process_id id)
{
    int fd = (int)syscall(SYS_pidfd_open, id.pid, 0);
    if (fd >= 0 && !process_is_alive(id)) { /* the number went to another between the two */
        close(fd);
        fd = -1;
    }
    return fd;
}

int process_open_child(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

void process_signal(struct process_id id, int signal)
{
    int fd = process_open(id);
    if (fd < 0) return;
    syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
    close(fd);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * SEC + (uint64_t)at.tv_nsec;
}

uint64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t wall_ns(void *unused)
{
    return clock_ns(CLOCK_REALTIME);
}

void pause_ns(uint64_t ns)
{
    struct timespec left = { .tv_sec = (time_t)(ns / SEC), .tv_nsec = (long)(ns % SEC) };
    nanosleep(&left, NULL);
}

void boot_id(char ret[40])
{
    memset(ret, 0, 40);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f) return;
    size_t size = fread(ret, 1, 36, f);
    ret[size] = '\0';
    fclose(f);
}
