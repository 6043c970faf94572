// What every kernel needs: fixed-width types and a few attributes, no C library.
//
// A kernel exports `run(n)`, which does work proportional to `n` and answers with
// a checksum of all of it, so that two engines can be compared for equality too.
#ifndef KERNEL_H
#define KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define EXPORT __attribute__((visibility("default"), export_name("run")))
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define NOINLINE __attribute__((noinline))

// Marsaglia's xorshift32: a state that is never zero.
static inline uint32_t next_random(uint32_t *state) {
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

// One step of FNV-1a over a whole word: enough for a checksum.
static inline uint64_t mix(uint64_t hash, uint64_t word) { return (hash ^ word) * 0x100000001b3ull; }

#define HASH_START 0xcbf29ce484222325ull

#endif
