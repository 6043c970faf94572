// Compression by matches of earlier text, in the block format of LZ4: there and back again.
#include "kernel.h"

#define SIZE 65536u
static uint8_t plain[SIZE], packed[SIZE + SIZE / 255 + 16], again[SIZE];
static uint16_t recent[4096];

static uint32_t read32(const uint8_t *p) {
    uint32_t word;
    __builtin_memcpy(&word, p, 4);
    return word;
}

static uint8_t *write_length(uint8_t *to, uint32_t rest) {
    for (; rest >= 255; rest -= 255) *to++ = 255;
    *to++ = (uint8_t)rest;
    return to;
}

static uint8_t *write_literals(uint8_t *to, const uint8_t *from, uint32_t count, uint32_t match) {
    *to++ = (uint8_t)((count < 15 ? count : 15) << 4 | (match < 15 ? match : 15));
    if (count >= 15) to = write_length(to, count - 15);
    for (uint32_t i = 0; i < count; i++) to[i] = from[i];
    return to + count;
}

static uint32_t compress(const uint8_t *from, uint32_t size, uint8_t *to) {
    for (int i = 0; i < 4096; i++) recent[i] = 0;
    uint8_t *out = to;
    uint32_t at = 1, anchor = 0;
    while (at + 12 < size) {
        uint32_t word = read32(from + at), slot = word * 2654435761u >> 20, candidate = recent[slot];
        recent[slot] = (uint16_t)at;
        if (candidate >= at || read32(from + candidate) != word) {
            at += 1 + ((at - anchor) >> 6);
            continue;
        }
        uint32_t length = 4;
        while (at + length + 5 < size && from[candidate + length] == from[at + length]) length++;
        out = write_literals(out, from + anchor, at - anchor, length - 4);
        *out++ = (uint8_t)(at - candidate), *out++ = (uint8_t)((at - candidate) >> 8);
        if (length - 4 >= 15) out = write_length(out, length - 4 - 15);
        at += length;
        anchor = at;
    }
    out = write_literals(out, from + anchor, size - anchor, 0);
    return (uint32_t)(out - to);
}

static uint32_t read_length(const uint8_t **from, uint32_t length) {
    if (length == 15) {
        uint8_t more;
        do length += more = *(*from)++;
        while (more == 255);
    }
    return length;
}

static uint32_t expand(const uint8_t *from, uint32_t size, uint8_t *to) {
    const uint8_t *end = from + size;
    uint8_t *out = to;
    for (;;) {
        uint32_t token = *from++, literals = read_length(&from, token >> 4);
        for (uint32_t i = 0; i < literals; i++) out[i] = from[i];
        from += literals, out += literals;
        if (from >= end) return (uint32_t)(out - to);
        uint32_t distance = from[0] | (uint32_t)from[1] << 8;
        from += 2;
        uint32_t length = read_length(&from, token & 15) + 4;
        const uint8_t *match = out - distance;
        for (uint32_t i = 0; i < length; i++) out[i] = match[i];
        out += length;
    }
}

static void write_text(uint32_t seed) {
    uint32_t at = 0;
    while (at < SIZE) {
        uint32_t pick = next_random(&seed);
        if (at > 1000 && pick % 3) {
            uint32_t from = (pick >> 8) % (at - 100), length = 4 + (pick >> 3) % 60;
            for (uint32_t i = 0; i < length && at < SIZE; i++) plain[at++] = plain[from + i];
        } else {
            plain[at++] = (uint8_t)('a' + (pick >> 10) % 20);
        }
    }
}

EXPORT int64_t run(int32_t n) {
    write_text(123456789u);
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        plain[(uint32_t)round * 997 % SIZE] ^= 1;
        uint32_t size = compress(plain, SIZE, packed);
        sum = mix(mix(sum, size), packed[size / 2]);
        sum = mix(sum, expand(packed, size, again));
        for (uint32_t i = 0; i < SIZE; i += 61) sum = mix(sum, again[i] ^ (uint32_t)(again[i] != plain[i]) << 20);
    }
    return (int64_t)sum;
}
