// Hostile: takes all the memory it can get, and answers how many mebibytes that was.
#include "cgi.h"

int main(void) {
    int got = 0;
    for (volatile char *piece; (piece = malloc(1 << 20)); got++)
        for (int at = 0; at < 1 << 20; at += 4096) piece[at] = 0x5e;
    head("text/plain");
    printf("%d\n", got);
    return 0;
}
