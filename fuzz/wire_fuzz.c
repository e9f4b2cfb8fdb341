/* wire_fuzz.c - every message of every service: what decodes can be printed, and encodes to bytes
 * that decode to the same again.
 *
 * Input: a byte that picks the message, then the message.
 */
#include "base/check.h"
#include "proto/meta.h"
#include "proto/mgmtd.h"
#include "proto/storage.h"

#include <stdio.h>

static const struct rpc_service *const services[] = { &mgmtd_service, &meta_service,
                                                      &storage_service };

struct message {
    size_t size;
    void (*put)(struct wire_out *, const void *);
    void (*get)(struct wire_in *, void *);
    void (*to_text)(FILE *, const void *);
};

static struct message pick(uint8_t number)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        count += services[i]->method_count * 2;
    }
    check(count <= 256);
    size_t at = number % count, service = 0;
    while (at >= services[service]->method_count * 2) {
        at -= services[service++]->method_count * 2;
    }
    const struct rpc_method *m = &services[service]->methods[at / 2];
    if (at % 2)
        return (struct message){ m->reply_size, m->reply_put, m->reply_get, m->reply_to_text };
    return (struct message){ m->request_size, m->request_put, m->request_get, m->request_to_text };
}

/* False when it does not decode. */
static bool decode(const struct message *m, struct bytes data, struct arena *arena, void **ret)
{
    *ret = arena_zalloc(arena, m->size);
    size_t before = arena->total_bytes;
    struct wire_in in = wire_in_of(data, arena);
    m->get(&in, *ret);
    check(arena->total_bytes - before <=
          WIRE_LIST_BYTES_MIN + data.size * WIRE_LIST_BYTES_PER_BYTE + 16 * data.size);
    return !in.failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct message m = pick(data[0]);
    cleanup_arena_ struct arena arena = { 0 };
    void *first, *again;
    if (!decode(&m, bytes_of(data + 1, size - 1), &arena, &first)) return 0;

    struct wire_out out = wire_out_heap(), out_again = wire_out_heap();
    m.put(&out, first);
    check(!out.failed);
    check(decode(&m, wire_out_bytes(&out), &arena, &again));
    m.put(&out_again, again);
    check(bytes_equal(wire_out_bytes(&out), wire_out_bytes(&out_again)));
    wire_out_free(&out);
    wire_out_free(&out_again);

    char *text = NULL;
    size_t text_size = 0;
    FILE *f = open_memstream(&text, &text_size);
    m.to_text(f, first);
    fclose(f);
    check(text_size >= 2 && text[0] == '{' && text[text_size - 1] == '}');
    free(text);
    return 0;
}
