// Objects with a table of methods each, as C++ compiles them: load, load, call.
#include "kernel.h"

typedef struct shape shape;
typedef struct {
    double (*area)(const shape *);
    void (*grow)(shape *, double);
} methods;
struct shape {
    const methods *methods;
    double a, b;
};

NOINLINE static double square_area(const shape *s) { return s->a * s->a; }
NOINLINE static double rectangle_area(const shape *s) { return s->a * s->b; }
NOINLINE static double circle_area(const shape *s) { return 3.0 * s->a * s->a; }
NOINLINE static double triangle_area(const shape *s) { return 0.5 * s->a * s->b; }
NOINLINE static void grow_one(shape *s, double by) { s->a = s->a + by > 8.0 ? 1.0 : s->a + by; }
NOINLINE static void grow_both(shape *s, double by) {
    s->a = s->a > 4.0 ? 0.5 : s->a + by;
    s->b = s->b > 9.0 ? 0.25 : s->b + by;
}

static const methods kinds[4] = {
    {square_area, grow_one}, {rectangle_area, grow_both}, {circle_area, grow_one}, {triangle_area, grow_both}};

static shape shapes[1024];

EXPORT int64_t run(int32_t n) {
    uint32_t seed = 2463534242u;
    for (int i = 0; i < 1024; i++) shapes[i] = (shape){&kinds[next_random(&seed) & 3], 1.0 + i % 7, 2.0 + i % 5};
    double total = 0;
    for (int32_t round = 0; round < n; round++) {
        for (int i = 0; i < 1024; i++) {
            shape *s = &shapes[i];
            total += s->methods->area(s);
            s->methods->grow(s, 0.125);
        }
    }
    return (int64_t)total;
}
