// Nine-point stencil over floats in explicit vectors: unaligned loads of neighbours.
#include "lanes.h"

#define SIZE 256
static float grids[2][SIZE][SIZE] __attribute__((aligned(16)));

static void sweep(float (*to)[SIZE], float (*from)[SIZE]) {
    const v128_t centre = wasm_f32x4_splat(0.5f), side = wasm_f32x4_splat(0.09375f), corner = wasm_f32x4_splat(0.03125f);
    for (int i = 1; i < SIZE - 1; i++)
        for (int j = 4; j < SIZE - 4; j += 4) {
            const float *above = &from[i - 1][j], *at = &from[i][j], *below = &from[i + 1][j];
            v128_t sides = wasm_f32x4_add(
                wasm_f32x4_add(wasm_v128_load(above), wasm_v128_load(below)), wasm_f32x4_add(wasm_v128_load(at - 1), wasm_v128_load(at + 1)));
            v128_t corners = wasm_f32x4_add(
                wasm_f32x4_add(wasm_v128_load(above - 1), wasm_v128_load(above + 1)), wasm_f32x4_add(wasm_v128_load(below - 1), wasm_v128_load(below + 1)));
            v128_t sum = wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(at), centre), wasm_f32x4_add(wasm_f32x4_mul(sides, side), wasm_f32x4_mul(corners, corner)));
            wasm_v128_store(&to[i][j], sum);
        }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) grids[0][i][j] = grids[1][i][j] = (float)((i * 31 + j * 17) % 1000);
    for (int32_t round = 0; round < n; round++) sweep(grids[(round + 1) & 1], grids[round & 1]);
    double sum = 0;
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) sum += grids[n & 1][i][j];
    return (int64_t)(sum * 1024);
}
