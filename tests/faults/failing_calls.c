/* Makes one call of a program fail that writes files: a library for LD_PRELOAD.
 *
 * SOFTSTEP_FAIL_CALL is write, fsync, rename, create, chmod, truncate, read (of a file) or list (an entry of
 * a folder); SOFTSTEP_FAIL_AT the number of the call that fails, from 1; SOFTSTEP_FAIL_WITH its errno, or for
 * write also `half` (half of the bytes go out, the next call finds the disk full), `zero` (0 is returned, for
 * ever) or `bytes` (from that call on one byte at a time), and for rename `tear` (from that call on a file is
 * copied to its place in two halves, with a while in between, as a program does that knows no rename).
 * Standard output and error, and what is no file or folder, are left alone. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(name)*)dlsym(RTLD_NEXT, #name))

static atomic_long calls;

static const char* how(void) {
  const char* text = getenv("SOFTSTEP_FAIL_WITH");
  return text == NULL ? "" : text;
}

/* Counts a call of that kind: negative before the one that fails, 0 for it, positive after it. */
static long turn(const char* kind) {
  const char *wanted = getenv("SOFTSTEP_FAIL_CALL"), *at = getenv("SOFTSTEP_FAIL_AT");
  if (wanted == NULL || at == NULL || strcmp(wanted, kind) != 0) return -1;
  return atomic_fetch_add(&calls, 1) + 1 - atol(at);
}

static int fails(const char* kind) {
  if (turn(kind) != 0) return 0;
  errno = atoi(how());
  return 1;
}

static int is_disk(int fd) {
  struct stat info;
  return fd > 2 && fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const long at = is_disk(fd) ? turn("write") : -1;
  if (at < 0) return REAL(write)(fd, bytes, size);
  if (strcmp(how(), "zero") == 0) return 0;
  if (strcmp(how(), "bytes") == 0) return REAL(write)(fd, bytes, size > 1 ? 1 : size);
  if (strcmp(how(), "half") == 0 && at == 0) return REAL(write)(fd, bytes, size > 1 ? size / 2 : size);
  if (strcmp(how(), "half") == 0 && at == 1) {
    errno = ENOSPC;
    return -1;
  }
  if (at == 0 && atoi(how()) != 0) {
    errno = atoi(how());
    return -1;
  }
  return REAL(write)(fd, bytes, size);
}

ssize_t read(int fd, void* bytes, size_t size) {
  return is_disk(fd) && fails("read") ? -1 : REAL(read)(fd, bytes, size);
}
struct dirent* readdir(DIR* folder) {
  return fails("list") ? NULL : REAL(readdir)(folder);
}

int fsync(int fd) { return is_disk(fd) && fails("fsync") ? -1 : REAL(fsync)(fd); }

static int copy_half(int in, int out, off_t size) {
  char bytes[4096];
  while (size > 0) {
    const ssize_t n = read(in, bytes, size < (off_t)sizeof bytes ? (size_t)size : sizeof bytes);
    if (n <= 0 || REAL(write)(out, bytes, (size_t)n) != n) return -1;
    size -= n;
  }
  return 0;
}

static int tear(int old_at, const char* from, int new_at, const char* to) {
  const struct timespec a_while = {0, 20000000};
  struct stat info;
  const int in = REAL(openat)(old_at, from, O_RDONLY),
            out = REAL(openat)(new_at, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int result = in < 0 || out < 0 ? -1 : fstat(in, &info);
  if (result == 0) result = copy_half(in, out, info.st_size / 2);
  nanosleep(&a_while, NULL);
  if (result == 0) result = copy_half(in, out, info.st_size - info.st_size / 2);
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return result == 0 ? unlinkat(old_at, from, 0) : -1;
}

static int moved(int old_at, const char* from, int new_at, const char* to) {
  const long at = turn("rename");
  if (at >= 0 && strcmp(how(), "tear") == 0) return tear(old_at, from, new_at, to);
  if (at == 0) {
    errno = atoi(how());
    return -1;
  }
  return REAL(renameat)(old_at, from, new_at, to);
}

int rename(const char* from, const char* to) { return moved(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int old_at, const char* from, int new_at, const char* to) {
  return moved(old_at, from, new_at, to);
}
int fchmod(int fd, mode_t mode) { return fails("chmod") ? -1 : REAL(fchmod)(fd, mode); }
int ftruncate(int fd, off_t size) { return fails("truncate") ? -1 : REAL(ftruncate)(fd, size); }

int openat(int at, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
    if (fails("create")) return -1;
  }
  return REAL(openat)(at, path, flags, mode);
}
