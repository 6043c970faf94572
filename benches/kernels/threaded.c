// The bytecode of interpreter.c by function pointers: every instruction is a call through a table.
#include "kernel.h"

typedef struct {
    const int32_t *at;
    int32_t *top;
    int32_t is_running;
    int32_t variables[4], stack[32];
} machine;
typedef void (*instruction)(machine *);

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, AND, XOR, SHIFT, LESS, JUMP_UNLESS, JUMP, DUP, DROP, STOP };

// sum = 0; i = 0; while (i < n) { sum = (sum * 31 + i) ^ (i >> 3); if (sum is even) sum += 7; i += 1 }
// The numbers in comments are the labels that jumps name.
static const int32_t program[] = {
    PUSH, 0, STORE, 0, PUSH, 0, STORE, 1,
    /* 8 */ LOAD, 1, LOAD, 2, LESS, JUMP_UNLESS, 56,
    /* 15 */ LOAD, 0, PUSH, 31, MUL, LOAD, 1, ADD, LOAD, 1, PUSH, 3, SHIFT, XOR, DUP, STORE, 0,
    /* 32 */ PUSH, 1, AND, PUSH, 1, LESS, JUMP_UNLESS, 47,
    /* 40 */ LOAD, 0, PUSH, 7, ADD, STORE, 0,
    /* 47 */ LOAD, 1, PUSH, 1, ADD, STORE, 1, JUMP, 8,
    /* 56 */ STOP};

#define BINARY(name, expression) \
    static void name(machine *m) { \
        uint32_t b = (uint32_t)*--m->top, a = (uint32_t)m->top[-1]; \
        m->top[-1] = (int32_t)(expression); \
    }
BINARY(add, a + b)
BINARY(subtract, a - b)
BINARY(multiply, a * b)
BINARY(both, a & b)
BINARY(differ, a ^ b)
BINARY(shift, (int32_t)a >> (b & 31))
BINARY(less, (int32_t)a < (int32_t)b)
static void push(machine *m) { *m->top++ = *m->at++; }
static void load(machine *m) { *m->top++ = m->variables[*m->at++]; }
static void store(machine *m) { m->variables[*m->at++] = *--m->top; }
static void jump_unless(machine *m) { m->at = *--m->top ? m->at + 1 : program + *m->at; }
static void jump(machine *m) { m->at = program + *m->at; }
static void duplicate(machine *m) { m->top[0] = m->top[-1], m->top++; }
static void drop(machine *m) { m->top--; }
static void stop(machine *m) { m->is_running = 0; }

static const instruction instructions[] = {
    push, load, store, add, subtract, multiply, both, differ, shift, less, jump_unless, jump, duplicate, drop, stop};

EXPORT int64_t run(int32_t n) {
    machine m = {.at = program, .is_running = 1, .variables = {0, 0, n, 0}};
    m.top = m.stack;
    while (m.is_running) instructions[*m.at++](&m);
    return (int64_t)((uint64_t)m.variables[0] << 32 | (uint32_t)m.variables[1]);
}
