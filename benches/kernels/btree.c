// A B-tree in pages of 4 KiB, as databases on disk have them: big-endian cell offsets behind a header,
// cells of varying length from the end, binary search by bytes, pages split when they are full.
#include "kernel.h"

#define PAGE 4096u
#define PAGES 1024u
static uint8_t pages[PAGES][PAGE] __attribute__((aligned(16)));
static uint32_t used, root;

// Header: is it a leaf (1), unused (1), cells (2), start of the cells' area (2), rightmost child (4).
enum { LEAF = 0, COUNT = 2, CONTENT = 4, RIGHT = 6, OFFSETS = 10, MOST_KEY = 40 };

static uint32_t get16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static void put16(uint8_t *p, uint32_t x) { p[0] = (uint8_t)(x >> 8), p[1] = (uint8_t)x; }
static uint32_t get32(const uint8_t *p) { return get16(p) << 16 | get16(p + 2); }
static void put32(uint8_t *p, uint32_t x) { put16(p, x >> 16), put16(p + 2, x); }

// A cell: value or left child (4), length of the key (1), key.
static uint8_t *cell(uint8_t *page, uint32_t i) { return page + get16(page + OFFSETS + i * 2); }

static int32_t compare(const uint8_t *a, uint32_t a_length, const uint8_t *b, uint32_t b_length) {
    uint32_t both = a_length < b_length ? a_length : b_length;
    for (uint32_t i = 0; i < both; i++)
        if (a[i] != b[i]) return a[i] - b[i];
    return (int32_t)a_length - (int32_t)b_length;
}

// The first cell whose key is not below; whether it is the same one.
static uint32_t search(uint8_t *page, const uint8_t *key, uint32_t length, int *is_equal) {
    uint32_t low = 0, high = get16(page + COUNT);
    *is_equal = 0;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const uint8_t *c = cell(page, middle);
        int32_t order = compare(c + 5, c[4], key, length);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
            if (order == 0) *is_equal = 1;
        }
    }
    return low;
}

static uint32_t fresh_page(int is_leaf) {
    uint8_t *page = pages[used];
    page[LEAF] = (uint8_t)is_leaf;
    put16(page + COUNT, 0);
    put16(page + CONTENT, PAGE);
    return used++;
}

static int has_room(const uint8_t *page, uint32_t length) {
    return OFFSETS + get16(page + COUNT) * 2 + 2 + 5 + length <= get16(page + CONTENT);
}

static void insert_cell(uint8_t *page, uint32_t at, uint32_t value, const uint8_t *key, uint32_t length) {
    uint32_t count = get16(page + COUNT), start = get16(page + CONTENT) - 5 - length;
    put32(page + start, value);
    page[start + 4] = (uint8_t)length;
    __builtin_memcpy(page + start + 5, key, length);
    uint8_t *offsets = page + OFFSETS;
    __builtin_memmove(offsets + at * 2 + 2, offsets + at * 2, (count - at) * 2);
    put16(offsets + at * 2, start);
    put16(page + COUNT, count + 1);
    put16(page + CONTENT, start);
}

static uint8_t scratch[PAGE];

// Moves the upper half to a page of its own, and answers it; the middle key goes to `key`.
static uint32_t split(uint32_t number, uint8_t *key, uint32_t *length) {
    uint8_t *page = pages[number];
    uint32_t count = get16(page + COUNT), half = count / 2, is_leaf = page[LEAF], right_child = get32(page + RIGHT);
    __builtin_memcpy(scratch, page, PAGE);
    uint8_t *middle = cell(scratch, half);
    *length = middle[4];
    __builtin_memcpy(key, middle + 5, *length);
    uint32_t other = fresh_page((int)is_leaf);
    put16(page + COUNT, 0), put16(page + CONTENT, PAGE);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *c = cell(scratch, i);
        if (i < half)
            insert_cell(page, i, get32(c), c + 5, c[4]);
        else if (is_leaf || i > half)
            insert_cell(pages[other], get16(pages[other] + COUNT), get32(c), c + 5, c[4]);
    }
    put32(pages[other] + RIGHT, right_child);
    if (!is_leaf) put32(page + RIGHT, get32(middle));
    return other;
}

static uint32_t child(uint8_t *page, uint32_t i) { return get32(i < get16(page + COUNT) ? cell(page, i) : page + RIGHT); }

// Keys that are equal to a separator are to its right.
static uint32_t descend(uint8_t *page, const uint8_t *key, uint32_t length) {
    int is_equal;
    uint32_t at = search(page, key, length, &is_equal);
    return at + (uint32_t)is_equal;
}

static void add(uint32_t value, const uint8_t *key, uint32_t length) {
    uint32_t path[8], depth = 0, number = root;
    while (!pages[number][LEAF]) {
        path[depth++] = number;
        number = child(pages[number], descend(pages[number], key, length));
    }
    int is_equal;
    uint32_t at = search(pages[number], key, length, &is_equal);
    if (is_equal) {
        put32(cell(pages[number], at), value);
        return;
    }
    uint8_t up[MOST_KEY], held[MOST_KEY];
    uint32_t held_length = length, left = 0;
    __builtin_memcpy(held, key, length);
    for (;;) {
        uint32_t other = 0, up_length = 0, target = number;
        if (!has_room(pages[number], held_length)) {
            other = split(number, up, &up_length);
            if (compare(held, held_length, up, up_length) >= 0) target = other;
        }
        uint8_t *page = pages[target];
        at = search(page, held, held_length, &is_equal);
        if (page[LEAF]) {
            insert_cell(page, at, value, held, held_length);
        } else {
            // `left` was split: what stood at its place now points to the new page on its right.
            if (at < get16(page + COUNT))
                put32(cell(page, at), value);
            else
                put32(page + RIGHT, value);
            insert_cell(page, at, left, held, held_length);
        }
        if (!other) return;
        left = number, value = other;
        __builtin_memcpy(held, up, up_length);
        held_length = up_length;
        if (depth) {
            number = path[--depth];
        } else {
            number = root = fresh_page(0);
            put32(pages[root] + RIGHT, left);
        }
    }
}

static uint32_t look_up(const uint8_t *key, uint32_t length) {
    uint32_t number = root;
    while (!pages[number][LEAF]) number = child(pages[number], descend(pages[number], key, length));
    int is_equal;
    uint32_t at = search(pages[number], key, length, &is_equal);
    return is_equal ? get32(cell(pages[number], at)) : 0;
}

static uint64_t scan(uint32_t number, uint64_t sum) {
    uint8_t *page = pages[number];
    for (uint32_t i = 0; i < get16(page + COUNT); i++) sum = page[LEAF] ? mix(sum, get32(cell(page, i))) : scan(child(page, i), sum);
    return page[LEAF] ? sum : scan(get32(page + RIGHT), sum);
}

static uint32_t write_key(uint8_t *key, uint32_t number) {
    static const char prefix[] = "user/";
    uint32_t length = 5;
    for (int i = 0; i < 5; i++) key[i] = (uint8_t)prefix[i];
    for (uint32_t left = number * 2654435761u; left; left >>= 5) key[length++] = (uint8_t)('a' + (left & 31) % 26);
    for (uint32_t i = number & 15; i; i--) key[length++] = '.';
    return length;
}

EXPORT int64_t run(int32_t n) {
    used = 0;
    root = fresh_page(1);
    uint32_t seed = 987654321u;
    uint64_t sum = HASH_START;
    uint8_t key[MOST_KEY];
    for (int32_t i = 0; i < n; i++) {
        add((uint32_t)i + 1, key, write_key(key, next_random(&seed) & 0xffff));
        if (i & 1) sum = mix(sum, look_up(key, write_key(key, next_random(&seed) & 0xffff)));
    }
    return (int64_t)mix(scan(root, sum), used);
}
