/* refusals.c - see refusals.h. */
#include "storage/refusals.h"
#include "base/check.h"

struct refusal_key {
    struct uuid client;
    uint64_t seq, life;
    uint64_t channel; /* as wide as the others: no bytes between them */
};

struct refusal {
    struct list node;
    struct refusal_key key;
    int error;
};

static struct refusal_key key_of(const struct update_id *update, uint64_t life)
{
    return (struct refusal_key){ update->client, update->seq, life, update->channel };
}

static struct bytes bytes_of_key(const struct refusal_key *key)
{
    return bytes_of(key, sizeof *key);
}

bool is_refusal(int error)
{
    return error == -ERR_NO_SPACE || error == -ERR_CHUNK_SIZE_MISMATCH || error == -ERR_INVALID_ARG;
}

void refusals_init(struct refusals *r, uint64_t seed)
{
    *r = (struct refusals){ 0 };
    map_init(&r->map, seed);
    list_init(&r->oldest_first);
}

static void refusal_remove(struct refusals *r, struct refusal *refusal)
{
    map_remove_bytes(&r->map, bytes_of_key(&refusal->key));
    list_remove(&refusal->node);
    r->count--;
    free(refusal);
}

void refusals_done(struct refusals *r)
{
    while (!list_empty(&r->oldest_first)) {
        refusal_remove(r, list_entry(list_first(&r->oldest_first), struct refusal, node));
    }
    map_done(&r->map);
}

void refusals_put(struct refusals *r, const struct update_id *update, uint64_t life, int error)
{
    check(is_refusal(error));
    struct refusal_key key = key_of(update, life);
    if (update->channel == 0 || map_get_bytes(&r->map, bytes_of_key(&key))) return;
    if (r->count >= REFUSAL_COUNT_MAX)
        refusal_remove(r, list_entry(list_first(&r->oldest_first), struct refusal, node));
    struct refusal *refusal = new_zero(struct refusal);
    refusal->key = key;
    refusal->error = error;
    map_put_bytes(&r->map, bytes_of_key(&refusal->key), refusal);
    list_push_back(&r->oldest_first, &refusal->node);
    r->count++;
}

int refusals_find(const struct refusals *r, const struct update_id *update, uint64_t life)
{
    struct refusal_key key = key_of(update, life);
    struct refusal *refusal = map_get_bytes(&r->map, bytes_of_key(&key));
    return refusal ? refusal->error : 0;
}
