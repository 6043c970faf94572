// Plain recursion: nothing but calls, compares and adds.
#include "kernel.h"

NOINLINE static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

EXPORT int64_t run(int32_t n) { return fib((uint32_t)n); }
