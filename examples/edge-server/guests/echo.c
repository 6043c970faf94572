// Answers with what it was asked, and with proof that nobody was here before.
#include "cgi.h"

static int earlier;
static char kept[1 << 16];

int main(void) {
    printf("Status: 201 Echoed\r\nX-Earlier: %d\r\nX-Kept: %s\r\n", earlier++, kept);
    head("text/plain");
    printf("%s %s?%s from %s\n", variable("REQUEST_METHOD"), variable("PATH_INFO"),
           variable("QUERY_STRING"), variable("HTTP_USER_AGENT"));
    size_t length;
    while ((length = fread(kept, 1, sizeof kept - 1, stdin)) > 0) fwrite(kept, 1, length, stdout);
    return 0;
}
