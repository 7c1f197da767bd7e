// Kills a process with SIGKILL at the n-th call of a kind by which it writes durably: before the call,
// after half of it, or after it. What counts are calls on files below CRASH_ROOTS (by colons) and on memory
// files that begin with /memfd:allowance, made by a direct child of process CRASH_PARENT; its standard
// streams do not count. CRASH_CONTROL is a file that holds `struct control`, mapped by both sides.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLACES_MAX 16384
#define PLACE_BYTES 96

enum how { BEFORE, HALF, AFTER };

struct control {
  uint64_t calls;          // so far
  uint64_t left;           // calls of the kind up to the one that kills
  uint64_t how;
  uint64_t died;           // 1 once it was killed
  char place[PLACE_BYTES]; // the kind: a call and a file; empty: nobody dies
  char places[PLACES_MAX][PLACE_BYTES]; // what was called on which file, in order
};

static struct control *control;
static const char *roots;
static pid_t parent;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CRASH_CONTROL"), *text = getenv("CRASH_PARENT");
  roots = getenv("CRASH_ROOTS");
  int fd = path && text && roots ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  parent = (pid_t)atol(text);
  void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED) control = found;
  syscall(SYS_close, fd);
}

static void die(void) {
  control->died = 1;
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// What the path is below its root, or NULL where it does not count.
static const char *below(const char *path) {
  static const char memory[] = "/memfd:allowance";
  if (!strncmp(path, memory, sizeof memory - 1)) return path + 1;
  for (const char *root = roots; *root;) {
    size_t length = strcspn(root, ":");
    if (length && !strncmp(path, root, length) && path[length] == '/') return path + length + 1;
    root += length + (root[length] == ':');
  }
  return NULL;
}

static int named(int fd, char *path) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return length > 0;
}

// The call and the file; of a name that is drawn, as hexadecimal, only that it is.
static void describe(char *place, const char *call, const char *name) {
  static const char digits[] = "0123456789abcdef";
  size_t at = (size_t)snprintf(place, PLACE_BYTES, "%s ", call);
  while (*name && at < PLACE_BYTES - 1) {
    size_t drawn = strspn(name, digits);
    if (drawn >= 16) {
      place[at++] = '*';
      name += drawn;
    } else {
      place[at++] = *name++;
    }
  }
  place[at] = 0;
}

// Counts a call; whether it is the one, by how it dies then: -1 for no.
static int counted(const char *call, const char *path) {
  const char *name = below(path);
  if (!name) return -1;
  uint64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  char place[PLACE_BYTES];
  describe(place, call, name);
  if (number <= PLACES_MAX) memcpy(control->places[number - 1], place, PLACE_BYTES);
  if (strcmp(place, control->place) || __atomic_sub_fetch(&control->left, 1, __ATOMIC_SEQ_CST))
    return -1;
  if (control->how == BEFORE) die();
  return (int)control->how;
}

static int mine(void) { return control && getppid() == parent; }

static int by_fd(const char *call, int fd) {
  char path[PATH_MAX];
  int saved = errno, how = -1;
  if (fd > 2 && mine() && named(fd, path)) how = counted(call, path);
  errno = saved;
  return how;
}

static int by_name(const char *call, int folder, const char *name) {
  char path[2 * PATH_MAX] = "";
  int saved = errno, how = -1;
  if (mine()) {
    if (name[0] != '/') {
      if (folder == AT_FDCWD ? !getcwd(path, PATH_MAX) : !named(folder, path)) path[0] = 0;
      strcat(path, "/");
    }
    strncat(path, name, PATH_MAX - 1);
    how = counted(call, path);
  }
  errno = saved;
  return how;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define ENDS(how, result) \
  do { if ((how) >= 0) die(); return (result); } while (0)

ssize_t write(int fd, const void *data, size_t count) {
  REAL(write);
  int how = by_fd("write", fd);
  ssize_t done = real(fd, data, how == HALF ? count / 2 : count);
  ENDS(how, done);
}

#define POSITIONED(name, offset_type) \
  ssize_t name(int fd, const void *data, size_t count, offset_type offset) { \
    REAL(name); \
    int how = by_fd("pwrite", fd); \
    ssize_t done = real(fd, data, how == HALF ? count / 2 : count, offset); \
    ENDS(how, done); \
  }
POSITIONED(pwrite, off_t)
POSITIONED(pwrite64, off64_t)

#define SYNCS(name) \
  int name(int fd) { \
    REAL(name); \
    int how = by_fd(#name, fd), done = real(fd); \
    ENDS(how, done); \
  }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(name, size_type) \
  int name(int fd, size_type size) { \
    REAL(name); \
    int how = by_fd("ftruncate", fd), done = real(fd, size); \
    ENDS(how, done); \
  }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

int unlink(const char *path) {
  REAL(unlink);
  int how = by_name("unlink", AT_FDCWD, path), done = real(path);
  ENDS(how, done);
}

int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  int how = by_name("unlink", folder, path), done = real(folder, path, flags);
  ENDS(how, done);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  int how = by_name("rename", AT_FDCWD, to), done = real(from, to);
  ENDS(how, done);
}

int renameat(int from_folder, const char *from, int folder, const char *to) {
  REAL(renameat);
  int how = by_name("rename", folder, to), done = real(from_folder, from, folder, to);
  ENDS(how, done);
}

int link(const char *from, const char *to) {
  REAL(link);
  int how = by_name("link", AT_FDCWD, to), done = real(from, to);
  ENDS(how, done);
}

int linkat(int from_folder, const char *from, int folder, const char *to, int flags) {
  REAL(linkat);
  int how = by_name("link", folder, to), done = real(from_folder, from, folder, to, flags);
  ENDS(how, done);
}
