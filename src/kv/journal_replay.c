/* journal_replay.c - reading the journal at open: both files whole, the older epoch first.
 *
 * Nothing in a file is believed before its CRC; sizes are checked against what is left before any
 * use. A file that ends early is what a crash leaves, unless a later record or the newer file
 * proves that more was synced.
 */
#include "base/check.h"
#include "base/crc32c.h"
#include "kv/journal_internal.h"

/* One file in memory. */
struct journal_image {
    uint8_t *base;
    size_t size; /* at most JOURNAL_FILE_BYTES */
    struct journal_header header;
    bool is_good;
};

static int read_image(struct file *file, struct journal_image *image) fiber_fn
{
    struct journal_header *header = &image->header;
    uint64_t size;
    int r = file_size(file, &size);
    if (r < 0) return r;
    size = MIN_OF(size, (uint64_t)JOURNAL_FILE_BYTES);
    image->base = xcalloc(1, MAX_OF(size, sizeof(*header)));
    ssize_t n = file_read(file, image->base, size, 0);
    if (n < 0) return (int)n;
    image->size = (size_t)n;
    memcpy(header, image->base, sizeof(*header));
    if (memcmp(header->magic, JOURNAL_MAGIC, sizeof(header->magic)) != 0) return 0;
    if (header->crc != crc32c(0, header, offsetof(struct journal_header, crc))) return 0;
    if (header->format_version > JOURNAL_FORMAT_VERSION) return -ERR_FORMAT_TOO_NEW;
    image->is_good = true;
    return 0;
}

/* A good record header at @at, of the file's epoch if that is known. */
static bool get_record(const struct journal_image *image, size_t at, struct journal_record *ret)
{
    if (at > image->size || image->size - at < sizeof(*ret)) return false;
    memcpy(ret, image->base + at, sizeof(*ret));
    bool is_of_epoch = !image->is_good || ret->epoch == image->header.epoch;
    return ret->magic == JOURNAL_RECORD_MAGIC && is_of_epoch &&
           ret->crc == crc32c(0, ret, offsetof(struct journal_record, crc)) &&
           ret->payload_bytes <= image->size - at - sizeof(*ret);
}

static bool get_write(struct bytes *in, struct kv_write *ret)
{
    uint16_t key_size;
    uint32_t value_size;
    if (in->size < JOURNAL_WRITE_HEADER_BYTES || in->base[0] > KV_WRITE_CLEAR_RANGE) return false;
    memcpy(&key_size, in->base + 2, sizeof(key_size));
    memcpy(&value_size, in->base + 4, sizeof(value_size));
    struct bytes rest =
        bytes_of(in->base + JOURNAL_WRITE_HEADER_BYTES, in->size - JOURNAL_WRITE_HEADER_BYTES);
    if (key_size > rest.size || value_size > rest.size - key_size) return false;
    *ret = (struct kv_write){ (enum kv_write_kind)in->base[0], bytes_of(rest.base, key_size),
                              bytes_of(rest.base + key_size, value_size) };
    size_t size = (size_t)key_size + value_size;
    *in = bytes_of(rest.base + size, rest.size - size);
    return true;
}

static int replay_payload(struct journal_reading *reading, uint64_t version, struct bytes payload)
{
    cleanup_arena_ struct arena arena = { 0 };
    size_t count_max = payload.size / JOURNAL_WRITE_HEADER_BYTES;
    struct kv_write *writes = arena_array(&arena, struct kv_write, count_max);
    struct kv_commit commit = { .writes = writes };
    while (payload.size > 0) {
        if (!get_write(&payload, &writes[commit.write_count])) return -ERR_DATA_CORRUPTION;
        commit.write_count++;
    }
    return reading->replay(reading->arg, version, &commit);
}

/* Is there proof behind @at that @version was synced? Groups begin at multiples of their alignment.
 */
static bool was_synced(const struct journal_image *image, size_t at, uint64_t version)
{
    struct journal_record record;
    at = (at + JOURNAL_GROUP_ALIGN - 1) / JOURNAL_GROUP_ALIGN * JOURNAL_GROUP_ALIGN;
    for (; at < image->size; at += JOURNAL_GROUP_ALIGN) {
        if (get_record(image, at, &record) && record.synced_version >= version) return true;
    }
    return false;
}

/* *ret_end: the version behind the last good record. */
static int replay_image(struct journal_reading *reading, const struct journal_image *image,
                        uint64_t *ret_end)
{
    uint64_t version = image->header.first_version;
    size_t at = JOURNAL_HEADER_BYTES;
    for (;; version++) {
        struct journal_record record;
        bool is_good = get_record(image, at, &record) && record.version == version;
        if (!is_good && at % JOURNAL_GROUP_ALIGN != 0) { /* the next group */
            at += JOURNAL_GROUP_ALIGN - at % JOURNAL_GROUP_ALIGN;
            is_good = get_record(image, at, &record) && record.version == version;
        }
        struct bytes payload = { 0 };
        if (is_good) {
            payload = bytes_of(image->base + at + sizeof(record), record.payload_bytes);
            is_good = crc32c(0, payload.base, payload.size) == record.payload_crc;
        }
        if (!is_good) break;
        if (version == reading->next_version) {
            int r = replay_payload(reading, version, payload);
            if (r < 0) return r;
            reading->next_version++;
        }
        at += sizeof(record) + payload.size;
    }
    *ret_end = version;
    /* What is in the base already need not be here. */
    bool is_needed = version >= reading->next_version;
    return is_needed && was_synced(image, at, version) ? -ERR_DATA_CORRUPTION : 0;
}

/* A header is torn when its file was about to be used again: then all that the file has is in the
 * base. */
static int check_torn(const struct journal_reading *reading, const struct journal_image *images)
{
    for (uint32_t i = 0; i < JOURNAL_FILES; i++) {
        if (images[i].is_good) continue;
        if (was_synced(&images[i], JOURNAL_HEADER_BYTES, reading->next_version)) {
            return -ERR_DATA_CORRUPTION;
        }
    }
    return 0;
}

static int replay_images(struct journal_reading *reading, struct journal_image *images)
{
    uint32_t older = images[0].header.epoch <= images[1].header.epoch ? 0 : 1;
    for (uint32_t i = 0; i < JOURNAL_FILES; i++) {
        struct journal_image *image = &images[(older + i) % JOURNAL_FILES];
        if (!image->is_good) continue;
        uint64_t missing = reading->next_version, end;
        int r = replay_image(reading, image, &end);
        if (r < 0) return r;
        bool has_records = end > image->header.first_version;
        if (has_records && image->header.first_version > missing) return -ERR_DATA_CORRUPTION;
        reading->epoch = MAX_OF(reading->epoch, image->header.epoch);
    }
    return check_torn(reading, images);
}

int journal_read_files(struct journal_reading *reading, struct file *const files[JOURNAL_FILES])
{
    struct journal_image images[JOURNAL_FILES] = { 0 };
    int r = 0;
    for (uint32_t i = 0; r >= 0 && i < JOURNAL_FILES; i++) {
        r = read_image(files[i], &images[i]);
    }
    if (r >= 0) r = replay_images(reading, images);
    for (uint32_t i = 0; i < JOURNAL_FILES; i++) {
        free(images[i].base);
    }
    return r;
}
