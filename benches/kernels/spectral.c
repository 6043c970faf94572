// Spectral norm of an infinite matrix given by a formula: small calls and divisions.
#include "kernel.h"

#define SIZE 200
static double u[SIZE], v[SIZE], w[SIZE];

NOINLINE static double entry(int32_t i, int32_t j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

NOINLINE static void multiply(double *to, const double *from) {
    for (int32_t i = 0; i < SIZE; i++) {
        double sum = 0;
        for (int32_t j = 0; j < SIZE; j++) sum += entry(i, j) * from[j];
        to[i] = sum;
    }
}

NOINLINE static void multiply_transposed(double *to, const double *from) {
    for (int32_t i = 0; i < SIZE; i++) {
        double sum = 0;
        for (int32_t j = 0; j < SIZE; j++) sum += entry(j, i) * from[j];
        to[i] = sum;
    }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < SIZE; i++) u[i] = 1;
    for (int32_t round = 0; round < n; round++) {
        multiply(w, u), multiply_transposed(v, w);
        multiply(w, v), multiply_transposed(u, w);
    }
    double uv = 0, vv = 0;
    for (int i = 0; i < SIZE; i++) uv += u[i] * v[i], vv += v[i] * v[i];
    return (int64_t)(__builtin_sqrt(uv / vv) * 1e12);
}
