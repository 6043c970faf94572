// Ends with an error.
#include "cgi.h"

int main(void) {
    head("text/plain");
    return 3;
}
