/* pool.c - a bounded set of helper threads; a job goes to the one that was idle, or a new one is
 * started.
 *
 * When no thread can be started at all the job runs on the loop's thread: slow, but it runs.
 */
#include "base/arena.h"
#include "base/check.h"
#include "loop/real.h"

#include <signal.h>

void pool_init(struct pool *pool, struct inbox *inbox, uint32_t thread_count_max)
{
    *pool = (struct pool){ .inbox = inbox, .thread_count_max = thread_count_max };
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->is_work, NULL);
    list_init(&pool->jobs);
    pool->threads = xcalloc(thread_count_max, sizeof(pthread_t));
}

void pool_done(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->is_work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    free(pool->threads);
    pthread_cond_destroy(&pool->is_work);
    pthread_mutex_destroy(&pool->lock);
}

/* Waits for a job; NULL when the pool stops and nothing is left. */
static struct job *job_take(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->idle_count++;
    while (list_empty(&pool->jobs) && !pool->is_stopping) {
        pthread_cond_wait(&pool->is_work, &pool->lock);
    }
    pool->idle_count--;
    struct list *link = list_pop_front(&pool->jobs);
    struct job *job = link ? list_entry(link, struct job, link) : NULL;
    if (job) {
        job->is_started = true;
        pool->job_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *pool_thread(void *arg)
{
    struct pool *pool = arg;
    struct job *job;
    while ((job = job_take(pool))) {
        job->result = job->fn(job->arg);
        inbox_push(pool->inbox, &job->done);
    }
    return NULL;
}

/* Below the lock. Signals are for the loop's thread. */
static void thread_start(struct pool *pool)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int eno = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);
    if (eno == 0) pool->thread_count++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void pool_start(struct pool *pool, struct job *job)
{
    job->pool = pool;
    job->is_started = false;
    pthread_mutex_lock(&pool->lock);
    if (pool->job_count >= pool->idle_count && pool->thread_count < pool->thread_count_max) {
        thread_start(pool);
    }
    bool is_alone = pool->thread_count == 0;
    if (!is_alone) {
        list_push_back(&pool->jobs, &job->link);
        pool->job_count++;
        pthread_cond_signal(&pool->is_work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_alone) {
        job->is_started = true;
        job->result = job->fn(job->arg);
        inbox_push(pool->inbox, &job->done);
    }
}

static void job_wake(struct inbox_node *node)
{
    struct job *job = container_of(node, struct job, done);
    fiber_wake(job->fiber);
}

/* Takes back a job that no thread has begun. */
static void job_cancel(void *arg)
{
    struct job *job = arg;
    struct pool *pool = job->pool;
    pthread_mutex_lock(&pool->lock);
    bool is_taken_back = !job->is_started;
    if (is_taken_back) {
        list_remove(&job->link);
        pool->job_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!is_taken_back) return;
    job->result = fiber_interruption();
    fiber_wake(job->fiber);
}

int64_t pool_run(struct pool *pool, const char *what, int64_t (*fn)(void *arg), void *arg)
{
    int r = fiber_interruption();
    if (r < 0) return r;
    struct job job = { .done.fn = job_wake, .fn = fn, .arg = arg, .fiber = fiber_self() };
    list_init(&job.link);
    pool_start(pool, &job);
    fiber_wait_io(what, job_cancel, &job);
    return job.result;
}
