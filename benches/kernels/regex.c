// Regular expressions: compiled to instructions, matched by backtracking (recursion) and, for the
// same expressions, by following all threads at once.
#include "kernel.h"

typedef enum { LETTER, ANY, CLASS, SPLIT, JUMP, MATCH } opcode;
typedef struct {
    opcode op;
    int32_t x, y;
} instruction;

static instruction code[256];
static uint32_t classes[16][8];
static int32_t size, class_count;
static const char *pattern;
static char text[16384];

static int32_t emit(opcode op, int32_t x, int32_t y) {
    code[size] = (instruction){op, x, y};
    return size++;
}

// Makes room for one instruction before those from `from` on.
static void open_up(int32_t from) {
    for (int32_t i = size++; i > from; i--) {
        code[i] = code[i - 1];
        if (code[i].op != SPLIT && code[i].op != JUMP) continue;
        if (code[i].x >= from) code[i].x++;
        if (code[i].op == SPLIT && code[i].y >= from) code[i].y++;
    }
}

static void alternatives(void);

static void set(uint32_t *bits, uint8_t c) { bits[c >> 5] |= 1u << (c & 31); }

static void bracket(void) {
    uint32_t *bits = classes[class_count];
    for (int i = 0; i < 8; i++) bits[i] = 0;
    int is_negated = *pattern == '^';
    if (is_negated) pattern++;
    for (; *pattern && *pattern != ']'; pattern++) {
        uint8_t low = (uint8_t)*pattern, high = low;
        if (pattern[1] == '-' && pattern[2] != ']') high = (uint8_t)pattern[2], pattern += 2;
        for (uint32_t c = low; c <= high; c++) set(bits, (uint8_t)c);
    }
    pattern++;
    if (is_negated)
        for (int i = 0; i < 8; i++) bits[i] = ~bits[i];
    emit(CLASS, class_count++, 0);
}

static void piece(void) {
    int32_t from = size;
    char c = *pattern++;
    if (c == '(') {
        alternatives();
        pattern++;
    } else if (c == '[') {
        bracket();
    } else if (c == '.') {
        emit(ANY, 0, 0);
    } else {
        emit(LETTER, c == '\\' ? *pattern++ : c, 0);
    }
    if (*pattern == '+') {
        emit(SPLIT, from, size + 1);
    } else if (*pattern == '*') {
        open_up(from);
        emit(JUMP, from, 0);
        code[from] = (instruction){SPLIT, from + 1, size};
    } else if (*pattern == '?') {
        open_up(from);
        code[from] = (instruction){SPLIT, from + 1, size};
    } else {
        return;
    }
    pattern++;
}

static void alternatives(void) {
    int32_t from = size;
    while (*pattern && *pattern != '|' && *pattern != ')') piece();
    if (*pattern != '|') return;
    pattern++;
    open_up(from);
    int32_t jump = emit(JUMP, 0, 0);
    code[from] = (instruction){SPLIT, from + 1, size};
    alternatives();
    code[jump].x = size;
}

static int fits(const instruction *i, char c) {
    switch (i->op) {
    case LETTER: return c == (char)i->x;
    case ANY: return c != '\n';
    default: return classes[i->x][(uint8_t)c >> 5] >> ((uint8_t)c & 31) & 1;
    }
}

// The end of the match that starts at `at`, or null.
static const char *backtrack(int32_t pc, const char *at) {
    for (;;) {
        const instruction *i = &code[pc];
        switch (i->op) {
        case MATCH: return at;
        case JUMP: pc = i->x; break;
        case SPLIT: {
            const char *end = backtrack(i->x, at);
            if (end) return end;
            pc = i->y;
            break;
        }
        default:
            if (!*at || !fits(i, *at)) return NULL;
            at++, pc++;
        }
    }
}

static int32_t threads[2][256], counts[2];
static uint32_t seen[256], generation;

static void follow(int which, int32_t pc) {
    if (seen[pc] == generation) return;
    seen[pc] = generation;
    if (code[pc].op == JUMP) {
        follow(which, code[pc].x);
    } else if (code[pc].op == SPLIT) {
        follow(which, code[pc].x);
        follow(which, code[pc].y);
    } else {
        threads[which][counts[which]++] = pc;
    }
}

// How many places of the text a match ends at, wherever it started.
static uint32_t simulate(const char *at) {
    uint32_t ends = 0;
    counts[0] = 0;
    for (int now = 0;; now ^= 1, at++) {
        generation++;
        for (int32_t i = 0; i < counts[now]; i++) seen[threads[now][i]] = generation;
        follow(now, 0);
        counts[now ^ 1] = 0;
        generation++;
        for (int32_t i = 0; i < counts[now]; i++) {
            const instruction *instruction = &code[threads[now][i]];
            if (instruction->op == MATCH)
                ends++;
            else if (*at && fits(instruction, *at))
                follow(now ^ 1, threads[now][i] + 1);
        }
        if (!*at) return ends;
    }
}

static void write_text(void) {
    static const char *const words[12] = {"precast", "2024-11-03", "a@b.org", "beam", "foo.bar@example.com", "slab", "aaaaab",
                                          "17", "the", "mould", "x=42;", "concrete"};
    uint32_t seed = 777777777u, length = 0;
    while (length < sizeof text - 32) {
        for (const char *c = words[next_random(&seed) % 12]; *c; c++) text[length++] = *c;
        text[length++] = seed & 0x1f00 ? ' ' : '\n';
    }
    text[length] = 0;
}

EXPORT int64_t run(int32_t n) {
    static const char *const patterns[6] = {
        "[a-z.]+@[a-z]+\\.(com|org)", "[0-9][0-9]*-[0-9]+-[0-9]+", "(a|aa)+b", "(beam|slab|mould) +(the|17)?", "[^ ]*=[0-9]+;", "c.*e"};
    uint64_t sum = HASH_START;
    write_text();
    for (int32_t round = 0; round < n; round++) {
        pattern = patterns[round % 6];
        size = class_count = 0;
        alternatives();
        emit(MATCH, 0, 0);
        uint32_t found = 0;
        for (const char *at = text; *at;) {
            const char *end = backtrack(0, at);
            found += end != NULL;
            at = end && end > at ? end : at + 1;
        }
        sum = mix(mix(sum, found), simulate(text));
    }
    return (int64_t)sum;
}
