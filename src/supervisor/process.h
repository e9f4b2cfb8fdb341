/* process.h - processes by their identity: a number is used again, a number and a start time is
 * not. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_id {
    pid_t pid;            /* 0: none */
    uint64_t start_ticks; /* since boot, of /proc/PID/stat */
};

/* The identity of a live process; pid 0 when there is none with that number, or only its remains.
 */
struct process_id process_identify(pid_t pid);
bool process_is_alive(struct process_id id);
/* Sends a signal if it is still that process. */
void process_signal(struct process_id id, int signal);
/* As process_open() for a child of this process that was not waited for, also one that ended
 * already. */
int process_open_child(pid_t pid);
/* Readable when the process has ended; works for processes that are not children. -1 when it is
 * gone. */
int process_open(struct process_id id);
/* Nanoseconds since boot; for waits. */
uint64_t monotonic_ns(void);
/* Nanoseconds since 1970; to show. */
uint64_t wall_ns(void *unused);
void pause_ns(uint64_t ns);
/* Makes this boot's name known: process identities of another boot mean nothing. @ret of 40 bytes.
 */
void boot_id(char ret[40]);
