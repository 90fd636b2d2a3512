/* Loaded before a program (LD_PRELOAD): its system call number MERIT_FAULT_AT, of those that change files, kills it
 * (MERIT_FAULT=kill) or fails with an error (MERIT_FAULT=its number). The number of calls is added up in the file
 * MERIT_FAULT_COUNT, where one is named. Linux. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

/* Whether this call is to fail; it does not return where it is to kill. Before, so that it has not happened. */
static int faulty(void) {
  const char* at = getenv("MERIT_FAULT_AT");
  const char* how = getenv("MERIT_FAULT");
  ++calls;
  if (at == NULL || how == NULL || atol(at) != calls) return 0;
  if (strcmp(how, "kill") == 0) raise(SIGKILL);
  errno = atoi(how);
  return 1;
}

__attribute__((destructor)) static void report(void) {
  const char* name = getenv("MERIT_FAULT_COUNT");
  if (name == NULL) return;
  FILE* file = fopen(name, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", calls);
  fclose(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void* bytes, size_t count) {
  return fd > 2 && faulty() ? -1 : REAL(write)(fd, bytes, count); /* what is said is no file */
}
int fsync(int fd) { return faulty() ? -1 : REAL(fsync)(fd); }
int ftruncate(int fd, off_t size) { return faulty() ? -1 : REAL(ftruncate)(fd, size); }
int rename(const char* from, const char* to) { return faulty() ? -1 : REAL(rename)(from, to); }
int mkdir(const char* path, mode_t mode) { return faulty() ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char* path) { return faulty() ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char* path, int flags) { return faulty() ? -1 : REAL(unlinkat)(folder, path, flags); }
int remove(const char* path) { return faulty() ? -1 : REAL(remove)(path); }

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
    if (faulty()) return -1;
  }
  return REAL(open)(path, flags, mode);
}

/* renameat2, for which there was no function. */
long syscall(long number, ...) {
  va_list more;
  va_start(more, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(more, long);
  va_end(more);
  if (number == SYS_renameat2 && faulty()) return -1;
  return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
