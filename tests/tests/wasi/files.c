// Everything a C program does with files, one line of output per step.
// Built by: python -m ziglang cc -target wasm32-wasi -Os -s files.c -o files.wasm
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// Makes a call and prints what it answered, or why it failed.
#define ONCE(call)                                                              \
  do {                                                                          \
    errno = 0;                                                                  \
    long long result = (call);                                                  \
    if (result < 0) printf("%s: %s\n", #call, strerror(errno));                     \
    else printf("%s: %lld\n", #call, result);                                   \
  } while (0)

static void show(const char *path) {
  char buffer[256];
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  ssize_t count = read(fd, buffer, sizeof buffer);
  printf("%s holds \"%.*s\"\n", path, (int)count, buffer);
  close(fd);
}

static void write_and_seek(void) {
  int fd = open("a.txt", O_RDWR | O_CREAT | O_TRUNC, 0666);
  ONCE(write(fd, "hello, world", 12));
  ONCE(lseek(fd, -5, SEEK_END));
  ONCE(write(fd, "WORLD", 5));
  ONCE(pwrite(fd, "J", 1, 0));
  char buffer[32] = {0};
  ONCE(pread(fd, buffer, 4, 1));
  printf("read %s\n", buffer);
  ONCE(lseek(fd, 0, SEEK_CUR));
  ONCE(lseek(fd, -1, SEEK_SET));
  ONCE(ftruncate(fd, 5));
  struct iovec pieces[] = {{"-", 1}, {"", 0}, {"end", 3}};
  ONCE(lseek(fd, 0, SEEK_END));
  ONCE(writev(fd, pieces, 3));
  ONCE(fsync(fd));
  ONCE(posix_fallocate(fd, 0, 20));
  ONCE(lseek(fd, 0, SEEK_END));
  ONCE(ftruncate(fd, 9));
  ONCE(close(fd));
  ONCE(close(fd));
  show("a.txt");
}

static void append_and_modes(void) {
  int fd = open("a.txt", O_WRONLY | O_APPEND);
  ONCE(write(fd, "+", 1));
  ONCE(lseek(fd, 0, SEEK_SET));
  ONCE(write(fd, "+", 1));
  char byte;
  ONCE(read(fd, &byte, 1));
  close(fd);
  fd = open("a.txt", O_RDONLY);
  ONCE(write(fd, "x", 1));
  ONCE(ftruncate(fd, 0));
  close(fd);
  show("a.txt");
  ONCE(open("a.txt", O_WRONLY | O_CREAT | O_EXCL, 0666));
  ONCE(open("none", O_RDONLY));
  ONCE(open("none/x", O_WRONLY | O_CREAT, 0666));
  ONCE(open("a.txt/x", O_RDONLY));
  ONCE(open(".", O_WRONLY));
  FILE *file = fopen("stdio.txt", "w+");
  for (int line = 0; line < 1000; line++) fprintf(file, "line %d\n", line);
  fseek(file, -9, SEEK_END);
  char last[16];
  printf("last: %s", fgets(last, sizeof last, file));
  fclose(file);
}

static void names(void) {
  ONCE(mkdir("dir", 0777));
  ONCE(mkdir("dir", 0777));
  ONCE(mkdir("dir/inner", 0777));
  ONCE(rename("a.txt", "dir/b.txt"));
  ONCE(link("dir/b.txt", "dir/inner/c.txt"));
  ONCE(symlink("dir/inner", "short"));
  ONCE(symlink("loop", "loop"));
  show("short/c.txt");
  show("short/../b.txt");
  show("loop");
  char target[64] = {0};
  ONCE(readlink("short", target, sizeof target));
  printf("to %s\n", target);
  struct stat file;
  ONCE(stat("short/c.txt", &file));
  printf("size %lld links %d regular %d\n", (long long)file.st_size, (int)file.st_nlink, S_ISREG(file.st_mode));
  ONCE(lstat("short", &file));
  printf("link %d\n", S_ISLNK(file.st_mode));
  ONCE(rmdir("dir"));
  ONCE(unlink("dir"));
  ONCE(unlink("short"));
  ONCE(rmdir("dir/b.txt"));
  ONCE(unlink("dir/inner/c.txt"));
  ONCE(rmdir("dir/inner"));
  ONCE(access("dir/b.txt", R_OK));
  ONCE(access("dir/inner", F_OK));
}

static void times(void) {
  struct timespec when[2] = {{1000000000, 5}, {1234567890, 987654321}};
  ONCE(utimensat(AT_FDCWD, "dir/b.txt", when, 0));
  struct stat file;
  stat("dir/b.txt", &file);
  printf("%lld.%09ld %lld.%09ld\n", (long long)file.st_atim.tv_sec, file.st_atim.tv_nsec, (long long)file.st_mtim.tv_sec,
         file.st_mtim.tv_nsec);
  int fd = open("dir/b.txt", O_RDWR);
  struct timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ONCE(futimens(fd, now));
  fstat(fd, &file);
  printf("%lld, now is later: %d\n", (long long)file.st_atim.tv_sec, file.st_mtim.tv_sec > 1700000000);
  close(fd);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void listing(void) {
  mkdir("many", 0777);
  char path[64];
  for (int index = 0; index < 300; index++) {
    snprintf(path, sizeof path, "many/a-rather-long-name-for-a-file-%03d", index);
    close(open(path, O_WRONLY | O_CREAT, 0666));
  }
  struct dirent **entries;
  int count = scandir("many", &entries, NULL, by_name);
  printf("%d entries, %s to %s\n", count, entries[0]->d_name, entries[count - 1]->d_name);
  DIR *dir = opendir("many");
  int removed = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_type != DT_REG) continue;
    snprintf(path, sizeof path, "many/%s", entry->d_name);
    removed += unlink(path) == 0;
  }
  closedir(dir);
  printf("removed %d\n", removed);
  ONCE(rmdir("many"));
}

int main(void) {
  write_and_seek();
  append_and_modes();
  names();
  times();
  listing();
  return 0;
}
