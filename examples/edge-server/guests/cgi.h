// What a guest is given and answers with: RFC 3875, the Common Gateway Interface.
#include <stdio.h>
#include <stdlib.h>

static inline const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static inline void head(const char *type) { printf("Content-Type: %s\r\n\r\n", type); }
