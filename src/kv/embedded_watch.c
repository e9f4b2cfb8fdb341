/* embedded_watch.c - is the holder alive? A dead one ends its connection by itself; a stuck one is
 * ended.
 *
 * Stuck: SILENT_NS without any frame although a ping is under way, while this process itself ran: a
 * tick that came late shows that we were the ones who stood still, and counts as one tick. A holder
 * that could run, or waits for a disk, is slow rather than stuck and gets SILENT_BUSY_NS. The
 * process to end is the one at the other end of our connection, named by a pidfd taken while that
 * connection stood, and it must have the lock file open.
 */
#include "kv/embedded.h"

#define TICK_NS        (50 * MSEC)
#define TICK_NS_MAX    (2 * TICK_NS)
#define PING_NS        (250 * MSEC)
#define SILENT_NS      (600 * MSEC)
#define SILENT_BUSY_NS (5 * SEC)
#define AFTER_KILL_NS  (5 * SEC)

struct watch {
    uint64_t silent_ns; /* since the oldest ping without any answer */
    uint64_t next_ping_ns;
    uint64_t frame_count;
    bool has_complained;
};

static bool is_stuck(const struct embedded *e, const struct watch *w)
{
    if (w->silent_ns < SILENT_NS) return false;
    if (w->silent_ns >= SILENT_BUSY_NS) return true;
    return !kv_process_is_busy(kv_client_holder(e->client));
}

static void tick(struct embedded *e, struct watch *w, uint64_t elapsed_ns)
{
    uint64_t now_ns = node_now_ns(e->node), frame_count = kv_client_frame_count(e->client);
    if (frame_count != w->frame_count) {
        w->frame_count = frame_count;
        w->silent_ns = 0;
    } else {
        w->silent_ns += MIN_OF(elapsed_ns, (uint64_t)TICK_NS_MAX);
    }
    if (now_ns >= w->next_ping_ns) {
        kv_client_ping(e->client);
        w->next_ping_ns = now_ns + PING_NS;
    }
}

void embedded_watch(struct embedded *e)
{
    struct watch w = { 0 };
    kv_client_ping(e->client);
    uint64_t last_ns = node_now_ns(e->node);
    w.next_ping_ns = last_ns + PING_NS;
    while (!kv_client_wait_dead(e->client, TICK_NS)) {
        if (fiber_is_cancelled()) return;
        uint64_t now_ns = node_now_ns(e->node);
        tick(e, &w, now_ns - last_ns);
        last_ns = now_ns;
        if (e->is_tool || !is_stuck(e, &w)) continue;
        int pid = kv_client_holder(e->client)->pid;
        if (!w.has_complained) {
            log_warn(&e->node->log, 0, "kv: process %d, which holds %s, does not answer: ending it",
                     pid, e->dir.path);
        }
        int r = kv_process_end(kv_client_holder(e->client), &e->dir);
        if (r >= 0 && kv_client_wait_dead(e->client, AFTER_KILL_NS)) return;
        if (!w.has_complained) {
            log_error(&e->node->log, r, "kv: process %d, which holds %s, cannot be ended", pid,
                      e->dir.path);
        }
        w.has_complained = true;
        w.silent_ns = 0;
    }
}
