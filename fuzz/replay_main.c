/* replay_main.c - runs a fuzz target without libFuzzer: over its corpus, and over changes of it.
 *
 *     NAME_replay CORPUS_DIRECTORY...
 *
 * So that any compiler's build, under any sanitizer, checks what fuzzing has found. The changes
 * come from a fixed seed: a failure comes again.
 */
#include "base/arena.h"
#include "base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHANGES_EACH = 300, INPUT_BYTES_MAX = 1 << 20 };

struct input {
    char name[512];
    uint8_t *data;
    size_t size;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* In memory of exactly its size, so that a sanitizer sees each byte read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = xmalloc(size);
    if (size) memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_changed(const struct input *input, uint64_t *random)
{
    cleanup_(freep) uint8_t *data = xmalloc(input->size + 16);
    for (int i = 0; i < CHANGES_EACH; i++) {
        size_t size = input->size;
        memcpy(data, input->data, size);
        for (uint64_t k = next_random(random) % 4 + 1; k > 0 && size; k--) {
            uint64_t r = next_random(random);
            uint8_t *at = data + (r >> 8) % size;
            switch (r & 7) {
            case 0: size = (size_t)(at - data); break;
            case 1: *at = 0xff; break;
            case 2: *at = 0; break;
            case 3: data[size++ % (input->size + 16)] = (uint8_t)(r >> 56); break;
            default: *at ^= (uint8_t)(1 << (r >> 40 & 7)); break;
            }
            size = MIN_OF(size, input->size + 15);
        }
        run(data, size);
    }
}

static int input_read(const char *directory, const char *name, struct input *ret)
{
    snprintf(ret->name, sizeof ret->name, "%s/%s", directory, name);
    int fd = open(ret->name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > INPUT_BYTES_MAX) {
        if (fd >= 0) close(fd);
        return -1;
    }
    ret->size = (size_t)st.st_size;
    ret->data = xmalloc(ret->size);
    ssize_t n = read(fd, ret->data, ret->size);
    close(fd);
    return n == st.st_size ? 0 : -1;
}

static int replay_directory(const char *directory, uint64_t *random)
{
    struct dirent **names;
    int count = scandir(directory, &names, NULL, alphasort), replayed = 0;
    if (count < 0) return -1;
    for (int i = 0; i < count; i++) {
        struct input input = { 0 };
        if (input_read(directory, names[i]->d_name, &input) == 0) {
            fprintf(stderr, "%s\n", input.name); /* the last line names what failed */
            run(input.data, input.size);
            run_changed(&input, random);
            replayed++;
        }
        free(input.data);
        free(names[i]);
    }
    free(names);
    return replayed;
}

int main(int argc, char **argv)
{
    uint64_t random = 88172645463325252u;
    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i], &random);
        if (count <= 0) {
            fprintf(stderr, "%s: nothing to replay\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs, each with %d changes\n", argv[i], count, CHANGES_EACH);
    }
    return argc < 2;
}
