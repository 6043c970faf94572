// Explicit 128-bit vectors: a filter over an image of bytes and a dot product of floats.
#include "lanes.h"

static uint8_t image[65536] __attribute__((aligned(16))), output[65536] __attribute__((aligned(16)));
static float left[4096] __attribute__((aligned(16))), right[4096] __attribute__((aligned(16)));

// Average of three neighbours per byte, brightened with saturation.
NOINLINE static void filter(void) {
    const v128_t brighter = wasm_i8x16_splat(3);
    for (int i = 16; i < 65536 - 32; i += 16) {
        v128_t before = wasm_v128_load(image + i - 1), at = wasm_v128_load(image + i), after = wasm_v128_load(image + i + 1);
        v128_t average = wasm_u8x16_avgr(wasm_u8x16_avgr(before, after), at);
        wasm_v128_store(output + i, wasm_u8x16_add_sat(average, brighter));
    }
}

NOINLINE static float dot(void) {
    v128_t a = wasm_f32x4_splat(0), b = a;
    for (int i = 0; i < 4096; i += 8) {
        a = wasm_f32x4_add(a, wasm_f32x4_mul(wasm_v128_load(left + i), wasm_v128_load(right + i)));
        b = wasm_f32x4_add(b, wasm_f32x4_mul(wasm_v128_load(left + i + 4), wasm_v128_load(right + i + 4)));
    }
    a = wasm_f32x4_add(a, b);
    return wasm_f32x4_extract_lane(a, 0) + wasm_f32x4_extract_lane(a, 1) + wasm_f32x4_extract_lane(a, 2) + wasm_f32x4_extract_lane(a, 3);
}

EXPORT int64_t run(int32_t n) {
    uint32_t seed = 97531u;
    for (int i = 0; i < 65536; i++) image[i] = (uint8_t)next_random(&seed);
    for (int i = 0; i < 4096; i++) left[i] = (float)(i % 13), right[i] = (float)(i % 7);
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        filter();
        image[(round * 37) & 65535] = output[(round * 101 + 16) & 65535];
        left[round & 4095] = (float)(round & 15);
        sum = mix(sum, (uint64_t)(int64_t)dot() + output[(round * 53) & 65535]);
    }
    return (int64_t)sum;
}
