// A guest that looks at its arguments and environment, and answers with one write.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const char *place = getenv("PLACE");
    printf("Hello %s in %s.\n", argc > 1 ? argv[1] : "nobody", place ? place : "nowhere");
    return 0;
}
