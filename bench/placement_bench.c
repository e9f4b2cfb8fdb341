/* placement_bench.c - how evenly pairs meet, for many sizes: the tables of docs/placement.md.
 *
 *   placement_bench small        all sizes from 5 to 50 nodes, groups of 3 to 6: a summary
 *   placement_bench large        64 to 1 000 nodes, groups of 3 to 20: a row each
 *   placement_bench V K [R]      one size; without R the number that data_placement chooses
 */
#include "base/arena.h"
#include "placement/design.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct row {
    uint32_t v, k, r;
    struct design_balance balance;
    double seconds;
};

/* As data_placement: the first number that lets all pairs meet, or the largest. */
static uint32_t targets_of(uint32_t v, uint32_t k)
{
    uint32_t largest = 0;
    for (uint32_t r = 1; r <= DESIGN_TARGETS_PER_DISK_MAX; r++) {
        if (v * r % k) continue;
        largest = r;
        if (r * (k - 1) >= v - 1) break;
    }
    return largest;
}

static void measure(struct row *row)
{
    cleanup_arena_ struct arena arena = { 0 };
    struct design d;
    clock_t begin = clock();
    design_make(&arena, row->v, row->k, row->r, 1, NULL, &d);
    row->seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    const char *wrong = design_verify(&d, &arena);
    if (wrong) {
        fprintf(stderr, "%u nodes, groups of %u: %s\n", row->v, row->k, wrong);
        exit(1);
    }
    row->balance = design_balance(&d);
}

static bool is_best(const struct design_balance *b)
{
    return b->least >= b->least_bound && b->most <= b->most_bound;
}

static void print_row(const struct row *row)
{
    const struct design_balance *b = &row->balance;
    printf("| %u, %u | %u | %u-%u | %u-%u%s%s | %.1f |\n", row->v, row->k, row->r, b->least,
           b->most, b->least_bound, b->most_bound, b->excluded ? "; excluded: " : "",
           b->excluded ? b->excluded : "", row->seconds);
    fflush(stdout);
}

static void measure_small(void)
{
    for (uint32_t k = 3; k <= 6; k++) {
        uint32_t best = 0, excluded = 0, by_two = 0, more = 0;
        double longest = 0;
        char rest[1024] = "";
        for (uint32_t v = k < 5 ? 5 : k; v <= 50; v++) {
            struct row row = { .v = v, .k = k, .r = targets_of(v, k) };
            measure(&row);
            uint32_t spread = row.balance.most - row.balance.least;
            if (row.seconds > longest) longest = row.seconds;
            best += is_best(&row.balance);
            if (is_best(&row.balance)) continue;
            excluded += row.balance.excluded && spread == 2;
            by_two += !row.balance.excluded && spread == 2;
            more += spread > 2;
            size_t n = strlen(rest);
            snprintf(rest + n, sizeof rest - n, " %u%s", v, row.balance.excluded ? "x" : "");
        }
        printf("| %u | %u | %u | %u | %u |%s | %.1f |\n", k, best, excluded, by_two, more, rest,
               longest);
        fflush(stdout);
    }
}

static void measure_large(void)
{
    static const uint32_t nodes[] = { 64, 100, 128, 150, 200, 256, 500, 1000 };
    static const uint32_t sizes[] = { 3, 4, 5, 6, 8, 10, 12, 16, 20 };
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
            struct row row = { nodes[i], sizes[j], targets_of(nodes[i], sizes[j]), { 0 }, 0 };
            measure(&row);
            print_row(&row);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "small") == 0) {
        measure_small();
    } else if (argc == 2 && strcmp(argv[1], "large") == 0) {
        measure_large();
    } else if (argc >= 3) {
        struct row row = { .v = (uint32_t)strtoul(argv[1], NULL, 10),
                           .k = (uint32_t)strtoul(argv[2], NULL, 10) };
        if (row.k)
            row.r = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : targets_of(row.v, row.k);
        if (!design_is_possible(row.v, row.k, row.r)) return 1;
        measure(&row);
        print_row(&row);
    } else {
        fputs("usage: placement_bench small | large | V K [R]\n", stderr);
        return 1;
    }
    return 0;
}
