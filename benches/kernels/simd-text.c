// Text in explicit vectors: lower case, lines and words counted by masks, the longest line found.
#include "lanes.h"

static uint8_t text[65536] __attribute__((aligned(16))), lower[65536] __attribute__((aligned(16)));

static void fold(void) {
    const v128_t first = wasm_i8x16_splat('A'), last = wasm_i8x16_splat('Z'), bit = wasm_i8x16_splat(0x20);
    for (int i = 0; i < 65536; i += 16) {
        v128_t bytes = wasm_v128_load(text + i);
        v128_t is_upper = wasm_v128_and(wasm_u8x16_ge(bytes, first), wasm_u8x16_le(bytes, last));
        wasm_v128_store(lower + i, wasm_v128_or(bytes, wasm_v128_and(is_upper, bit)));
    }
}

static uint64_t count(uint64_t sum) {
    const v128_t newline = wasm_i8x16_splat('\n'), space = wasm_i8x16_splat(' ');
    uint32_t words = 0, lines = 0, line_start = 0, longest = 0, was_space = 1;
    for (uint32_t i = 0; i < 65536; i += 16) {
        v128_t bytes = wasm_v128_load(lower + i);
        uint32_t spaces = wasm_i8x16_bitmask(wasm_u8x16_le(bytes, space)), newlines = wasm_i8x16_bitmask(wasm_i8x16_eq(bytes, newline));
        words += (uint32_t)__builtin_popcount(~spaces & (spaces << 1 | was_space) & 0xffff);
        was_space = spaces >> 15;
        for (; newlines; newlines &= newlines - 1) {
            uint32_t at = i + (uint32_t)__builtin_ctz(newlines), length = at - line_start;
            longest = length > longest ? length : longest;
            line_start = at + 1;
            lines++;
        }
    }
    return mix(mix(mix(sum, words), lines), longest);
}

// Where the two bytes of a needle stand side by side.
static uint32_t find(uint8_t one, uint8_t two) {
    const v128_t ones = wasm_i8x16_splat((int8_t)one), twos = wasm_i8x16_splat((int8_t)two);
    uint32_t found = 0;
    for (uint32_t i = 0; i + 17 <= 65536; i += 16) {
        v128_t is_one = wasm_i8x16_eq(wasm_v128_load(lower + i), ones), is_two = wasm_i8x16_eq(wasm_v128_load(lower + i + 1), twos);
        uint32_t both = wasm_i8x16_bitmask(wasm_v128_and(is_one, is_two));
        if (both) found += (uint32_t)__builtin_popcount(both);
    }
    return found;
}

EXPORT int64_t run(int32_t n) {
    uint32_t seed = 31415926u;
    for (int i = 0; i < 65536; i++) {
        uint32_t pick = next_random(&seed) >> 5;
        text[i] = (uint8_t)(pick % 80 == 0 ? '\n' : pick % 6 == 0 ? ' ' : (pick & 64 ? 'a' : 'A') + pick % 26);
    }
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        text[(round * 7919) & 65535] = (uint8_t)("\n zA"[round & 3]);
        fold();
        sum = count(sum);
        sum = mix(sum, find((uint8_t)('a' + round % 26), 'e'));
    }
    return (int64_t)sum;
}
