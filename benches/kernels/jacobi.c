// Five-point stencil over a grid, back and forth: array addresses and few operations.
#include "kernel.h"

#define SIZE 256
static double grids[2][SIZE][SIZE];

NOINLINE static void sweep(double (*to)[SIZE], double (*from)[SIZE]) {
    for (int i = 1; i < SIZE - 1; i++)
        for (int j = 1; j < SIZE - 1; j++)
            to[i][j] = 0.25 * (from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]);
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) grids[0][i][j] = grids[1][i][j] = (i * 31 + j * 17) % 1000;
    for (int32_t round = 0; round < n; round++) sweep(grids[(round + 1) & 1], grids[round & 1]);
    double sum = 0;
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) sum += grids[n & 1][i][j];
    return (int64_t)(sum * 1024);
}
