// 128-bit vectors under WebAssembly's names, so that one source serves the module and the native
// compilers: those have the same operations as vector types of GCC and Clang, and a few by name.
#ifndef LANES_H
#define LANES_H

#include "kernel.h"

#ifdef __wasm__
#include <wasm_simd128.h>
#else

#if defined(__x86_64__)
#include <smmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "this machine's names for a few vector operations are missing"
#endif

typedef int32_t v128_t __attribute__((vector_size(16), aligned(16), may_alias));
typedef v128_t v128_unaligned __attribute__((aligned(1)));
typedef uint8_t lanes_u8 __attribute__((vector_size(16)));
typedef int8_t lanes_i8 __attribute__((vector_size(16)));
typedef uint16_t lanes_u16 __attribute__((vector_size(16)));
typedef uint32_t lanes_u32 __attribute__((vector_size(16)));
typedef int32_t lanes_i32 __attribute__((vector_size(16)));
typedef float lanes_f32 __attribute__((vector_size(16)));
typedef double lanes_f64 __attribute__((vector_size(16)));

#define LANES static inline __attribute__((always_inline))
#define EACH(name, lanes, operation) \
    LANES v128_t name(v128_t a, v128_t b) { return (v128_t)((lanes)a operation(lanes) b); }

LANES v128_t wasm_v128_load(const void *at) { return *(const v128_unaligned *)at; }
LANES void wasm_v128_store(void *at, v128_t value) { *(v128_unaligned *)at = value; }

LANES v128_t wasm_i8x16_splat(int8_t x) { return (v128_t)((lanes_i8){0} + x); }
LANES v128_t wasm_i32x4_splat(int32_t x) { return (v128_t){x, x, x, x}; }
LANES v128_t wasm_f32x4_splat(float x) { return (v128_t)(lanes_f32){x, x, x, x}; }
LANES v128_t wasm_f64x2_splat(double x) { return (v128_t)(lanes_f64){x, x}; }
LANES v128_t wasm_i32x4_make(int32_t a, int32_t b, int32_t c, int32_t d) { return (v128_t){a, b, c, d}; }

EACH(wasm_v128_and, lanes_u32, &)
EACH(wasm_v128_or, lanes_u32, |)
EACH(wasm_v128_xor, lanes_u32, ^)
EACH(wasm_i8x16_add, lanes_u8, +)
EACH(wasm_i8x16_sub, lanes_u8, -)
EACH(wasm_i8x16_eq, lanes_i8, ==)
EACH(wasm_i8x16_lt, lanes_i8, <)
EACH(wasm_u8x16_le, lanes_u8, <=)
EACH(wasm_u8x16_ge, lanes_u8, >=)
EACH(wasm_i32x4_add, lanes_u32, +)
EACH(wasm_i32x4_sub, lanes_u32, -)
EACH(wasm_f32x4_add, lanes_f32, +)
EACH(wasm_f32x4_sub, lanes_f32, -)
EACH(wasm_f32x4_mul, lanes_f32, *)
EACH(wasm_f32x4_le, lanes_f32, <=)
EACH(wasm_f64x2_add, lanes_f64, +)
EACH(wasm_f64x2_sub, lanes_f64, -)
EACH(wasm_f64x2_mul, lanes_f64, *)

LANES v128_t wasm_i32x4_shl(v128_t a, uint32_t by) { return (v128_t)((lanes_u32)a << by); }
LANES v128_t wasm_u32x4_shr(v128_t a, uint32_t by) { return (v128_t)((lanes_u32)a >> by); }
LANES int32_t wasm_i32x4_extract_lane_of(v128_t a, int lane) { return a[lane]; }
LANES float wasm_f32x4_extract_lane_of(v128_t a, int lane) { return ((lanes_f32)a)[lane]; }
LANES double wasm_f64x2_extract_lane_of(v128_t a, int lane) { return ((lanes_f64)a)[lane]; }
#define wasm_i32x4_extract_lane wasm_i32x4_extract_lane_of
#define wasm_f32x4_extract_lane wasm_f32x4_extract_lane_of
#define wasm_f64x2_extract_lane wasm_f64x2_extract_lane_of

#if defined(__clang__)
#define wasm_i32x4_shuffle(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define wasm_i32x4_shuffle(a, b, i, j, k, l) __builtin_shuffle(a, b, (v128_t){i, j, k, l})
#endif

#if defined(__x86_64__)
LANES v128_t wasm_u8x16_avgr(v128_t a, v128_t b) { return (v128_t)_mm_avg_epu8((__m128i)a, (__m128i)b); }
LANES v128_t wasm_u8x16_add_sat(v128_t a, v128_t b) { return (v128_t)_mm_adds_epu8((__m128i)a, (__m128i)b); }
LANES v128_t wasm_u8x16_max(v128_t a, v128_t b) { return (v128_t)_mm_max_epu8((__m128i)a, (__m128i)b); }
LANES v128_t wasm_u8x16_min(v128_t a, v128_t b) { return (v128_t)_mm_min_epu8((__m128i)a, (__m128i)b); }
LANES uint32_t wasm_i8x16_bitmask(v128_t a) { return (uint32_t)_mm_movemask_epi8((__m128i)a); }
#else
LANES v128_t wasm_u8x16_avgr(v128_t a, v128_t b) { return (v128_t)vrhaddq_u8((uint8x16_t)a, (uint8x16_t)b); }
LANES v128_t wasm_u8x16_add_sat(v128_t a, v128_t b) { return (v128_t)vqaddq_u8((uint8x16_t)a, (uint8x16_t)b); }
LANES v128_t wasm_u8x16_max(v128_t a, v128_t b) { return (v128_t)vmaxq_u8((uint8x16_t)a, (uint8x16_t)b); }
LANES v128_t wasm_u8x16_min(v128_t a, v128_t b) { return (v128_t)vminq_u8((uint8x16_t)a, (uint8x16_t)b); }
LANES uint32_t wasm_i8x16_bitmask(v128_t a) {
    static const int8_t places[16] = {-7, -6, -5, -4, -3, -2, -1, 0, -7, -6, -5, -4, -3, -2, -1, 0};
    uint8x16_t bits = vshlq_u8(vandq_u8((uint8x16_t)a, vdupq_n_u8(0x80)), vld1q_s8(places));
    return vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
}
#endif

#endif
#endif
