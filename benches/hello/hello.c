// The smallest program that does something: for the price of starting one.
#include <stdio.h>

int main(int argc, char **argv) {
    printf("Hello from %s, %d arguments.\n", argc ? argv[0] : "nobody", argc);
    return 0;
}
