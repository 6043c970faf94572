// The smallest answer.
#include "cgi.h"

int main(void) {
    head("text/plain");
    const char *query = variable("QUERY_STRING");
    printf("Hello, %s!\n", *query ? query : "world");
    return 0;
}
