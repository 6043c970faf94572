// A loop over bytecode with a switch: the shape of every scripting language.
#include "kernel.h"

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

EXPORT int64_t run(int32_t n) {
    int32_t stack[32], variables[4] = {0, 0, n, 0};
    int32_t *top = stack;
    const int32_t *at = program;
    for (;;) {
        switch (*at++) {
        case PUSH: *top++ = *at++; break;
        case LOAD: *top++ = variables[*at++]; break;
        case STORE: variables[*at++] = *--top; break;
        case ADD: top--; top[-1] = (int32_t)((uint32_t)top[-1] + (uint32_t)top[0]); break;
        case SUB: top--; top[-1] = (int32_t)((uint32_t)top[-1] - (uint32_t)top[0]); break;
        case MUL: top--; top[-1] = (int32_t)((uint32_t)top[-1] * (uint32_t)top[0]); break;
        case AND: top--; top[-1] &= top[0]; break;
        case XOR: top--; top[-1] ^= top[0]; break;
        case SHIFT: top--; top[-1] >>= top[0] & 31; break;
        case LESS: top--; top[-1] = top[-1] < top[0]; break;
        case JUMP_UNLESS: at = *--top ? at + 1 : program + *at; break;
        case JUMP: at = program + *at; break;
        case DUP: top[0] = top[-1]; top++; break;
        case DROP: top--; break;
        default: return ((int64_t)variables[0] << 32) | (uint32_t)variables[1];
        }
    }
}
