// Hostile: answers without end.
#include "cgi.h"

int main(void) {
    head("text/plain");
    for (;;) puts("more and more and more and more and more and more and more and more");
}
