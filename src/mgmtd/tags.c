/* tags.c - keys and values that an administrator gives to nodes and machines.
 */
#include "mgmtd/tags.h"

#include "cluster/schema.h"

static int refuse(const char **ret_why, int r, const char *why)
{
    *ret_why = why;
    return r;
}

int tag_find(const struct tag_list *tags, struct bytes key)
{
    for (uint32_t i = 0; i < tags->count; i++) {
        if (bytes_equal(tags->items[i].key, key)) return (int)i;
    }
    return -1;
}

int tags_apply(struct arena *arena, const struct tag_list *old, uint8_t mode,
               const struct tag_list *change, struct tag_list *ret, const char **ret_why)
{
    struct tag_list new = { arena_array(arena, struct tag, old->count + change->count), 0 };
    if (mode > TAG_REMOVE) return refuse(ret_why, -ERR_INVALID_ARG, "unknown mode");
    for (uint32_t i = 0; i < old->count && mode != TAG_REPLACE; i++) {
        new.items[new.count++] = old->items[i];
    }
    for (uint32_t i = 0; i < change->count; i++) {
        struct tag tag = change->items[i];
        int at = tag_find(&new, tag.key);
        if (tag.key.size == 0) return refuse(ret_why, -ERR_MGMTD_INVALID_TAG, "a tag needs a key");
        if (mode == TAG_REMOVE && tag.value.size)
            return refuse(ret_why, -ERR_MGMTD_INVALID_TAG,
                          "a tag to remove is given without value");
        if (mode == TAG_REMOVE) {
            if (at >= 0) new.items[at] = new.items[--new.count];
        } else if (at >= 0) {
            new.items[at] = tag;
        } else {
            new.items[new.count++] = tag;
        }
    }
    for (uint32_t i = 1; i < new.count; i++) {
        struct tag tag = new.items[i];
        uint32_t j = i;
        for (; j > 0 && bytes_compare(new.items[j - 1].key, tag.key) > 0; j--) {
            new.items[j] = new.items[j - 1];
        }
        new.items[j] = tag;
    }
    *ret = new;
    return 0;
}

static struct tag_list tags_copy(struct arena *arena, const struct tag_list *from)
{
    struct tag_list to = { arena_array(arena, struct tag, from->count), from->count };
    for (uint32_t i = 0; i < from->count; i++) {
        to.items[i].key = arena_copy(arena, from->items[i].key);
        to.items[i].value = arena_copy(arena, from->items[i].value);
    }
    return to;
}

/* ---- of machines ---- */

struct tag_list hosts_tags(const struct state *s, struct bytes hostname)
{
    const struct held_host *held = hostname.size ? map_get_bytes(&s->hosts, hostname) : NULL;
    return held ? held->tags.tags : (struct tag_list){ 0 };
}

void hosts_put(struct state *s, const struct host_tags *tags)
{
    struct held_host *held = map_remove_bytes(&s->hosts, tags->hostname);
    if (held) {
        arena_done(&held->arena);
        free(held);
    }
    if (tags->tags.count == 0) return;
    held = new_zero(struct held_host);
    held->tags.hostname = arena_copy(&held->arena, tags->hostname);
    held->tags.tags = tags_copy(&held->arena, &tags->tags);
    map_put_bytes(&s->hosts, held->tags.hostname, held);
}

static int write_in(struct kv_txn *txn, void *arg)
{
    return schema_set_host_tags(txn, arg);
}

int hosts_set_tags(struct state *s, struct arena *arena,
                   const struct set_host_tags_request *request, struct host_tags *ret,
                   const char **ret_why)
{
    if (request->hostname.size == 0 || request->hostname.size > HOST_NAME_BYTES_MAX)
        return refuse(ret_why, -ERR_INVALID_ARG, "a machine has a name of up to 64 bytes");
    int r = state_lock(s);
    if (r < 0) return r;
    struct tag_list old = hosts_tags(s, request->hostname);
    struct host_tags new = { .hostname = request->hostname };
    old = tags_copy(arena, &old);
    r = tags_apply(arena, &old, request->mode, &request->tags, &new.tags, ret_why);
    if (r == 0) r = state_write(s, write_in, &new);
    if (r == 0) {
        hosts_put(s, &new);
        *ret = new;
    }
    fiber_mutex_unlock(&s->writer);
    return r;
}
