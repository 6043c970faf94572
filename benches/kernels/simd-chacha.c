// ChaCha20 (RFC 8439), a row of the state in each vector: adds, shifts, and lanes turned around.
#include "lanes.h"

static inline v128_t rotate(v128_t x, uint32_t by) { return wasm_v128_or(wasm_i32x4_shl(x, by), wasm_u32x4_shr(x, 32 - by)); }

static inline void quarters(v128_t *a, v128_t *b, v128_t *c, v128_t *d) {
    *a = wasm_i32x4_add(*a, *b), *d = rotate(wasm_v128_xor(*d, *a), 16);
    *c = wasm_i32x4_add(*c, *d), *b = rotate(wasm_v128_xor(*b, *c), 12);
    *a = wasm_i32x4_add(*a, *b), *d = rotate(wasm_v128_xor(*d, *a), 8);
    *c = wasm_i32x4_add(*c, *d), *b = rotate(wasm_v128_xor(*b, *c), 7);
}

static void block(const v128_t state[4], uint8_t *text) {
    v128_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (int round = 0; round < 10; round++) {
        quarters(&a, &b, &c, &d);
        b = wasm_i32x4_shuffle(b, b, 1, 2, 3, 0);
        c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
        d = wasm_i32x4_shuffle(d, d, 3, 0, 1, 2);
        quarters(&a, &b, &c, &d);
        b = wasm_i32x4_shuffle(b, b, 3, 0, 1, 2);
        c = wasm_i32x4_shuffle(c, c, 2, 3, 0, 1);
        d = wasm_i32x4_shuffle(d, d, 1, 2, 3, 0);
    }
    const v128_t rows[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++) wasm_v128_store(text + i * 16, wasm_v128_xor(wasm_v128_load(text + i * 16), wasm_i32x4_add(rows[i], state[i])));
}

static uint8_t text[16384] __attribute__((aligned(16)));

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < 16384; i++) text[i] = (uint8_t)(i * 7);
    v128_t state[4] = {
        wasm_i32x4_make(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574), wasm_i32x4_make(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c),
        wasm_i32x4_make(0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c), wasm_i32x4_make(1, 0x09000000, 0x4a000000, 0)};
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        for (int i = 0; i < 16384; i += 64) {
            block(state, text + i);
            state[3] = wasm_i32x4_add(state[3], wasm_i32x4_make(1, 0, 0, 0));
        }
        sum = mix(sum, text[(round * 97) & 16383]);
    }
    return (int64_t)sum;
}
