/* state.c - run/state.toml and run/supervisor.pid. */
#include "supervisor/state.h"

#include "base/check.h"
#include "supervisor/files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- state.toml ---- */

static const char *state_path(const char *dir, struct arena *arena)
{
    return arena_printf(arena, "%s/run/state.toml", dir);
}

static const char *quoted(const char *text, struct arena *arena)
{
    struct toml_value value = { .kind = TOML_STRING, .text = bytes_of_text(text) };
    return toml_to_text(arena, &value);
}

int cluster_state_save(const char *dir, const struct cluster_state *state, struct arena *arena,
                       const char **ret_error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out);
    fprintf(out, "pid = %d\nstart_ticks = %llu\nboot = %s\nmount = %s\nport_base = %u\n",
            (int)state->supervisor.pid, (unsigned long long)state->supervisor.start_ticks,
            quoted(state->boot, arena), quoted(state->mount, arena), state->port_base);
    fprintf(out, "is_ready = %s\nis_stopping = %s\ntrouble = %s\n",
            state->is_ready ? "true" : "false", state->is_stopping ? "true" : "false",
            quoted(state->trouble, arena));
    for (uint32_t i = 0; i < state->child_count; i++) {
        const struct child_state *c = &state->children[i];
        fprintf(out,
                "\n[[child]]\nname = %s\npid = %d\nstart_ticks = %llu\nstate = %s\n"
                "restart_count = %u\nsince_wall_ns = %llu\nlast_end = %s\n",
                quoted(c->name, arena), (int)c->process.pid,
                (unsigned long long)c->process.start_ticks, quoted(c->state, arena),
                c->restart_count, (unsigned long long)c->since_wall_ns, quoted(c->last_end, arena));
    }
    check(fclose(out) == 0);
    int r = text_write(state_path(dir, arena), text, 0644, arena, ret_error);
    free(text);
    return r;
}

static uint64_t number_of(const struct toml_value *table, const char *key)
{
    const struct toml_value *value = toml_find(table, key);
    return value && value->kind == TOML_INTEGER && value->integer > 0 ? (uint64_t)value->integer
                                                                      : 0;
}

static const char *text_of(const struct toml_value *table, const char *key)
{
    const struct toml_value *value = toml_find(table, key);
    return value && value->kind == TOML_STRING ? (const char *)value->text.base : "";
}

static bool flag_of(const struct toml_value *table, const char *key)
{
    const struct toml_value *value = toml_find(table, key);
    return value && value->kind == TOML_BOOLEAN && value->boolean;
}

static struct process_id process_of(const struct toml_value *table)
{
    return (struct process_id){ .pid = (pid_t)number_of(table, "pid"),
                                .start_ticks = number_of(table, "start_ticks") };
}

static struct cluster_state state_of(const struct toml_value *root)
{
    char boot[40];
    boot_id(boot);
    struct cluster_state state = { .boot = text_of(root, "boot"),
                                   .mount = text_of(root, "mount"),
                                   .port_base = (uint16_t)number_of(root, "port_base"),
                                   .is_ready = flag_of(root, "is_ready"),
                                   .is_stopping = flag_of(root, "is_stopping"),
                                   .trouble = text_of(root, "trouble") };
    bool same_boot = strcmp(state.boot, boot) == 0;
    if (same_boot) state.supervisor = process_of(root);
    const struct toml_value *children = toml_find(root, "child");
    uint32_t count = children && children->kind == TOML_ARRAY ? children->item_count : 0;
    for (uint32_t i = 0; i < count && state.child_count < PLAN_CHILD_COUNT_MAX; i++) {
        const struct toml_value *table = &children->items[i].value;
        if (table->kind != TOML_TABLE) continue;
        struct child_state *c = &state.children[state.child_count++];
        *c = (struct child_state){ .name = text_of(table, "name"),
                                   .state = text_of(table, "state"),
                                   .last_end = text_of(table, "last_end"),
                                   .restart_count = (uint32_t)number_of(table, "restart_count"),
                                   .since_wall_ns = number_of(table, "since_wall_ns") };
        if (same_boot) c->process = process_of(table);
    }
    return state;
}

int cluster_state_load(const char *dir, struct arena *arena, struct cluster_state *ret,
                       const char **ret_error)
{
    struct bytes text;
    struct toml_value root;
    const char *path = state_path(dir, arena), *error = NULL;
    int r = text_read(path, arena, &text, ret_error);
    if (r < 0) return r;
    r = toml_parse(arena, text, &root, &error);
    if (r < 0) {
        *ret_error = arena_printf(arena, "%s: %s", path, error);
        return r;
    }
    *ret = state_of(&root);
    return 0;
}

/* ---- supervisor.pid ---- */

static const char *pid_path(const char *dir, struct arena *arena)
{
    return arena_printf(arena, "%s/run/supervisor.pid", dir);
}

int supervisor_lock(const char *dir, struct arena *arena, const char **ret_error)
{
    const char *path = pid_path(dir, arena);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        int eno = errno;
        *ret_error = arena_printf(arena, "%s: %s", path, strerrordesc_np(eno));
        return error_from_errno(eno);
    }
    if (fcntl(fd, F_SETLK, &whole) < 0) {
        *ret_error = arena_printf(arena, "%s: another supervisor runs", path);
        close(fd);
        return -ERR_BUSY;
    }
    char text[16];
    int size = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        int eno = errno;
        *ret_error = arena_printf(arena, "%s: %s", path, strerrordesc_np(eno));
        close(fd);
        return error_from_errno(eno);
    }
    return fd;
}

int supervisor_find(const char *dir, struct arena *arena)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(pid_path(dir, arena), O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    bool is_asked = fcntl(fd, F_GETLK, &whole) == 0;
    close(fd);
    return is_asked && whole.l_type != F_UNLCK ? (int)whole.l_pid : 0;
}
