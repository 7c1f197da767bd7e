// Lets one call of fsync fail with EIO: that before which `sync_left` others went well; below 0, none.
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int sync_left = -1;

int fsync(int fd) {
  if (sync_left >= 0 && sync_left-- == 0) {
    errno = EIO;
    return -1;
  }
  return (int)syscall(SYS_fsync, fd);
}
