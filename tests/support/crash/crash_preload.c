// Strikes a process at the n-th call of a kind by which it writes durably. It is killed with SIGKILL
// before the call, after half of it or after it; or the disk is full from this call on, until it is
// told otherwise; or the call fails with EIO, once; or a write takes half of what it is given, once.
//
// What counts are calls on files below CRASH_ROOTS (by colons) and on memory files that begin with
// /memfd:allowance; its standard streams do not. They are counted in one process at a time: in the
// direct child of process CRASH_PARENT or, where CRASH_VICTIM is set, in whichever has that among the
// words of its command line. What is started by a process with this library gets it, too.
// CRASH_CONTROL is a file that holds `struct control`, mapped by both sides.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLACES_MAX 16384
#define PLACE_BYTES 96
#define ENV_MAX 512

// As `How` of switch.py has them.
enum how { BEFORE, HALF, AFTER, FULL, FAIL, SHORT, NOTHING };

struct control {
  uint64_t calls;          // so far
  uint64_t left;           // calls of the kind up to the one that is struck
  uint64_t how;
  uint64_t struck;         // 1 once it was
  uint64_t full;           // 1 while there is no room
  char place[PLACE_BYTES]; // the kind: a call and a file; empty: nobody is struck
  char places[PLACES_MAX][PLACE_BYTES]; // what was called on which file, in order
};

static struct control *control;
static const char *roots;
static pid_t parent;
static const char *victim; // NULL where it is the parent's child
static int is_victim;

static int has_word(const char *word) {
  static char line[16384];
  int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) syscall(SYS_close, fd);
  for (char *at = line; size > 0 && at < line + size; at += strlen(at) + 1)
    if (!strcmp(at, word)) return 1;
  return 0;
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CRASH_CONTROL"), *text = getenv("CRASH_PARENT");
  roots = getenv("CRASH_ROOTS");
  victim = getenv("CRASH_VICTIM");
  int fd = path && text && roots ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  parent = (pid_t)atol(text);
  is_victim = victim && has_word(victim);
  void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED) control = found;
  syscall(SYS_close, fd);
}

static void die(void) {
  control->struck = 1;
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

// Counts a call; how it is struck, of which whoever is to die before it has died.
static enum how counted(const char *call, const char *path) {
  const char *name = below(path);
  if (!name) return NOTHING;
  uint64_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  char place[PLACE_BYTES];
  describe(place, call, name);
  if (number <= PLACES_MAX) memcpy(control->places[number - 1], place, PLACE_BYTES);
  if (strcmp(place, control->place) || __atomic_sub_fetch(&control->left, 1, __ATOMIC_SEQ_CST))
    return NOTHING;
  if (control->how == BEFORE) die();
  if (control->how >= FULL) control->struck = 1;
  if (control->how == FULL) control->full = 1;
  return (enum how)control->how;
}

static int mine(void) { return control && (victim ? is_victim : getppid() == parent); }

static enum how by_fd(const char *call, int fd) {
  char path[PATH_MAX];
  int saved = errno;
  enum how how = NOTHING;
  if (fd > 2 && mine() && named(fd, path)) how = counted(call, path);
  errno = saved;
  return how;
}

static void whole_path(char *path, int folder, const char *name) {
  path[0] = 0;
  if (name[0] != '/') {
    if (folder == AT_FDCWD ? !getcwd(path, PATH_MAX) : !named(folder, path)) path[0] = 0;
    strcat(path, "/");
  }
  strncat(path, name, PATH_MAX - 1);
}

static enum how by_name(const char *call, int folder, const char *name) {
  char path[2 * PATH_MAX];
  int saved = errno;
  enum how how = NOTHING;
  if (mine()) {
    whole_path(path, folder, name);
    how = counted(call, path);
  }
  errno = saved;
  return how;
}

// Whether there is no room for a new file of this name.
static int no_room(int folder, const char *name) {
  char path[2 * PATH_MAX];
  struct stat found;
  int saved = errno, none = 0;
  if (mine() && control->full) {
    whole_path(path, folder, name);
    none = below(path) && stat(path, &found) && errno == ENOENT;
  }
  errno = saved;
  return none;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define REFUSED(error) do { errno = (error); return -1; } while (0)

// How much of a write is done, or -1 with errno where none of it is.
static ssize_t share(enum how how, int fd, size_t count) {
  char path[PATH_MAX];
  if (how == FAIL) REFUSED(EIO);
  if (how == HALF || how == SHORT) return (ssize_t)(how == SHORT && count < 2 ? count : count / 2);
  if (how == FULL && count > 1) return (ssize_t)(count / 2);
  if (control && control->full && fd > 2 && mine() && named(fd, path) && below(path)) REFUSED(ENOSPC);
  return (ssize_t)count;
}

#define ENDS(how, result) \
  do { if ((how) == HALF || (how) == AFTER) die(); return (result); } while (0)

ssize_t write(int fd, const void *data, size_t count) {
  REAL(write);
  enum how how = by_fd("write", fd);
  ssize_t some = share(how, fd, count);
  if (some < 0) return -1;
  ssize_t done = real(fd, data, (size_t)some);
  ENDS(how, done);
}

#define POSITIONED(name, offset_type) \
  ssize_t name(int fd, const void *data, size_t count, offset_type offset) { \
    REAL(name); \
    enum how how = by_fd("pwrite", fd); \
    ssize_t some = share(how, fd, count); \
    if (some < 0) return -1; \
    ssize_t done = real(fd, data, (size_t)some, offset); \
    ENDS(how, done); \
  }
POSITIONED(pwrite, off_t)
POSITIONED(pwrite64, off64_t)

#define SYNCS(name) \
  int name(int fd) { \
    REAL(name); \
    enum how how = by_fd(#name, fd); \
    if (how == FAIL) REFUSED(EIO); \
    int done = real(fd); \
    ENDS(how, done); \
  }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(name, size_type) \
  int name(int fd, size_type size) { \
    REAL(name); \
    enum how how = by_fd("ftruncate", fd); \
    if (how == FAIL) REFUSED(EIO); \
    if (how == FULL) REFUSED(ENOSPC); \
    int done = real(fd, size); \
    ENDS(how, done); \
  }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define NAMES(call, folder, name, again) \
  do { \
    enum how how = by_name(call, folder, name); \
    if (how == FAIL) REFUSED(EIO); \
    if (how == FULL) REFUSED(ENOSPC); \
    int done = again; \
    ENDS(how, done); \
  } while (0)

int unlink(const char *path) {
  REAL(unlink);
  NAMES("unlink", AT_FDCWD, path, real(path));
}

int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  NAMES("unlink", folder, path, real(folder, path, flags));
}

int rename(const char *from, const char *to) {
  REAL(rename);
  NAMES("rename", AT_FDCWD, to, real(from, to));
}

int renameat(int from_folder, const char *from, int folder, const char *to) {
  REAL(renameat);
  NAMES("rename", folder, to, real(from_folder, from, folder, to));
}

int link(const char *from, const char *to) {
  REAL(link);
  NAMES("link", AT_FDCWD, to, real(from, to));
}

int linkat(int from_folder, const char *from, int folder, const char *to, int flags) {
  REAL(linkat);
  NAMES("link", folder, to, real(from_folder, from, folder, to, flags));
}

// Without room nothing new is made. Making is no place of its own: what is made is written to.
#define OPENS(name, parameters, folder, ...) \
  int name parameters { \
    REAL(name); \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
      va_list more; \
      va_start(more, flags); \
      mode = va_arg(more, mode_t); \
      va_end(more); \
      if (no_room(folder, path)) REFUSED(ENOSPC); \
    } \
    return real(__VA_ARGS__, mode); \
  }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD, path, flags)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD, path, flags)
OPENS(openat, (int folder, const char *path, int flags, ...), folder, folder, path, flags)
OPENS(openat64, (int folder, const char *path, int flags, ...), folder, folder, path, flags)

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  if (no_room(AT_FDCWD, path)) REFUSED(ENOSPC);
  return real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(mkdirat);
  if (no_room(folder, path)) REFUSED(ENOSPC);
  return real(folder, path, mode);
}

// The gate passes little of its environment on to its children.
int execve(const char *path, char *const *arguments, char *const *environment) {
  REAL(execve);
  static char *passed[ENV_MAX];
  static char own[5][PATH_MAX];
  static const char *const names[] = {
      "LD_PRELOAD", "CRASH_CONTROL", "CRASH_ROOTS", "CRASH_PARENT", "CRASH_VICTIM"};
  size_t count = 0;
  if (!control || !victim) return real(path, arguments, environment);
  for (; environment && environment[count] && count < ENV_MAX - 6; count++)
    passed[count] = environment[count];
  for (int at = 0; at < 5; at++) {
    const char *value = getenv(names[at]);
    size_t length = strlen(names[at]);
    int there = !value;
    for (size_t n = 0; n < count && !there; n++)
      there = !strncmp(passed[n], names[at], length) && passed[n][length] == '=';
    if (there) continue;
    snprintf(own[at], PATH_MAX, "%s=%s", names[at], value);
    passed[count++] = own[at];
  }
  passed[count] = NULL;
  return real(path, arguments, passed);
}
