// A hash table with chains: nodes of their own, text as keys, growth by rehashing, removal.
#include "kernel.h"

typedef struct entry {
    struct entry *next;
    uint32_t hash, count;
    uint8_t length;
    char key[15];
} entry;

#define MOST 20000
static entry pool[MOST];
static entry *buckets[32768], *unused;
static uint32_t width, population, taken;

static uint32_t hash_of(const char *key, uint32_t length) {
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)key[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static int is_same(const entry *e, const char *key, uint32_t length, uint32_t hash) {
    if (e->hash != hash || e->length != length) return 0;
    for (uint32_t i = 0; i < length; i++)
        if (e->key[i] != key[i]) return 0;
    return 1;
}

static void grow(void) {
    for (uint32_t i = width; i < width * 2; i++) buckets[i] = NULL;
    for (uint32_t i = 0; i < width; i++) {
        entry **link = &buckets[i];
        while (*link) {
            entry *e = *link;
            if (e->hash & width) {
                *link = e->next;
                e->next = buckets[i + width];
                buckets[i + width] = e;
            } else {
                link = &e->next;
            }
        }
    }
    width *= 2;
}

static entry *find_or_add(const char *key, uint32_t length) {
    uint32_t hash = hash_of(key, length);
    for (entry *e = buckets[hash & (width - 1)]; e; e = e->next)
        if (is_same(e, key, length, hash)) return e;
    if (population >= width && width < 32768) grow();
    entry *fresh = unused;
    if (fresh)
        unused = fresh->next;
    else if (taken < MOST)
        fresh = &pool[taken++];
    else
        return NULL;
    fresh->hash = hash, fresh->count = 0, fresh->length = (uint8_t)length;
    for (uint32_t i = 0; i < length; i++) fresh->key[i] = key[i];
    fresh->next = buckets[hash & (width - 1)];
    buckets[hash & (width - 1)] = fresh;
    population++;
    return fresh;
}

static uint32_t remove_key(const char *key, uint32_t length) {
    uint32_t hash = hash_of(key, length);
    for (entry **link = &buckets[hash & (width - 1)]; *link; link = &(*link)->next) {
        entry *e = *link;
        if (!is_same(e, key, length, hash)) continue;
        *link = e->next;
        e->next = unused;
        unused = e;
        population--;
        return e->count;
    }
    return 0;
}

static uint32_t write_key(char *key, uint32_t number) {
    uint32_t length = 0;
    key[length++] = 'k';
    do key[length++] = (char)('a' + number % 26);
    while (number /= 26);
    return length;
}

EXPORT int64_t run(int32_t n) {
    width = 16, population = taken = 0, unused = NULL;
    for (uint32_t i = 0; i < width; i++) buckets[i] = NULL;
    uint32_t seed = 192837465u;
    uint64_t sum = HASH_START;
    for (int32_t i = 0; i < n; i++) {
        char key[15];
        entry *e = find_or_add(key, write_key(key, next_random(&seed) % 16000));
        if (e) sum = mix(sum, e->count++);
        if ((i & 7) == 0) sum = mix(sum, remove_key(key, write_key(key, next_random(&seed) % 16000)));
    }
    return (int64_t)mix(sum, population);
}
