// Product of matrices of floats in explicit vectors: blocks of four rows and eight columns in registers.
#include "lanes.h"

#define SIZE 128
static float a[SIZE][SIZE] __attribute__((aligned(16))), b[SIZE][SIZE] __attribute__((aligned(16))), c[SIZE][SIZE] __attribute__((aligned(16)));

static void multiply(void) {
    for (int i = 0; i < SIZE; i += 4)
        for (int j = 0; j < SIZE; j += 8) {
            v128_t sums[4][2];
            for (int row = 0; row < 4; row++) sums[row][0] = sums[row][1] = wasm_f32x4_splat(0);
            for (int k = 0; k < SIZE; k++) {
                v128_t low = wasm_v128_load(&b[k][j]), high = wasm_v128_load(&b[k][j + 4]);
                for (int row = 0; row < 4; row++) {
                    v128_t factor = wasm_f32x4_splat(a[i + row][k]);
                    sums[row][0] = wasm_f32x4_add(sums[row][0], wasm_f32x4_mul(factor, low));
                    sums[row][1] = wasm_f32x4_add(sums[row][1], wasm_f32x4_mul(factor, high));
                }
            }
            for (int row = 0; row < 4; row++) {
                wasm_v128_store(&c[i + row][j], sums[row][0]);
                wasm_v128_store(&c[i + row][j + 4], sums[row][1]);
            }
        }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) a[i][j] = (float)((i + j) % 7), b[i][j] = (float)((i * 3 + j) % 5);
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        a[round & 127][(round * 3) & 127] = (float)(round & 3);
        multiply();
        sum = mix(sum, (uint64_t)(int64_t)c[(round * 5) & 127][(round * 11) & 127]);
    }
    return (int64_t)sum;
}
