// The sieve of Eratosthenes over bytes: strided stores, then one pass of loads.
#include "kernel.h"

#define LIMIT 262144
static uint8_t composite[LIMIT];

EXPORT int64_t run(int32_t n) {
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < LIMIT; i++) composite[i] = 0;
        for (uint32_t i = 2; i * i < LIMIT; i++)
            if (!composite[i])
                for (uint32_t j = i * i; j < LIMIT; j += i) composite[j] = 1;
        uint32_t count = 0;
        for (uint32_t i = 2; i < LIMIT; i++) count += !composite[i];
        sum = mix(sum, count + (uint32_t)round);
    }
    return (int64_t)sum;
}
