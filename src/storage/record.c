/* record.c - see record.h. One allocation a record; extents, frees and CRCs lie behind the struct.
 */
#include "storage/record.h"
#include "base/arena.h"
#include "base/check.h"

static size_t tail_bytes(const struct record_disk *head)
{
    return ((size_t)head->extent_count + head->free_count) * sizeof(struct extent_disk) +
           (size_t)head->block_count * sizeof(uint32_t);
}

struct record *record_new(const struct record_disk *head)
{
    struct record *record = xcalloc(1, sizeof(*record) + tail_bytes(head));
    record->head = *head;
    record->extents = (struct extent_disk *)(void *)(record + 1);
    record->frees = record->extents + head->extent_count;
    record->block_crcs = (uint32_t *)(void *)(record->frees + head->free_count);
    record->ref_count = 1;
    list_init(&record->node);
    return record;
}

struct record *record_ref(struct record *record)
{
    record->ref_count++;
    return record;
}

struct record *record_unref(struct record *record)
{
    if (!record) return NULL;
    check(record->ref_count > 0);
    if (--record->ref_count > 0) return NULL;
    check(record->pin_count == 0 && list_empty(&record->node) && record->deferred_count == 0);
    free(record);
    return NULL;
}

size_t record_bytes(const struct record *record)
{
    return sizeof(*record) + tail_bytes(&record->head);
}

void record_parts(const struct record *record, struct iovec *parts)
{
    const struct record_disk *head = &record->head;
    parts[0] = (struct iovec){ (void *)(uintptr_t)head, sizeof(*head) };
    parts[1] = (struct iovec){ record->extents, head->extent_count * sizeof(struct extent_disk) };
    parts[2] = (struct iovec){ record->frees, head->free_count * sizeof(struct extent_disk) };
    parts[3] = (struct iovec){ record->block_crcs, head->block_count * sizeof(uint32_t) };
}

static bool kind_is_known(uint8_t kind)
{
    return kind == UPDATE_WRITE || kind == UPDATE_REMOVE || kind == UPDATE_TRUNCATE ||
           kind == UPDATE_EXTEND || kind == UPDATE_REPLACE;
}

static bool head_is_sound(const struct record_disk *head)
{
    if (!kind_is_known(head->kind) || head->version == 0) return false;
    if (head->state != RECORD_PENDING && head->state != RECORD_COMMITTED) return false;
    if (head->size_log2 < CHUNK_SIZE_LOG2_MIN || head->size_log2 > CHUNK_SIZE_LOG2_MAX)
        return false;
    if (head->length > UINT32_C(1) << head->size_log2) return false;
    if (head->block_count != (head->length + BLOCK_BYTES - 1) / BLOCK_BYTES) return false;
    return head->kind != UPDATE_REMOVE || (head->length == 0 && head->extent_count == 0);
}

static bool extent_is_sound(const struct extent_disk *e)
{
    return e->count > 0 && e->unit % UNIT_FILE_UNITS + e->count <= UNIT_FILE_UNITS;
}

static bool extents_are_sound(const struct record *record)
{
    uint32_t end = 0;
    uint32_t unit_count = (record->head.length + UNIT_BYTES - 1) / UNIT_BYTES;
    for (uint32_t i = 0; i < record->head.extent_count; i++) {
        const struct extent_disk *e = &record->extents[i];
        if (!extent_is_sound(e) || e->at < end) return false;
        end = (uint32_t)e->at + e->count;
    }
    for (uint32_t i = 0; i < record->head.free_count; i++) {
        if (!extent_is_sound(&record->frees[i])) return false;
    }
    return end <= unit_count;
}

int record_decode(struct bytes payload, struct record **ret)
{
    struct record_disk head;
    if (payload.size < sizeof(head)) return -ERR_DATA_CORRUPTION;
    memcpy(&head, payload.base, sizeof(head));
    if (!head_is_sound(&head) || payload.size != sizeof(head) + tail_bytes(&head))
        return -ERR_DATA_CORRUPTION;

    cleanup_(record_unrefp) struct record *record = record_new(&head);
    const uint8_t *p = payload.base + sizeof(head);
    size_t extent_bytes =
        ((size_t)head.extent_count + head.free_count) * sizeof(struct extent_disk);
    if (extent_bytes) memcpy(record->extents, p, extent_bytes);
    if (head.block_count)
        memcpy(record->block_crcs, p + extent_bytes, head.block_count * sizeof(uint32_t));
    if (!extents_are_sound(record)) return -ERR_DATA_CORRUPTION;
    *ret = TAKE_PTR(record);
    return 0;
}

uint32_t record_unit_count(const struct record *record)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->head.extent_count; i++) {
        count += record->extents[i].count;
    }
    return count;
}

const struct extent_disk *record_find_extent(const struct record *record, uint32_t at,
                                             uint32_t *ret_end)
{
    uint32_t low = 0, high = record->head.extent_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        const struct extent_disk *e = &record->extents[mid];
        if (at >= (uint32_t)e->at + e->count) {
            low = mid + 1;
        } else if (at < e->at) {
            high = mid;
        } else {
            *ret_end = (uint32_t)e->at + e->count;
            return e;
        }
    }
    *ret_end = low < record->head.extent_count ? record->extents[low].at : CHUNK_UNIT_COUNT_MAX;
    return NULL;
}

void record_identity(const struct record_disk *head, struct identity_disk *ret)
{
    *ret = (struct identity_disk){ .key = head->key,
                                   .client_high = head->client_high,
                                   .client_low = head->client_low,
                                   .seq = head->seq,
                                   .version = head->version,
                                   .channel = head->channel,
                                   .chain_version = head->chain_version,
                                   .chunk_length = head->length,
                                   .crc32c = head->crc32c };
}
