/* pace.c - paying for bytes by waiting, in short sleeps, so that a new rate is heard of. */
#include "storage/pace.h"

#define SLEEP_MIN_NS (1 * MSEC)
#define SLEEP_MAX_NS (100 * MSEC)

/* What the time since the last look pays for. */
static void pay(struct pace *p, uint64_t now_ns, uint64_t bytes_per_sec)
{
    uint64_t passed_ns = now_ns - MIN_OF(p->as_of_ns, now_ns);
    double paid = (double)passed_ns / (double)SEC * (double)bytes_per_sec;
    p->as_of_ns = now_ns;
    p->debt_bytes -= paid >= (double)p->debt_bytes ? p->debt_bytes : (uint64_t)paid;
}

int pace_wait(struct pace *p, struct node *node, const uint64_t *bytes_per_sec)
{
    for (;;) {
        uint64_t rate = *bytes_per_sec;
        if (rate == 0) p->debt_bytes = 0;
        if (rate > 0) pay(p, node_now_ns(node), rate);
        if (p->debt_bytes == 0) return 0;
        double left_ns = (double)p->debt_bytes / (double)rate * (double)SEC;
        uint64_t sleep_ns = left_ns < (double)SLEEP_MAX_NS ? (uint64_t)left_ns : SLEEP_MAX_NS;
        int r = fiber_sleep(MAX_OF(sleep_ns, SLEEP_MIN_NS));
        if (r < 0) return r;
    }
}
