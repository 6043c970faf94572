// An open-addressing hash table: insert, look up and remove with linear probing.
#include "kernel.h"

#define SLOTS 65536u
static uint32_t keys[SLOTS];
static uint32_t values[SLOTS];

static inline uint32_t home(uint32_t key) { return (key * 2654435769u) >> 16; }

NOINLINE static void insert(uint32_t key, uint32_t value) {
    uint32_t at = home(key);
    while (keys[at] != 0 && keys[at] != key) at = (at + 1) & (SLOTS - 1);
    keys[at] = key;
    values[at] += value;
}

NOINLINE static uint32_t look_up(uint32_t key) {
    for (uint32_t at = home(key); keys[at] != 0; at = (at + 1) & (SLOTS - 1))
        if (keys[at] == key) return values[at];
    return 0;
}

EXPORT int64_t run(int32_t n) {
    for (uint32_t i = 0; i < SLOTS; i++) keys[i] = values[i] = 0;
    uint32_t seed = 88172645u;
    uint64_t sum = HASH_START;
    for (int32_t i = 0; i < n; i++) {
        uint32_t key = next_random(&seed) % 40000 + 1;
        insert(key, (uint32_t)i);
        sum = mix(sum, look_up((key * 7) % 50000 + 1));
    }
    return (int64_t)sum;
}
