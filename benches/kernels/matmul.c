// Product of two square matrices of doubles, in the order that walks rows.
#include "kernel.h"

#define SIZE 128
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

NOINLINE static void multiply(void) {
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) c[i][j] = 0;
        for (int k = 0; k < SIZE; k++) {
            double factor = a[i][k];
            for (int j = 0; j < SIZE; j++) c[i][j] += factor * b[k][j];
        }
    }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) a[i][j] = (i * 3 + j) % 17 - 8, b[i][j] = (i + j * 5) % 13 - 6;
    double sum = 0;
    for (int32_t round = 0; round < n; round++) {
        multiply();
        for (int i = 0; i < SIZE; i++) sum += c[i][(i * 7 + round) % SIZE];
        a[round % SIZE][(round * 3) % SIZE] += 1;
    }
    return (int64_t)sum;
}
