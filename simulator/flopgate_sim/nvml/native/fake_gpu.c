/* The fake hardware: executes what workloads launched, and keeps the counters and the truth.
 *
 *   fake_gpu STATE PARENT_PID      run until the parent is gone or SIGTERM comes
 *   fake_gpu --layout              offsets of the shared state, for the Python mirror
 *   fake_gpu --abi                 sizes of NVML structs, for the tests
 *
 * Laws: time is CLOCK_BOOTTIME and is integrated as it really passed, however late a tick comes.
 * Work seen at the end of one tick executes in the next, so nothing executes before its launch.
 * A frozen process stops launching only; a dead one stops executing at once (its pidfd says so).
 * The parent is watched by getppid, not PR_SET_PDEATHSIG, which fires already when the *thread*
 * that started the engine ends. An orphaned engine kills the workloads: nothing is left behind.
 */
#include "fake_engine.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile sig_atomic_t stop;
static int pidfds[FG_MAX_SLOTS]; /* 0: none */

static void on_term(int signal_number) {
  (void)signal_number;
  stop = 1;
}

static void release(struct fg_slot *s, int index) {
  close(pidfds[index]);
  pidfds[index] = 0;
  FG_STORE(s->state, FG_DEAD);
}

static void adopt(struct fg_state *st, struct fg_slot *s, int index) {
  int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
  if (fd < 0 || fg_start_ticks(s->pid) != s->start_ticks || s->gpu >= st->gpus) {
    if (fd >= 0) close(fd);
    FG_STORE(s->state, FG_DEAD);
    return;
  }
  pidfds[index] = fd;
  fg_slot_adopted(&st->gpu[s->gpu], s, index);
  FG_STORE(s->state, FG_ALIVE);
}

/* Waits for the next tick; a workload's death ends the wait at once. */
static void wait_tick(struct fg_state *st, uint64_t until_ns) {
  struct pollfd fds[FG_MAX_SLOTS];
  int slots[FG_MAX_SLOTS], n = 0;
  for (int i = 0; i < fg_slots(st); i++)
    if (pidfds[i] > 0) {
      fds[n].fd = pidfds[i];
      fds[n].events = POLLIN;
      slots[n++] = i;
    }
  uint64_t now = fg_clock_ns(CLOCK_BOOTTIME);
  uint64_t left = until_ns > now ? until_ns - now : 0;
  struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000ull),
                             .tv_nsec = (long)(left % 1000000000ull)};
  if (ppoll(fds, (nfds_t)n, &timeout, NULL) <= 0) return;
  for (int i = 0; i < n; i++)
    if (fds[i].revents) fg_slot_ended(slots[i]);
}

static void kill_workloads(struct fg_state *st) {
  for (int i = 0; i < fg_slots(st); i++) {
    struct fg_slot *s = &st->slot[i];
    if (pidfds[i] <= 0 && FG_LOAD(s->state) == FG_CLAIMED) adopt(st, s, i);
    if (pidfds[i] > 0) syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0);
  }
}

static int run(struct fg_state *st, pid_t parent) {
  uint64_t tick_ns = (uint64_t)st->tick_us * 1000;
  uint64_t last = fg_clock_ns(CLOCK_BOOTTIME);
  st->engine_pid = getpid();
  st->started_ns = last;
  fg_engine_start(st);
  FG_STORE(st->ready, 1);
  while (!stop && getppid() == parent) {
    wait_tick(st, last + tick_ns);
    uint64_t now = fg_clock_ns(CLOCK_BOOTTIME);
    if (now <= last) continue;
    FG_ADD(st->sequence, 1);
    fg_engine_tick(st, last, now);
    FG_STORE(st->tick_ns, now);
    FG_ADD(st->ticks, 1);
    FG_ADD(st->sequence, 1);
    for (int i = 0; i < fg_slots(st); i++) {
      struct fg_slot *s = &st->slot[i];
      if (FG_LOAD(s->state) == FG_CLAIMED) adopt(st, s, i);
      if (pidfds[i] > 0 && fg_slot_is_ended(i)) release(s, i); /* once: the slot may be reclaimed */
    }
    fg_engine_see_launches(st);
    last = now;
  }
  kill_workloads(st);
  FG_STORE(st->ready, 0);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--layout") == 0) return fg_print_layout();
  if (argc == 2 && strcmp(argv[1], "--abi") == 0) return fg_print_abi();
  if (argc != 3) {
    fprintf(stderr, "usage: fake_gpu STATE PARENT_PID | --layout | --abi\n");
    return 2;
  }
  struct fg_state *st = fg_map(argv[1]);
  if (!st) {
    perror(argv[1]);
    return 2;
  }
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  signal(SIGINT, SIG_IGN); /* a test's Ctrl-C reaches the parent, whose exit ends the engine */
  setpriority(PRIO_PROCESS, 0, -10); /* may fail without root: ticks then come later, not wrong */
  return run(st, (pid_t)atoi(argv[2]));
}
