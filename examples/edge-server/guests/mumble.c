// Answers with no head.
#include "cgi.h"

int main(void) {
    puts("this is not an answer");
    return 0;
}
