/* recent.c - see recent.h. */
#include "kv/recent.h"
#include "base/arena.h"
#include "base/check.h"

void recent_init(struct recent *recent)
{
    *recent = (struct recent){ 0 };
    kv_map_init(&recent->keys);
    list_init(&recent->in_order);
}

void recent_done(struct recent *recent)
{
    recent_trim(recent, UINT64_MAX, UINT64_MAX);
}

static size_t size_of(const struct recent_version *v)
{
    return sizeof(*v) + v->value.size;
}

static struct recent_key *need_key(struct recent *recent, struct bytes name)
{
    struct recent_key *key = recent_key_of(kv_map_find(&recent->keys, name));
    if (key) return key;
    key = xmalloc(sizeof(*key) + name.size);
    *key = (struct recent_key){ .entry.key = bytes_of(key + 1, name.size) };
    memcpy(key + 1, name.base, name.size);
    kv_map_insert(&recent->keys, &key->entry);
    recent->bytes += sizeof(*key) + name.size;
    return key;
}

static void drop_version(struct recent *recent, struct recent_version *v)
{
    recent->bytes -= size_of(v);
    recent->version_count--;
    list_remove(&v->node);
    free(v);
}

void recent_put(struct recent *recent, uint64_t number, struct bytes key_bytes,
                const struct bytes *value)
{
    struct recent_key *key = need_key(recent, key_bytes);
    struct recent_version *same = key->newest && key->newest->number == number ? key->newest : NULL;
    struct recent_version *v = xmalloc(sizeof(*v) + (value ? value->size : 0));
    *v = (struct recent_version){
        .key = key, .older = same ? same->older : key->newest, .number = number, .is_clear = !value
    };
    if (value) {
        v->value = bytes_of(v + 1, value->size);
        if (value->size) memcpy(v + 1, value->base, value->size);
    }
    check(!v->older || v->older->number < number);
    if (v->older) v->older->newer = v;
    key->newest = v;
    if (same) drop_version(recent, same);
    list_push_back(&recent->in_order, &v->node);
    recent->bytes += size_of(v);
    recent->version_count++;
}

const struct recent_version *recent_at(const struct recent_key *key, uint64_t number)
{
    const struct recent_version *v = key ? key->newest : NULL;
    while (v && v->number > number) {
        v = v->older;
    }
    return v;
}

bool recent_trim(struct recent *recent, uint64_t number, uint64_t count_max)
{
    for (struct list *l; (l = list_first(&recent->in_order));) {
        struct recent_version *v = list_entry(l, struct recent_version, node);
        if (v->number > number) return false;
        if (count_max-- == 0) return true;
        struct recent_key *key = v->key;
        check(!v->older); /* the oldest of all is the oldest of its key */
        if (v->newer) {
            v->newer->older = NULL;
        } else {
            kv_map_remove(&recent->keys, &key->entry);
            recent->bytes -= sizeof(*key) + key->entry.key.size;
            free(key);
        }
        drop_version(recent, v);
    }
    return false;
}
