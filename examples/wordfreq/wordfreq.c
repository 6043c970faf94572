// Counts words: of the files named as arguments, or of standard input where there are none.
//
//   wordfreq [-n COUNT] [-o REPORT] [FILE...]
//
// Prints the most frequent words with a bar for each, and with -o writes all of them to a file.
// An ordinary C program: it knows nothing of the sandbox it runs in.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 63, BAR_WIDTH = 40 };

struct entry {
    char *word;
    unsigned long count;
};

static struct entry *table;
static size_t capacity, used;

static void fail(const char *what, const char *name) {
    fprintf(stderr, "wordfreq: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

static size_t slot_of(const char *word) {
    size_t hash = 5381;
    for (const char *p = word; *p; p++) hash = hash * 33 + (unsigned char)*p;
    size_t slot = hash & (capacity - 1);
    while (table[slot].word && strcmp(table[slot].word, word) != 0)
        slot = (slot + 1) & (capacity - 1);
    return slot;
}

static void grow(void) {
    struct entry *old = table;
    size_t old_capacity = capacity;
    capacity = capacity ? capacity * 2 : 1024;
    table = calloc(capacity, sizeof *table);
    if (!table) fail("no memory for", "the table");
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].word) table[slot_of(old[i].word)] = old[i];
    free(old);
}

static void count(const char *word) {
    if (used * 2 >= capacity) grow();
    struct entry *entry = &table[slot_of(word)];
    if (!entry->word) {
        entry->word = strdup(word);
        if (!entry->word) fail("no memory for", word);
        used++;
    }
    entry->count++;
}

static unsigned long read_words(FILE *file) {
    char word[LONGEST_WORD + 1];
    size_t length = 0;
    unsigned long words = 0;
    for (;;) {
        int c = getc(file);
        if (c != EOF && (isalpha(c) || c >= 128)) {
            if (length < LONGEST_WORD) word[length++] = (char)tolower(c);
        } else if (length) {
            word[length] = 0;
            count(word);
            words++;
            length = 0;
        }
        if (c == EOF) return words;
    }
}

static int by_count(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->word, y->word);
}

static void print_chart(const struct entry *entries, size_t most) {
    for (size_t i = 0; i < used && i < most; i++) {
        int bar = (int)(entries[i].count * BAR_WIDTH / entries[0].count);
        printf("%6lu  %-14s ", entries[i].count, entries[i].word);
        for (int n = 0; n < bar; n++) putchar('#');
        putchar('\n');
    }
}

static void write_report(const char *name, const struct entry *entries) {
    FILE *file = fopen(name, "w");
    if (!file) fail("cannot write", name);
    for (size_t i = 0; i < used; i++)
        fprintf(file, "%s,%lu\n", entries[i].word, entries[i].count);
    if (fclose(file) != 0) fail("cannot write", name);
    printf("all %zu words are in %s\n", used, name);
}

int main(int argc, char **argv) {
    const char *report = NULL;
    size_t most = 10;
    unsigned long words = 0;
    int arg = 1;
    for (; arg + 1 < argc && argv[arg][0] == '-' && argv[arg][1]; arg += 2) {
        if (strcmp(argv[arg], "-n") == 0) most = strtoul(argv[arg + 1], NULL, 10);
        else if (strcmp(argv[arg], "-o") == 0) report = argv[arg + 1];
        else break;
    }
    grow();
    if (arg == argc) words += read_words(stdin);
    for (; arg < argc; arg++) {
        FILE *file = fopen(argv[arg], "r");
        if (!file) fail("cannot read", argv[arg]);
        words += read_words(file);
        fclose(file);
    }
    printf("%lu words, %zu different\n", words, used);
    struct entry *sorted = calloc(used ? used : 1, sizeof *sorted);
    if (!sorted) fail("no memory for", "the result");
    size_t n = 0;
    for (size_t i = 0; i < capacity; i++)
        if (table[i].word) sorted[n++] = table[i];
    qsort(sorted, n, sizeof *sorted, by_count);
    print_chart(sorted, most);
    if (report) write_report(report, sorted);
    return 0;
}
