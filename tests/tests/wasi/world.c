// Arguments, environment, standard streams, clocks, waiting, exit codes.
// Built by: python -m ziglang cc -target wasm32-wasi -Os -s world.c -o world.wasm
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void clocks(void) {
  long long start = now(CLOCK_MONOTONIC);
  struct timespec pause = {0, 20000000};
  int slept = nanosleep(&pause, NULL);
  long long gone = now(CLOCK_MONOTONIC) - start;
  printf("sleep %d, long enough %d\n", slept, gone >= 20000000);
  printf("calendar %d\n", now(CLOCK_REALTIME) > 1700000000LL * 1000000000);
  struct timespec resolution;
  printf("resolution %d\n", clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_nsec > 0);
  unsigned char bytes[64] = {0};
  int same = 0;
  printf("entropy %d\n", getentropy(bytes, sizeof bytes));
  for (int index = 1; index < 64; index++) same += bytes[index] == bytes[0];
  printf("random %d\n", same < 20);
  printf("yield %d\n", sched_yield());
}

static void streams(void) {
  struct pollfd fds[] = {{0, POLLRDNORM, 0}, {1, POLLWRNORM, 0}};
  int ready = poll(fds, 2, 1000);
  printf("ready %d, writable %d\n", ready > 0, (fds[1].revents & POLLWRNORM) != 0);
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    printf("line \"%s\"\n", line);
  }
  fprintf(stderr, "on standard error\n");
  printf("terminal %d %d\n", isatty(0), isatty(1));
  errno = 0;
  printf("seek %lld %s\n", (long long)lseek(1, 0, SEEK_CUR), strerror(errno));
}

int main(int count, char **args) {
  for (int index = 1; index < count; index++) printf("argument \"%s\"\n", args[index]);
  for (char **variable = environ; *variable; variable++) printf("variable %s\n", *variable);
  clocks();
  streams();
  int code = count > 1 ? atoi(args[1]) : 0;
  if (code == 99) abort();
  exit(code);
}
