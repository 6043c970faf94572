// JSON: a document is written, parsed into a tree by recursive descent, searched, and written again.
#include "kernel.h"

typedef enum { NOTHING, NO, YES, NUMBER, TEXT, LIST, OBJECT } kind;
typedef struct node {
    kind kind;
    uint32_t key, key_length, text, length;
    double number;
    struct node *first, *next;
} node;

static char source[65536], strings[65536], output[65536];
static node nodes[16384];
static uint32_t node_count, string_top, written;
static const char *at;
static int is_broken;

static node *value(void);

static void skip(void) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
}

static uint32_t hex(void) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++, at++)
        code = code * 16 + (uint32_t)(*at <= '9' ? *at - '0' : (*at | 32) - 'a' + 10);
    return code;
}

static void string(uint32_t *start, uint32_t *length) {
    *start = string_top;
    for (at++; *at != '"'; at++) {
        if (!*at) {
            is_broken = 1;
            break;
        }
        if (*at != '\\') {
            strings[string_top++] = *at;
            continue;
        }
        switch (*++at) {
        case 'n': strings[string_top++] = '\n'; break;
        case 't': strings[string_top++] = '\t'; break;
        case 'u': {
            at++;
            uint32_t code = hex();
            at--;
            if (code < 0x80) {
                strings[string_top++] = (char)code;
            } else if (code < 0x800) {
                strings[string_top++] = (char)(0xc0 | code >> 6);
                strings[string_top++] = (char)(0x80 | (code & 63));
            } else {
                strings[string_top++] = (char)(0xe0 | code >> 12);
                strings[string_top++] = (char)(0x80 | (code >> 6 & 63));
                strings[string_top++] = (char)(0x80 | (code & 63));
            }
            break;
        }
        default: strings[string_top++] = *at;
        }
    }
    at++;
    *length = string_top - *start;
}

static double number(void) {
    int is_negative = *at == '-';
    if (is_negative) at++;
    double result = 0, scale = 1;
    for (; *at >= '0' && *at <= '9'; at++) result = result * 10 + (*at - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) result += (*at - '0') * (scale *= 0.1);
    if (*at == 'e' || *at == 'E') {
        at++;
        int is_small = *at == '-', exponent = 0;
        if (*at == '-' || *at == '+') at++;
        for (; *at >= '0' && *at <= '9'; at++) exponent = exponent * 10 + (*at - '0');
        for (; exponent > 0; exponent--) result = is_small ? result * 0.1 : result * 10;
    }
    return is_negative ? -result : result;
}

static void members(node *parent, char close) {
    node **link = &parent->first;
    at++;
    skip();
    if (*at == close) {
        at++;
        return;
    }
    for (;;) {
        uint32_t key = 0, length = 0;
        skip();
        if (close == '}') {
            string(&key, &length);
            skip();
            if (*at++ != ':') is_broken = 1;
        }
        node *child = value();
        child->key = key, child->key_length = length;
        *link = child;
        link = &child->next;
        skip();
        if (is_broken || *at++ != ',') break;
    }
    if (at[-1] != close) is_broken = 1;
}

static node *value(void) {
    node *fresh = &nodes[node_count++];
    *fresh = (node){.kind = NOTHING};
    skip();
    switch (*at) {
    case '{': fresh->kind = OBJECT, members(fresh, '}'); break;
    case '[': fresh->kind = LIST, members(fresh, ']'); break;
    case '"': fresh->kind = TEXT, string(&fresh->text, &fresh->length); break;
    case 't': fresh->kind = YES, at += 4; break;
    case 'f': fresh->kind = NO, at += 5; break;
    case 'n': at += 4; break;
    default: fresh->kind = NUMBER, fresh->number = number();
    }
    return fresh;
}

static void put(char c) { output[written++ & 65535] = c; }

static void put_text(uint32_t start, uint32_t length) {
    put('"');
    for (uint32_t i = 0; i < length; i++) {
        char c = strings[start + i];
        if (c == '"' || c == '\\') put('\\');
        if (c == '\n')
            put('\\'), put('n');
        else
            put(c);
    }
    put('"');
}

static void put_number(double x) {
    if (x < 0) put('-'), x = -x;
    uint32_t whole = (uint32_t)x, digits = 0;
    char buffer[12];
    do buffer[digits++] = (char)('0' + whole % 10);
    while (whole /= 10);
    while (digits) put(buffer[--digits]);
    put('.');
    put((char)('0' + (uint32_t)(x * 10) % 10));
}

static void write_node(const node *n) {
    switch (n->kind) {
    case NOTHING: put('n'); break;
    case NO: put('f'); break;
    case YES: put('t'); break;
    case NUMBER: put_number(n->number); break;
    case TEXT: put_text(n->text, n->length); break;
    default:
        put(n->kind == LIST ? '[' : '{');
        for (const node *child = n->first; child; child = child->next) {
            if (n->kind == OBJECT) put_text(child->key, child->key_length), put(':');
            write_node(child);
            if (child->next) put(',');
        }
        put(n->kind == LIST ? ']' : '}');
    }
}

static double total(const node *n, const char *key) {
    double sum = 0;
    for (const node *child = n->first; child; child = child->next) {
        uint32_t i = 0;
        while (i < child->key_length && strings[child->key + i] == key[i]) i++;
        if (child->kind == NUMBER && i == child->key_length && !key[i]) sum += child->number;
        sum += total(child, key);
    }
    return sum;
}

static uint32_t write_source(void) {
    static const char *const parts[6] = {
        "{\"name\": \"slab\\u00e9 \\\"A\\\"\", \"width\": 12.75, \"tags\": [\"wet\", \"cast\", null],",
        " \"cure\": {\"days\": 28, \"strength\": -3.5e2, \"ok\": true},",
        " \"notes\": \"poured\\nat dawn\\tin the yard, and left to set\",",
        " \"points\": [[0.5, 1.25, 3], [7, 8.125, 9e1], []], \"more\": {},",
        " \"id\": ", "}"};
    uint32_t length = 0, seed = 246813579u;
    source[length++] = '[';
    while (length < 60000) {
        if (length > 1) source[length++] = ',';
        for (int part = 0; part < 6; part++) {
            if (part > 0 && part < 4 && (next_random(&seed) & 3) == 0) continue;
            for (const char *c = parts[part]; *c; c++) source[length++] = *c;
            if (part == 4) source[length++] = (char)('1' + (next_random(&seed) & 7));
        }
    }
    source[length++] = ']';
    source[length] = 0;
    return length;
}

EXPORT int64_t run(int32_t n) {
    uint64_t sum = mix(HASH_START, write_source());
    for (int32_t round = 0; round < n; round++) {
        node_count = string_top = written = 0;
        is_broken = 0;
        at = source;
        const node *root = value();
        sum = mix(mix(sum, node_count), string_top + (uint32_t)is_broken);
        sum = mix(sum, (uint64_t)(int64_t)(total(root, "strength") + total(root, "id")));
        write_node(root);
        sum = mix(mix(sum, written), (uint8_t)output[(uint32_t)round * 131 % written]);
    }
    return (int64_t)sum;
}
