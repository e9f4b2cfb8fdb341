/* write.c - durable changes of a term: their outcome is known, or the term is over.
 */
#include "base/check.h"
#include "loop/fault.h"
#include "mgmtd/state.h"

struct write_op {
    struct state *s;
    int (*fn)(struct kv_txn *txn, void *arg);
    void *arg;
};

static int write_in(struct kv_txn *txn, void *arg)
{
    struct write_op *op = arg;
    int r = lease_check_in(op->s->options.lease, op->s->term, txn);
    if (r < 0) return r;
    r = op->fn(txn, op->arg);
    return r < 0 ? r : FAULT("mgmtd.write.before_commit");
}

/* The store did not say, or could not be asked. */
static bool is_unknown(int r)
{
    return r == -ERR_TXN_MAYBE_COMMITTED || r == -ERR_TIMEOUT || r == -ERR_TXN_NETWORK_ERROR;
}

static int write_once(struct write_op *op, uint64_t left_ns) fiber_fn
{
    FIBER_TIMEOUT(left_ns);
    int r = kv_transact(op->s->options.kv, KV_RETRY_SAFE, write_in, op);
    if (r < 0) return r;
    return FAULT("mgmtd.write.committed");
}

int state_write(struct state *s, int (*fn)(struct kv_txn *txn, void *arg), void *arg)
{
    check(s->writer.owner == fiber_self());
    struct write_op op = { s, fn, arg };
    bool may_have_committed = false;
    FIBER_SHIELD();
    for (;;) {
        uint64_t left_ns = state_is_valid(s) ? lease_remaining_ns(s->options.lease) : 0;
        if (left_ns == 0) break;
        int r = write_once(&op, left_ns);
        if (r >= 0 && state_is_valid(s)) return 0;
        if (r >= 0 || r == -ERR_MGMTD_NOT_PRIMARY) break;
        may_have_committed = may_have_committed || is_unknown(r);
        bool is_final = !is_unknown(r) && error_action(r) != ACTION_RETRY;
        if (is_final && !may_have_committed) return r;
        if (is_final) break;
        r = fiber_sleep(s->options.timing->renew_ns / 10);
        if (r < 0) break;
    }
    state_retire(s);
    return -ERR_MGMTD_NOT_PRIMARY;
}
