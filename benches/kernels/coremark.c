// After CoreMark's mix: a linked list that is searched and sorted, small integer matrices, a state
// machine over text, and a CRC over the results of each.
#include "kernel.h"

typedef struct item {
    struct item *next;
    int16_t value, place;
} item;
typedef int32_t (*comparison)(const item *, const item *);

static item items[256];
static int16_t left[32][32], right[32][32];
static int32_t product[32][32];
static const char *const samples[8] = {"5012", "-874", "+122.0", ".1234", "35.54400", "5.500e+3", "T0.3e-1F", "-110.e77x"};

static uint16_t crc_byte(uint16_t crc, uint8_t byte) {
    for (int bit = 0; bit < 8; bit++) {
        uint16_t carry = (uint16_t)((crc ^ byte) & 1);
        byte >>= 1;
        crc = (uint16_t)(crc >> 1 ^ (carry ? 0xa001 : 0));
    }
    return crc;
}
static uint16_t crc_word(uint16_t crc, uint32_t word) {
    for (int i = 0; i < 4; i++) crc = crc_byte(crc, (uint8_t)(word >> i * 8));
    return crc;
}

static int32_t by_value(const item *a, const item *b) { return a->value - b->value; }
static int32_t by_place(const item *a, const item *b) { return a->place - b->place; }

// Merge sort from the bottom up, in place.
static item *sort(item *list, comparison compare) {
    for (uint32_t width = 1;; width *= 2) {
        item *rest = list, *tail = NULL;
        uint32_t merges = 0;
        list = NULL;
        while (rest) {
            merges++;
            item *a = rest, *b = rest;
            uint32_t in_a = 0, in_b = width;
            while (in_a < width && b) in_a++, b = b->next;
            while (in_a || (in_b && b)) {
                item *least;
                if (in_a && (!in_b || !b || compare(a, b) <= 0))
                    least = a, a = a->next, in_a--;
                else
                    least = b, b = b->next, in_b--;
                if (tail)
                    tail->next = least;
                else
                    list = least;
                tail = least;
            }
            rest = b;
        }
        tail->next = NULL;
        if (merges <= 1) return list;
    }
}

static item *reverse(item *list) {
    item *reversed = NULL;
    while (list) {
        item *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

static uint16_t lists(uint16_t crc, uint32_t round) {
    uint32_t seed = round * 2654435761u | 1;
    for (int i = 0; i < 256; i++) items[i] = (item){i < 255 ? &items[i + 1] : NULL, (int16_t)(next_random(&seed) & 0x3ff), (int16_t)i};
    item *list = items;
    for (int find = 0; find < 32; find++) {
        const item *at = list;
        while (at && at->value != find * 32) at = at->next;
        crc = crc_word(crc, at ? (uint32_t)at->place : 999);
        list = reverse(list);
    }
    list = sort(list, by_value);
    for (const item *at = list; at; at = at->next) crc = crc_byte(crc, (uint8_t)at->value);
    list = sort(list, by_place);
    return crc_word(crc, (uint32_t)list->next->value);
}

static uint16_t matrices(uint16_t crc, uint32_t round) {
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++) {
            left[i][j] = (int16_t)((uint32_t)(i * 7 + j) * (round | 1) & 0xff);
            right[i][j] = (int16_t)(left[i][j] + i - j);
        }
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++) {
            int32_t sum = 0;
            for (int k = 0; k < 32; k++) {
                int32_t term = left[i][k] * right[k][j];
                sum += (term >> 2 & 0xf) * (term >> 5 & 0x7f);
            }
            product[i][j] = sum;
        }
    for (int i = 0; i < 32; i++) crc = crc_word(crc, (uint32_t)product[i][(i * 5) & 31]);
    return crc;
}

enum state { BEGIN, SIGN, INTEGER, FRACTION, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, INVALID, STATES };

static enum state step(enum state state, char c) {
    int is_digit = c >= '0' && c <= '9';
    switch (state) {
    case BEGIN: return is_digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? FRACTION : INVALID;
    case SIGN: return is_digit ? INTEGER : c == '.' ? FRACTION : INVALID;
    case INTEGER: return is_digit ? INTEGER : c == '.' ? FRACTION : INVALID;
    case FRACTION: return is_digit ? FRACTION : c == 'e' || c == 'E' ? EXPONENT : INVALID;
    case EXPONENT: return c == '+' || c == '-' ? EXPONENT_SIGN : INVALID;
    case EXPONENT_SIGN:
    case SCIENTIFIC: return is_digit ? SCIENTIFIC : INVALID;
    default: return INVALID;
    }
}

static uint16_t states(uint16_t crc, uint32_t round) {
    uint32_t finals[STATES] = {0}, passed[STATES] = {0}, seed = round | 1;
    for (int i = 0; i < 200; i++) {
        enum state state = BEGIN;
        for (const char *c = samples[next_random(&seed) & 7]; *c; c++) {
            passed[state]++;
            state = step(state, *c);
        }
        finals[state]++;
    }
    for (int i = 0; i < STATES; i++) crc = crc_word(crc, finals[i] << 16 | passed[i]);
    return crc;
}

EXPORT int64_t run(int32_t n) {
    uint16_t crc = 0xffff;
    uint64_t sum = HASH_START;
    for (int32_t round = 0; round < n; round++) {
        crc = lists(crc, (uint32_t)round);
        crc = matrices(crc, (uint32_t)round);
        crc = states(crc, (uint32_t)round);
        sum = mix(sum, crc);
    }
    return (int64_t)sum;
}
