/* main_health_find.c - which services run here: processes of the same binary, by their words. So a
 * container's check need not be told what the container is.
 */
#include "main_health.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORD_COUNT_MAX = 32, WORDS_BYTES_MAX = 8192 };

struct words {
    const char *items[WORD_COUNT_MAX];
    uint32_t count;
};

static bool is_our_binary(const char *pid)
{
    struct stat own, its;
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
    return stat("/proc/self/exe", &own) == 0 && stat(path, &its) == 0 && own.st_dev == its.st_dev &&
           own.st_ino == its.st_ino;
}

static void read_words(struct arena *arena, const char *pid, struct words *ret)
{
    char path[64];
    char *text = arena_zalloc(arena, WORDS_BYTES_MAX + 1);
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    FILE *f = fopen(path, "re");
    size_t size = f ? fread(text, 1, WORDS_BYTES_MAX, f) : 0;
    if (f) fclose(f);
    *ret = (struct words){ .count = 0 };
    for (size_t at = 0; at < size && ret->count < WORD_COUNT_MAX; at += strlen(text + at) + 1)
        ret->items[ret->count++] = text + at;
}

/* By what the binary was called, or by its first word. */
static bool service_of(const struct words *words, struct health_service *ret)
{
    static const struct {
        const char *program, *role;
    } roles[] = { { "mgmtd_main", "mgmtd" },
                  { "meta_main", "meta" },
                  { "storage_main", "storage" },
                  { "hf3fs_fuse_main", "fuse" } };
    if (words->count < 2) return false;
    const char *slash = strrchr(words->items[0], '/');
    const char *program = slash ? slash + 1 : words->items[0];
    *ret = (struct health_service){ .role = NULL };
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (!strcmp(roles[i].program, program) || !strcmp(roles[i].role, words->items[1]))
            ret->role = roles[i].role;
    }
    if (!strcmp(words->items[1], "entrypoint") && words->count > 2) {
        ret->role = words->items[2];
        ret->is_waiting = true;
    }
    for (uint32_t i = 1; i < words->count; i++) {
        bool has_next = i + 1 < words->count;
        if (!strncmp(words->items[i], "--cfg=", 6)) ret->cfg = words->items[i] + 6;
        if (has_next && (!strcmp(words->items[i], "--cfg") || !strcmp(words->items[i], "-cfg")))
            ret->cfg = words->items[i + 1];
    }
    return ret->role != NULL;
}

uint32_t health_find(struct arena *arena, struct health_service *ret, uint32_t max)
{
    uint32_t count = 0;
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    while (processes && count < max && (entry = readdir(processes))) {
        struct words words;
        if (!isdigit((unsigned char)entry->d_name[0]) || !is_our_binary(entry->d_name)) continue;
        read_words(arena, entry->d_name, &words);
        count += service_of(&words, &ret[count]);
    }
    if (processes) closedir(processes);
    return count;
}
