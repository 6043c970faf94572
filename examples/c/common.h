/* What all of the examples do with an error: say it, and end. */
#ifndef COMMON_H
#define COMMON_H

#include <precast.h>
#include <stdio.h>
#include <stdlib.h>

static inline void must(precast_error *error) {
    if (error != NULL) {
        fprintf(stderr, "error: %s\n", precast_error_report(error));
        precast_error_delete(error);
        exit(1);
    }
}

#endif
