// Moves a process's clocks while it runs: a file of three 64-bit offsets in ns, mapped, shifts
// CLOCK_REALTIME, CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW. A suspend is one that BOOTTIME counts.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *offsets;

__attribute__((constructor)) static void map_offsets(void) {
  const char *path = getenv("CLOCK_OFFSETS");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *found = mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED) offsets = found;
  close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  long failed = syscall(SYS_clock_gettime, clock, now);
  if (failed || !offsets) return (int)failed;
  int which = clock == CLOCK_REALTIME ? 0 : clock == CLOCK_BOOTTIME ? 1
              : clock == CLOCK_MONOTONIC_RAW ? 2 : -1;
  if (which >= 0) {
    int64_t ns = now->tv_sec * 1000000000LL + now->tv_nsec + offsets[which];
    now->tv_sec = ns / 1000000000LL;
    now->tv_nsec = ns % 1000000000LL;
  }
  return 0;
}
