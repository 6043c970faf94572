// Text: split into words, fold case, count distinct ones, search for substrings.
#include "kernel.h"

static const char *const vocabulary[16] = {
    "concrete", "Slab", "beam", "COLUMN", "footing", "Lintel", "girder", "truss",
    "a", "the", "of", "formwork", "Reinforcement", "rebar", "mould", "cure"};
static char text[65536], lower[65536];
static uint32_t counts[1024];

NOINLINE static uint32_t length_of(const char *s) {
    uint32_t n = 0;
    while (s[n]) n++;
    return n;
}

NOINLINE static uint32_t write_text(void) {
    uint32_t seed = 314159265u, at = 0;
    while (at < 65536 - 64) {
        const char *word = vocabulary[next_random(&seed) & 15];
        uint32_t n = length_of(word);
        for (uint32_t i = 0; i < n; i++) text[at++] = word[i];
        text[at++] = (seed & 0x700) == 0 ? '\n' : ' ';
    }
    return at;
}

NOINLINE static uint32_t find_all(const char *hay, uint32_t length, const char *needle) {
    uint32_t n = length_of(needle), found = 0;
    for (uint32_t i = 0; i + n <= length; i++) {
        uint32_t j = 0;
        while (j < n && hay[i + j] == needle[j]) j++;
        found += j == n;
    }
    return found;
}

NOINLINE static void count_words(const char *s, uint32_t length) {
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < length; i++) {
        char c = s[i];
        if (c == ' ' || c == '\n') {
            counts[hash >> 22]++;
            hash = 2166136261u;
        } else {
            hash = (hash ^ (uint8_t)c) * 16777619u;
        }
    }
}

EXPORT int64_t run(int32_t n) {
    uint32_t length = write_text();
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < length; i++) {
            char c = text[i];
            lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        count_words(lower, length);
        sum = mix(sum, find_all(lower, length, "reinforce"));
        sum = mix(sum, find_all(text, length, vocabulary[round & 15]));
    }
    for (int i = 0; i < 1024; i++) sum = mix(sum, counts[i]);
    for (int i = 0; i < 1024; i++) counts[i] = 0;
    return (int64_t)sum;
}
