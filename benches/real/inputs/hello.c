#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct word { const char *text; int count; } word;

static int by_text(const void *a, const void *b) { return strcmp(((const word *)a)->text, ((const word *)b)->text); }

int main(int argc, char **argv) {
    word words[] = {{"slab", 3}, {"beam", 1}, {"lintel", 4}, {"column", 1}, {"truss", 5}};
    qsort(words, 5, sizeof(word), by_text);
    double sum = 0;
    for (int i = 0; i < 5; i++) printf("%-8s %d\n", words[i].text, words[i].count), sum += words[i].count / 3.0;
    printf("%d %.6f\n", argc, sum);
    return (int)sum;
}
