// Counts the primes below LIMIT with several threads over one shared memory.
//
// No libc: what threads need is here. Compiled with
//   zig cc -target wasm32-freestanding -mcpu=generic+atomics+bulk_memory+mutable_globals -O2 -nostdlib \
//     -Wl,--no-entry -Wl,--import-memory -Wl,--shared-memory -Wl,--max-memory=2097152 \
//     -Wl,--export=_start -Wl,--export=wasi_thread_start primes.c -o primes.wasm

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

IMPORT("wasi", "thread-spawn") int thread_spawn(void *argument);
IMPORT("wasi_snapshot_preview1", "fd_write")
int fd_write(int fd, const void *pieces, int count, unsigned *written);

enum { THREADS = 4, STACK = 8192, LIMIT = 100000, BLOCK = 500 };

static unsigned next_block, primes, running;
static int lock; // 0 free, 1 taken, 2 taken and waited for
static unsigned largest;
static char stacks[THREADS][STACK] __attribute__((aligned(16)));

static void take(int *word) {
    int seen = 0;
    if (__atomic_compare_exchange_n(word, &seen, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (__atomic_exchange_n(word, 2, __ATOMIC_SEQ_CST) != 0)
        __builtin_wasm_memory_atomic_wait32(word, 2, -1);
}

static void give(int *word) {
    if (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 2)
        __builtin_wasm_memory_atomic_notify(word, 1);
}

static int is_prime(unsigned n) {
    if (n < 2) return 0;
    for (unsigned d = 2; d * d <= n; d++)
        if (n % d == 0) return 0;
    return 1;
}

static void work(void) {
    for (;;) {
        unsigned first = __atomic_fetch_add(&next_block, BLOCK, __ATOMIC_SEQ_CST);
        if (first >= LIMIT) return;
        for (unsigned n = first; n < first + BLOCK && n < LIMIT; n++) {
            if (!is_prime(n)) continue;
            __atomic_fetch_add(&primes, 1, __ATOMIC_SEQ_CST);
            take(&lock);
            if (n > largest) largest = n;
            give(&lock);
        }
    }
}

void thread_main(void) {
    work();
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    __builtin_wasm_memory_atomic_notify((int *)&running, 1);
}

// The new instance's stack pointer is that of the first thread: it gets one of its own first.
__asm__(
    ".globaltype __stack_pointer, i32\n"
    ".functype thread_main () -> ()\n"
    ".globl wasi_thread_start\n"
    ".type wasi_thread_start,@function\n"
    "wasi_thread_start:\n"
    "  .functype wasi_thread_start (i32, i32) -> ()\n"
    "  local.get 1\n"
    "  global.set __stack_pointer\n"
    "  call thread_main\n"
    "  end_function\n");

static void print(unsigned number) {
    char text[12];
    int at = sizeof text;
    text[--at] = '\n';
    do text[--at] = '0' + number % 10; while (number /= 10);
    struct { const char *bytes; unsigned len; } piece = {text + at, sizeof text - at};
    unsigned written;
    fd_write(1, &piece, 1, &written);
}

void _start(void) {
    for (int i = 0; i < THREADS; i++) {
        __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
        if (thread_spawn(stacks[i] + STACK) < 0) __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    }
    work();
    for (unsigned left; (left = __atomic_load_n(&running, __ATOMIC_SEQ_CST)) != 0;)
        __builtin_wasm_memory_atomic_wait32((int *)&running, left, -1);
    print(primes);
    print(largest);
}
