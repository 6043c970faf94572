// The Mandelbrot set: a tight loop of double arithmetic with an early way out.
#include "kernel.h"

EXPORT int64_t run(int32_t n) {
    uint64_t sum = HASH_START;
    for (int32_t row = 0; row < n; row++) {
        double ci = 2.0 * row / n - 1.0;
        for (int32_t column = 0; column < n; column++) {
            double cr = 2.0 * column / n - 1.5, zr = 0, zi = 0, zr2 = 0, zi2 = 0;
            int32_t count = 0;
            while (count < 100 && zr2 + zi2 <= 4.0) {
                zi = 2.0 * zr * zi + ci;
                zr = zr2 - zi2 + cr;
                zr2 = zr * zr;
                zi2 = zi * zi;
                count++;
            }
            sum = mix(sum, (uint64_t)count);
        }
    }
    return (int64_t)sum;
}
