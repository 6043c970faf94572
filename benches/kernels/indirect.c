// Indirect calls through a table of functions of one signature, in an order that
// the branch predictor can learn, with a little work and memory traffic in each.
#include "kernel.h"

static uint32_t cells[64];

#define OPERATION(name, expression) \
    NOINLINE static uint32_t name(uint32_t a, uint32_t b) { \
        uint32_t old = cells[a & 63]; \
        cells[b & 63] = old + (expression); \
        return (expression) ^ old; \
    }
OPERATION(add, a + b)
OPERATION(subtract, a - b)
OPERATION(multiply, a * (b | 1))
OPERATION(rotate, (a << 5) | (a >> 27))
OPERATION(both, a & (b ^ 0x55aa55aa))
OPERATION(either, a | (b >> 3))
OPERATION(differ, a ^ (b << 1))
OPERATION(halve, (a >> 1) + b)

typedef uint32_t (*operation)(uint32_t, uint32_t);
static operation operations[8] = {add, subtract, multiply, rotate, both, either, differ, halve};

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < 64; i++) cells[i] = 0;
    uint32_t a = 1, b = 2;
    for (int32_t i = 0; i < n; i++) {
        uint32_t c = operations[(uint32_t)(i * 5) >> 1 & 7](a, b);
        b = a + (uint32_t)i;
        a = c;
    }
    return ((int64_t)a << 32) | b;
}

// Keeps the compiler from knowing what the table holds.
__attribute__((visibility("default"), used)) void set_operation(int32_t i) { operations[i & 7] = operations[(i + 1) & 7]; }
