// Tries to read a file through a directory that others turn into a link out of the sandbox.
// Exits with 1 if it ever reads the secret, with 2 if it never read what it may.
// Built by: python -m ziglang cc -target wasm32-wasi -Os -s race.c -o race.wasm
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const paths[] = {"now/file", "now/../now/file", "now/inner/../file", "now/./file"};

int main(void) {
  time_t end = time(NULL) + 2;
  int allowed = 0;
  for (int round = 0; time(NULL) < end; round++) {
    char byte = 0;
    struct stat known;
    int fd = open(paths[round % 4], O_RDONLY);
    if (fd < 0) continue;
    read(fd, &byte, 1);
    close(fd);
    if (byte == 'S') return 1;
    allowed += byte == 'A';
    // The secret is the only file of this size.
    if (stat(paths[round % 4], &known) == 0 && known.st_size == 1000) return 1;
    // Nothing may come to be beside the secret.
    close(open("now/made", O_WRONLY | O_CREAT, 0666));
    link("file", "now/linked");
    rename("now/made", "now/renamed");
    symlink("x", "now/symlink");
    mkdir("now/directory", 0777);
    unlink("now/linked");
    unlink("now/renamed");
    unlink("now/symlink");
    rmdir("now/directory");
  }
  return allowed ? 0 : 2;
}
