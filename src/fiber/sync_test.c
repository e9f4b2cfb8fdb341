/* sync_test.c - order of locks, semaphores and channels in tables of actors, and against random
 * models.
 *
 * An actor arrives at a time, asks for something, holds it for a while and gives it back; it may
 * have a deadline or be cancelled. What happens is written down: "a(" begins to hold, "a)" gives
 * back, "aT" timed out, "aC" was cancelled.
 */
#include "base/arena.h"
#include "fiber/sync.h"
#include "fiber/test_world.h"

#include <stdio.h>
#include <string.h>

enum { ACTOR_MAX = 6, LOG_SIZE = 256 };

enum ask { MUTEX, READ, WRITE, TAKE };

struct actor {
    char letter;
    uint64_t at_ns, hold_ns;
    enum ask ask;
    uint64_t units;                    /* of TAKE */
    uint64_t timeout_ns, cancel_at_ns; /* 0: none */
};

struct scene {
    struct fiber_mutex mutex;
    struct fiber_rwlock rwlock;
    struct fiber_semaphore semaphore;
    struct test_world *w;
    uint64_t start_ns;
    char log[LOG_SIZE];
};

struct playing {
    struct actor actor;
    struct scene *scene;
    struct fiber *fiber;
};

static void note(struct scene *scene, char letter, char what)
{
    size_t size = strlen(scene->log);
    check(size + 3 < LOG_SIZE);
    snprintf(scene->log + size, LOG_SIZE - size, "%s%c%c", size ? " " : "", letter, what);
}

static int ask_for(struct scene *s, const struct actor *a)
{
    switch (a->ask) {
    case MUTEX: return fiber_mutex_lock(&s->mutex);
    case READ: return fiber_rwlock_read(&s->rwlock);
    case WRITE: return fiber_rwlock_write(&s->rwlock);
    case TAKE: return fiber_semaphore_take(&s->semaphore, a->units);
    }
    return -ERR_FOUND_BUG;
}

static void give_back(struct scene *s, const struct actor *a)
{
    switch (a->ask) {
    case MUTEX: fiber_mutex_unlock(&s->mutex); break;
    case READ:
    case WRITE: fiber_rwlock_unlock(&s->rwlock); break;
    case TAKE: fiber_semaphore_give(&s->semaphore, a->units); break;
    }
}

static int actor_fiber(void *arg)
{
    struct playing *p = arg;
    const struct actor *a = &p->actor;
    p->fiber = fiber_self();
    if (a->at_ns) assert_int_equal(fiber_sleep(a->at_ns), 0);
    int r;
    {
        FIBER_TIMEOUT(a->timeout_ns ?: TIME_NEVER);
        r = ask_for(p->scene, a);
    }
    if (r < 0) {
        assert_true(r == -ERR_TIMEOUT || r == -ERR_CANCELED);
        note(p->scene, a->letter, r == -ERR_TIMEOUT ? 'T' : 'C');
        return 0;
    }
    note(p->scene, a->letter, '(');
    {
        FIBER_SHIELD();
        assert_int_equal(fiber_sleep(a->hold_ns), 0);
    }
    note(p->scene, a->letter, ')');
    give_back(p->scene, a);
    return 0;
}

static int canceller_fiber(void *arg)
{
    struct playing *p = arg;
    assert_int_equal(fiber_sleep(p->actor.cancel_at_ns), 0);
    fiber_cancel(p->fiber);
    return 0;
}

struct play {
    const char *name;
    uint64_t units; /* of the semaphore */
    struct actor actors[ACTOR_MAX];
    const char *expected;
};

static const struct play plays[] = {
    { "mutex: first come, first served",
      0,
      { { 'a', 0, 10, MUTEX }, { 'b', 2, 10, MUTEX }, { 'c', 1, 10, MUTEX } },
      "a( a) c( c) b( b)" },
    { "mutex: nobody overtakes at the hand-over",
      0,
      { { 'a', 0, 10, MUTEX }, { 'b', 1, 10, MUTEX }, { 'c', 10, 10, MUTEX } },
      "a( a) b( b) c( c)" },
    { "mutex: who timed out is passed over",
      0,
      { { 'a', 0, 10, MUTEX },
        { 'b', 1, 10, MUTEX, 0, 5 },
        { 'c', 2, 10, MUTEX },
        { 'd', 3, 5, MUTEX, 0, 0, 7 } },
      "a( bT dC a) c( c)" },
    { "mutex: timed out in the turn of the hand-over",
      0,
      { { 'a', 0, 10, MUTEX }, { 'b', 0, 10, MUTEX, 0, 10 }, { 'c', 1, 10, MUTEX } },
      /* b has timed out but not run yet when a gives back: c gets it */
      "a( a) bT c( c)" },
    { "rwlock: readers share",
      0,
      { { 'a', 0, 10, READ }, { 'b', 1, 10, READ }, { 'c', 2, 3, READ } },
      "a( b( c( c) a) b)" },
    { "rwlock: a reader does not overtake a waiting writer",
      0,
      { { 'a', 0, 10, READ }, { 'b', 1, 10, WRITE }, { 'c', 2, 10, READ }, { 'd', 3, 5, READ } },
      "a( a) b( b) c( d( d) c)" },
    { "rwlock: writers one by one",
      0,
      { { 'a', 0, 10, WRITE }, { 'b', 1, 10, WRITE }, { 'c', 2, 10, WRITE } },
      "a( a) b( b) c( c)" },
    { "rwlock: a writer that gives up lets the readers behind it in",
      0,
      { { 'a', 0, 20, READ }, { 'b', 1, 10, WRITE, 0, 4 }, { 'c', 2, 3, READ } },
      "a( bT c( c) a)" },
    { "rwlock: a cancelled writer too",
      0,
      { { 'a', 0, 20, READ }, { 'b', 1, 10, WRITE, 0, 0, 5 }, { 'c', 2, 3, READ } },
      "a( bC c( c) a)" },
    { "semaphore: shared until empty",
      3,
      { { 'a', 0, 10, TAKE, 2 }, { 'b', 1, 10, TAKE, 1 }, { 'c', 2, 10, TAKE, 1 } },
      "a( b( a) c( b) c)" },
    { "semaphore: small requests do not overtake a large one",
      3,
      { { 'a', 0, 10, TAKE, 1 }, { 'b', 1, 10, TAKE, 3 }, { 'c', 2, 10, TAKE, 1 } },
      "a( a) b( b) c( c)" },
    { "semaphore: the large one gives up",
      3,
      { { 'a', 0, 20, TAKE, 1 },
        { 'b', 1, 10, TAKE, 3, 5 },
        { 'c', 2, 3, TAKE, 1 },
        { 'd', 3, 3, TAKE, 1 } },
      "a( bT c( d( c) d) a)" },
    { "semaphore: one gift serves many",
      4,
      { { 'a', 0, 10, TAKE, 4 },
        { 'b', 1, 5, TAKE, 1 },
        { 'c', 2, 6, TAKE, 2 },
        { 'd', 3, 7, TAKE, 1 } },
      "a( a) b( c( d( b) c) d)" },
};

static int play_main(struct test_world *w)
{
    for (size_t i = 0; i < ARRAY_SIZE(plays); i++) {
        struct scene scene = { .w = w, .start_ns = w->now_ns };
        struct playing playing[ACTOR_MAX];
        fiber_mutex_init(&scene.mutex);
        fiber_rwlock_init(&scene.rwlock);
        fiber_semaphore_init(&scene.semaphore, plays[i].units);
        struct scope scope;
        scope_init(&scope, w->sched);
        for (size_t k = 0; k < ACTOR_MAX && plays[i].actors[k].letter; k++) {
            playing[k] = (struct playing){ .actor = plays[i].actors[k], .scene = &scene };
            assert_int_equal(fiber_spawn(&scope, "actor", actor_fiber, &playing[k]), 0);
            if (!playing[k].actor.cancel_at_ns) continue;
            assert_int_equal(fiber_spawn(&scope, "canceller", canceller_fiber, &playing[k]), 0);
        }
        assert_int_equal(scope_wait(&scope), 0);
        scope_done(&scope);
        if (strcmp(scene.log, plays[i].expected) != 0) {
            fail_msg("%s: %s, expected %s", plays[i].name, scene.log, plays[i].expected);
        }
        assert_null(scene.mutex.owner);
        assert_int_equal(scene.semaphore.units, plays[i].units);
        assert_true(!scene.rwlock.has_writer && scene.rwlock.reader_count == 0);
    }
    return 0;
}

static void test_plays(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, play_main), 0);
}

/* ---- a wake-up is never lost ---- */

struct queue_waiter {
    struct wait_queue *queue;
    struct fiber *fiber;
    int result;
};

static int queue_waiter_fiber(void *arg)
{
    struct queue_waiter *waiter = arg;
    waiter->fiber = fiber_self();
    waiter->result = wait_queue_wait(waiter->queue, "queue");
    return 0;
}

static int queue_main(struct test_world *w)
{
    struct wait_queue queue;
    struct queue_waiter waiters[3];
    wait_queue_init(&queue);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
        waiters[i] = (struct queue_waiter){ .queue = &queue, .result = 1 };
        assert_int_equal(fiber_spawn(&scope, "waiter", queue_waiter_fiber, &waiters[i]), 0);
    }
    fiber_yield();
    fiber_cancel(waiters[0].fiber);
    wait_queue_wake_one(&queue);    /* the first one's wait has ended: the second gets it */
    fiber_cancel(waiters[1].fiber); /* too late */
    fiber_yield();
    assert_int_equal(waiters[0].result, -ERR_CANCELED);
    assert_int_equal(waiters[1].result, 0);
    assert_int_equal(waiters[2].result, 1);
    wait_queue_wake_all(&queue);
    wait_queue_wake_all(&queue);
    assert_int_equal(scope_wait(&scope), 0);
    assert_int_equal(waiters[2].result, 0);
    return 0;
}

static void test_wait_queue(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, queue_main), 0);
}

/* A lock that was handed over before the cancellation is held, and must be given back. */
static int late_cancel_main(struct test_world *w)
{
    struct fiber_mutex mutex;
    struct scene scene = { .w = w };
    struct playing p = { .actor = { 'a', 0, 10, MUTEX }, .scene = &scene };
    fiber_mutex_init(&mutex);
    fiber_mutex_init(&scene.mutex);
    assert_int_equal(fiber_mutex_lock(&scene.mutex), 0);
    assert_false(fiber_mutex_try_lock(&scene.mutex));
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "actor", actor_fiber, &p), 0);
    fiber_yield();
    fiber_mutex_unlock(&scene.mutex);
    fiber_cancel(p.fiber);
    assert_int_equal(scope_wait(&scope), 0);
    assert_string_equal(scene.log, "a( a)");
    return 0;
}

static void test_late_cancel(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, late_cancel_main), 0);
}

/* ---- events ---- */

struct event_waiter_test {
    struct event *event;
    int result;
};

static int event_fiber(void *arg)
{
    struct event_waiter_test *t = arg;
    t->result = event_wait(t->event, "event");
    return 0;
}

static int event_main(struct test_world *w)
{
    struct event event;
    struct event_waiter_test a = { &event, 1 }, b = { &event, 1 };
    event_init(&event);
    cleanup_scope_ struct scope scope;
    scope_init(&scope, w->sched);
    assert_int_equal(fiber_spawn(&scope, "a", event_fiber, &a), 0);
    assert_int_equal(fiber_spawn(&scope, "b", event_fiber, &b), 0);
    fiber_yield();
    event_set(&event, -ERR_NO_SPACE);
    event_reset(&event); /* before the waiters run: they get what was set all the same */
    assert_int_equal(scope_wait(&scope), 0);
    assert_int_equal(a.result, -ERR_NO_SPACE);
    assert_int_equal(b.result, -ERR_NO_SPACE);
    {
        FIBER_TIMEOUT(5);
        assert_int_equal(event_wait(&event, "event"), -ERR_TIMEOUT);
    }
    event_set(&event, 7);
    assert_int_equal(event_wait(&event, "event"), 7);
    return 0;
}

static void test_event(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, event_main), 0);
}

/* ---- channel ---- */

static int channel_main(struct test_world *w)
{
    struct channel c;
    static int items[3];
    void *item = NULL;
    channel_init(&c, 2);
    assert_null(channel_try_receive(&c));
    assert_true(channel_try_send(&c, &items[0]));
    assert_true(channel_try_send(&c, &items[1]));
    assert_false(channel_try_send(&c, &items[2]));
    {
        FIBER_TIMEOUT(5);
        assert_int_equal(channel_send(&c, &items[2]), -ERR_TIMEOUT);
    }
    assert_int_equal(channel_receive(&c, &item), 0);
    assert_ptr_equal(item, &items[0]);
    channel_close(&c);
    assert_int_equal(channel_send(&c, &items[2]), -ERR_CANCELED);
    assert_false(channel_try_send(&c, &items[2]));
    assert_int_equal(channel_receive(&c, &item), 0); /* what is inside is still given out */
    assert_ptr_equal(item, &items[1]);
    assert_int_equal(channel_receive(&c, &item), -ERR_CANCELED);
    channel_done(&c);
    return 0;
}

static void test_channel(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, channel_main), 0);
}

struct channel_actor {
    struct channel *channel;
    int result;
    void *item;
};

static int channel_receiver(void *arg)
{
    struct channel_actor *a = arg;
    a->result = channel_receive(a->channel, &a->item);
    return 0;
}

static int channel_sender(void *arg)
{
    struct channel_actor *a = arg;
    a->result = channel_send(a->channel, a->item);
    return 0;
}

static int channel_close_main(struct test_world *w)
{
    static int item;
    for (int is_sender = 0; is_sender < 2; is_sender++) {
        struct channel c;
        channel_init(&c, 1);
        struct channel_actor actors[2] = { { &c, 1, &item }, { &c, 1, &item } };
        struct scope scope;
        scope_init(&scope, w->sched);
        if (is_sender) assert_true(channel_try_send(&c, &item));
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(fiber_spawn(&scope, "actor",
                                         is_sender ? channel_sender : channel_receiver, &actors[i]),
                             0);
        }
        fiber_yield();
        channel_close(&c);
        assert_int_equal(scope_wait(&scope), 0);
        scope_done(&scope);
        assert_int_equal(actors[0].result, -ERR_CANCELED);
        assert_int_equal(actors[1].result, -ERR_CANCELED);
        assert_int_equal(c.count, is_sender);
        channel_done(&c);
    }
    return 0;
}

static void test_channel_close(void **state)
{
    struct test_world w = { .now_ns = 1000 };
    assert_int_equal(test_world_run(&w, channel_close_main), 0);
}

/* ---- models: random actors with random deadlines and cancellations ---- */

enum { PRODUCERS = 5, CONSUMERS = 4, ITEMS_EACH = 400 };

struct model {
    struct test_world *w;
    struct channel channel;
    uint8_t state[PRODUCERS][ITEMS_EACH]; /* 0: not sent, 1: sent, 2: received */
    int last_received[CONSUMERS][PRODUCERS];
    int producers_left;
    uint32_t taken_units;
    struct fiber_semaphore semaphore;
};

struct model_actor {
    struct model *model;
    int number;
};

static int producer_fiber(void *arg)
{
    const struct model_actor *actor = arg;
    struct model *m = actor->model;
    for (int i = 0; i < ITEMS_EACH; i++) {
        uint8_t *item = &m->state[actor->number][i];
        int r;
        do {
            FIBER_TIMEOUT(1 + test_random(m->w, 20));
            *item = 1;
            r = channel_send(&m->channel, item);
            if (r < 0) {
                assert_int_equal(r, -ERR_TIMEOUT);
                assert_int_equal(*item, 1); /* a send that failed was not received */
                *item = 0;
            }
        } while (r < 0);
        if (test_random(m->w, 4) == 0) assert_int_equal(fiber_sleep(test_random(m->w, 10)), 0);
    }
    if (--m->producers_left == 0) channel_close(&m->channel);
    return 0;
}

static int consumer_fiber(void *arg)
{
    const struct model_actor *actor = arg;
    struct model *m = actor->model;
    for (;;) {
        FIBER_TIMEOUT(1 + test_random(m->w, 20));
        void *item = NULL;
        int r = channel_receive(&m->channel, &item);
        if (r == -ERR_CANCELED) return 0;
        if (r < 0) continue;
        size_t at = (size_t)((uint8_t *)item - m->state[0]);
        size_t producer = at / ITEMS_EACH;
        int number = (int)(at % ITEMS_EACH);
        assert_int_equal(*(uint8_t *)item, 1); /* sent, and not received before */
        *(uint8_t *)item = 2;
        assert_true(number > m->last_received[actor->number][producer]);
        m->last_received[actor->number][producer] = number;
        if (test_random(m->w, 3) == 0) {
            FIBER_SHIELD();
            assert_int_equal(fiber_sleep(test_random(m->w, 10)), 0);
        }
    }
}

static int channel_model_main(struct test_world *w)
{
    struct model *m = new_zero(struct model);
    struct model_actor actors[PRODUCERS + CONSUMERS];
    m->w = w;
    m->producers_left = PRODUCERS;
    memset(m->last_received, -1, sizeof(m->last_received));
    channel_init(&m->channel, 1 + (uint32_t)test_random(w, 5));
    struct scope scope;
    scope_init(&scope, w->sched);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        bool is_producer = i < PRODUCERS;
        actors[i] = (struct model_actor){ m, is_producer ? i : i - PRODUCERS };
        assert_int_equal(
            fiber_spawn(&scope, "actor", is_producer ? producer_fiber : consumer_fiber, &actors[i]),
            0);
    }
    assert_int_equal(scope_wait(&scope), 0);
    scope_done(&scope);
    for (size_t i = 0; i < PRODUCERS; i++) {
        for (size_t k = 0; k < ITEMS_EACH; k++) {
            assert_int_equal(m->state[i][k], 2);
        }
    }
    channel_done(&m->channel);
    free(m);
    return 0;
}

static void test_channel_model(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct test_world w = { .now_ns = 1000, .random_state = seed, .shuffle = seed % 2 };
        assert_int_equal(test_world_run(&w, channel_model_main), 0);
    }
}

enum { SEMAPHORE_UNITS = 10 };

static int taker_fiber(void *arg)
{
    const struct model_actor *actor = arg;
    struct model *m = actor->model;
    for (int i = 0; i < 200; i++) {
        uint32_t units = 1 + (uint32_t)test_random(m->w, SEMAPHORE_UNITS);
        int r;
        {
            FIBER_TIMEOUT(test_random(m->w, 40));
            r = fiber_semaphore_take(&m->semaphore, units);
        }
        if (r < 0) {
            if (r == -ERR_CANCELED) return r;
            continue;
        }
        m->taken_units += units;
        assert_in_range(m->taken_units, 0, SEMAPHORE_UNITS);
        /* less by what was handed over to fibers that have not run yet */
        assert_in_range(m->semaphore.units, 0, SEMAPHORE_UNITS - m->taken_units);
        r = fiber_sleep(test_random(m->w, 10));
        m->taken_units -= units;
        fiber_semaphore_give(&m->semaphore, units);
        if (r < 0) return r;
    }
    return 0;
}

static int semaphore_model_main(struct test_world *w)
{
    struct model *m = new_zero(struct model);
    struct model_actor actors[20];
    struct scope scopes[ARRAY_SIZE(actors)];
    m->w = w;
    fiber_semaphore_init(&m->semaphore, SEMAPHORE_UNITS);
    for (size_t i = 0; i < ARRAY_SIZE(actors); i++) {
        actors[i] = (struct model_actor){ m, (int)i };
        scope_init(&scopes[i], w->sched);
        assert_int_equal(fiber_spawn(&scopes[i], "taker", taker_fiber, &actors[i]), 0);
    }
    /* Some are cancelled on the way. */
    for (size_t i = 0; i < ARRAY_SIZE(actors); i += 3) {
        assert_int_equal(fiber_sleep(test_random(w, 300)), 0);
        scope_cancel(&scopes[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(actors); i++) {
        assert_int_equal(scope_wait(&scopes[i]), 0);
        scope_done(&scopes[i]);
    }
    assert_int_equal(m->semaphore.units, SEMAPHORE_UNITS);
    assert_true(list_empty(&m->semaphore.waiters));
    free(m);
    return 0;
}

static void test_semaphore_model(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct test_world w = { .now_ns = 1000, .random_state = seed, .shuffle = seed % 2 };
        assert_int_equal(test_world_run(&w, semaphore_model_main), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plays),         cmocka_unit_test(test_wait_queue),
        cmocka_unit_test(test_late_cancel),   cmocka_unit_test(test_event),
        cmocka_unit_test(test_channel),       cmocka_unit_test(test_channel_close),
        cmocka_unit_test(test_channel_model), cmocka_unit_test(test_semaphore_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
