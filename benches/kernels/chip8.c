// A CHIP-8 machine: fetch, decode by nibbles, execute. Its program draws sprites at random places,
// counts collisions, and shows the count in decimal digits, over and over.
#include "kernel.h"

static uint8_t memory[4096], screen[32][64], v[16];
static uint16_t pc, index_register, stack[16];
static uint8_t top, delay;
static uint32_t seed;

static const uint8_t digits[80] = {
    0xf0, 0x90, 0x90, 0x90, 0xf0, 0x20, 0x60, 0x20, 0x20, 0x70, 0xf0, 0x10, 0xf0, 0x80, 0xf0, 0xf0, 0x10, 0xf0, 0x10, 0xf0,
    0x90, 0x90, 0xf0, 0x10, 0x10, 0xf0, 0x80, 0xf0, 0x10, 0xf0, 0xf0, 0x80, 0xf0, 0x90, 0xf0, 0xf0, 0x10, 0x20, 0x40, 0x40,
    0xf0, 0x90, 0xf0, 0x90, 0xf0, 0xf0, 0x90, 0xf0, 0x10, 0xf0, 0xf0, 0x90, 0xf0, 0x90, 0x90, 0xe0, 0x90, 0xe0, 0x90, 0xe0,
    0xf0, 0x80, 0x80, 0x80, 0xf0, 0xe0, 0x90, 0x90, 0x90, 0xe0, 0xf0, 0x80, 0xf0, 0x80, 0xf0, 0xf0, 0x80, 0xf0, 0x80, 0x80};

static const uint16_t program[] = {
    /* 200 */ 0x6a00, // va = 0: collisions
    /* 202 */ 0x6b28, // vb = 40: sprites until the screen is cleared
    /* 204 */ 0xc03f, // v0 = random & 63
    /* 206 */ 0xc11f, // v1 = random & 31
    /* 208 */ 0xc20f, // v2 = random & 15
    /* 20a */ 0xf229, // i = digit v2
    /* 20c */ 0xd015, // draw five rows at v0, v1
    /* 20e */ 0x8af4, // va += vf
    /* 210 */ 0x8010, // v0 = v1
    /* 212 */ 0x8026, // v0 >>= 1
    /* 214 */ 0x8023, // v0 ^= v2
    /* 216 */ 0x3a00, // skip if va == 0
    /* 218 */ 0x2228, // call 228
    /* 21a */ 0x7bff, // vb -= 1
    /* 21c */ 0x3b00, // skip if vb == 0
    /* 21e */ 0x1204, // go to 204
    /* 220 */ 0x00e0, // clear
    /* 222 */ 0xf015, // delay = v0
    /* 224 */ 0x1202, // go to 202
    /* 226 */ 0x0000,
    /* 228 */ 0xa300, // i = 300
    /* 22a */ 0xfa33, // decimal digits of va
    /* 22c */ 0xf265, // v0..v2 = them
    /* 22e */ 0x6300, // v3 = 0
    /* 230 */ 0xf029, // i = digit v0
    /* 232 */ 0xd335, // draw
    /* 234 */ 0x7305, // v3 += 5
    /* 236 */ 0xf129, // i = digit v1
    /* 238 */ 0xd335, // draw
    /* 23a */ 0x4a64, // skip if va != 100
    /* 23c */ 0x6a00, // va = 0
    /* 23e */ 0x00ee, // return
};

static void draw(uint8_t x, uint8_t y, uint8_t rows) {
    v[15] = 0;
    for (int row = 0; row < rows; row++) {
        uint8_t bits = memory[(index_register + row) & 4095];
        for (int column = 0; column < 8; column++) {
            if (!(bits & 0x80 >> column)) continue;
            uint8_t *pixel = &screen[(y + row) & 31][(x + column) & 63];
            v[15] |= *pixel;
            *pixel ^= 1;
        }
    }
}

static void arithmetic(uint8_t *x, uint8_t y, int operation) {
    uint8_t a = *x, flag = v[15];
    switch (operation) {
    case 0: *x = y; break;
    case 1: *x |= y; break;
    case 2: *x &= y; break;
    case 3: *x ^= y; break;
    case 4: *x = (uint8_t)(a + y), flag = a + y > 255; break;
    case 5: *x = (uint8_t)(a - y), flag = a >= y; break;
    case 6: *x = a >> 1, flag = a & 1; break;
    case 7: *x = (uint8_t)(y - a), flag = y >= a; break;
    case 14: *x = (uint8_t)(a << 1), flag = a >> 7; break;
    }
    if (operation > 3) v[15] = flag;
}

static void memory_and_timers(uint8_t x, uint8_t operation) {
    switch (operation) {
    case 0x07: v[x] = delay; break;
    case 0x15: delay = v[x]; break;
    case 0x1e: index_register = (uint16_t)(index_register + v[x]); break;
    case 0x29: index_register = (uint16_t)((v[x] & 15) * 5); break;
    case 0x33:
        memory[index_register & 4095] = v[x] / 100;
        memory[(index_register + 1) & 4095] = v[x] / 10 % 10;
        memory[(index_register + 2) & 4095] = v[x] % 10;
        break;
    case 0x55:
        for (int i = 0; i <= x; i++) memory[(index_register + i) & 4095] = v[i];
        break;
    case 0x65:
        for (int i = 0; i <= x; i++) v[i] = memory[(index_register + i) & 4095];
        break;
    }
}

static void step(void) {
    uint16_t word = (uint16_t)(memory[pc & 4095] << 8 | memory[(pc + 1) & 4095]), address = word & 0xfff;
    uint8_t x = word >> 8 & 15, y = word >> 4 & 15, byte = (uint8_t)word;
    pc += 2;
    switch (word >> 12) {
    case 0x0:
        if (word == 0x00ee)
            pc = stack[--top & 15];
        else if (word == 0x00e0)
            for (int i = 0; i < 32 * 64; i++) screen[i / 64][i % 64] = 0;
        break;
    case 0x1: pc = address; break;
    case 0x2: stack[top++ & 15] = pc, pc = address; break;
    case 0x3: pc += v[x] == byte ? 2 : 0; break;
    case 0x4: pc += v[x] != byte ? 2 : 0; break;
    case 0x5: pc += v[x] == v[y] ? 2 : 0; break;
    case 0x6: v[x] = byte; break;
    case 0x7: v[x] = (uint8_t)(v[x] + byte); break;
    case 0x8: arithmetic(&v[x], v[y], word & 15); break;
    case 0x9: pc += v[x] != v[y] ? 2 : 0; break;
    case 0xa: index_register = address; break;
    case 0xb: pc = (uint16_t)(address + v[0]); break;
    case 0xc: v[x] = (uint8_t)(next_random(&seed) >> 11) & byte; break;
    case 0xd: draw(v[x], v[y], word & 15); break;
    case 0xf: memory_and_timers(x, byte); break;
    }
}

EXPORT int64_t run(int32_t n) {
    for (int i = 0; i < 4096; i++) memory[i] = 0;
    for (int i = 0; i < 80; i++) memory[i] = digits[i];
    for (uint32_t i = 0; i < sizeof program / 2; i++) memory[0x200 + i * 2] = (uint8_t)(program[i] >> 8), memory[0x201 + i * 2] = (uint8_t)program[i];
    for (int i = 0; i < 32 * 64; i++) screen[i / 64][i % 64] = 0;
    for (int i = 0; i < 16; i++) v[i] = 0, stack[i] = 0;
    pc = 0x200, index_register = 0, top = delay = 0, seed = 135792468u;
    uint64_t sum = HASH_START;
    for (int32_t cycle = 0; cycle < n; cycle++) {
        step();
        if ((cycle & 4095) == 0) {
            for (int i = 0; i < 32 * 64; i += 7) sum = mix(sum, screen[i / 64][i % 64]);
            if (delay) delay--;
        }
    }
    for (int i = 0; i < 16; i++) sum = mix(sum, v[i]);
    return (int64_t)mix(sum, pc);
}
