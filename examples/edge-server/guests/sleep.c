// Hostile: waits for an hour.
#include <time.h>

int main(void) {
    struct timespec hour = {3600, 0};
    return nanosleep(&hour, 0);
}
