// Quicksort of records with a comparison function given by pointer, as `qsort` has it.
#include "kernel.h"

typedef struct {
    uint32_t key, value;
} record;
typedef int (*comparison)(const record *, const record *);

NOINLINE static int by_key(const record *a, const record *b) { return (a->key > b->key) - (a->key < b->key); }
NOINLINE static int by_value(const record *a, const record *b) { return (a->value > b->value) - (a->value < b->value); }

static record records[32768];

NOINLINE static void sort(record *low, record *high, comparison compare) {
    while (high - low > 12) {
        record pivot = low[(high - low) / 2], *i = low, *j = high;
        while (i <= j) {
            while (compare(i, &pivot) < 0) i++;
            while (compare(j, &pivot) > 0) j--;
            if (i <= j) {
                record swapped = *i;
                *i++ = *j;
                *j-- = swapped;
            }
        }
        sort(low, j, compare);
        low = i;
    }
    for (record *i = low + 1; i <= high; i++) {
        record held = *i;
        record *j = i;
        for (; j > low && compare(j - 1, &held) > 0; j--) *j = j[-1];
        *j = held;
    }
}

EXPORT int64_t run(int32_t n) {
    uint32_t seed = 362436069u;
    int32_t count = n < 32768 ? n : 32768;
    for (int32_t i = 0; i < count; i++) records[i] = (record){next_random(&seed), next_random(&seed)};
    uint64_t sum = HASH_START;
    comparison orders[2] = {by_key, by_value};
    for (int order = 0; order < 2; order++) {
        sort(records, records + count - 1, orders[order]);
        for (int32_t i = 0; i < count; i++) sum = mix(sum, records[i].key);
    }
    return (int64_t)sum;
}
