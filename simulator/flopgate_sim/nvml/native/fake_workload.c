/* A process that computes on fake GPUs: it launches kernels, the engine executes them.
 *
 *   fake_workload --gpus 0,1 --format fp16 --m 4096 --n 4096 --k 4096 ...   (see `options`)
 *
 * It prints nothing unless something is wrong. Exit codes: 0 done or told to end, 2 misuse,
 * 3 refused by the driver (device node absent or closed, compute mode), 4 the hardware is gone.
 */
#include "fake_chips.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADOPT_TIMEOUT_NS 5000000000ull
#define COMM_KERNEL_NS 1000000ull

static struct {
  const char *state, *device_dir, *cgroup;
  int gpus[FG_MAX_GPUS], gpu_count;
  uint32_t kind, format, context, persistent, ignore_term, exit_on_notice;
  uint64_t m, n, k, memory_bytes;
  double share, duty, seconds;
  unsigned drain_ms, children;
} want = {.gpus = {0}, .gpu_count = 1, .m = 4096, .n = 4096, .k = 4096, .share = 0.75, .duty = 1,
          .drain_ms = 50, .memory_bytes = 4 * FG_GIB};

static struct fg_state *st;
static struct fg_slot *mine[FG_MAX_GPUS];
static volatile sig_atomic_t ended, at_once;

static void die(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("fake_workload: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(code);
}

static void on_term(int signal_number) {
  (void)signal_number;
  ended = at_once = 1;
}

static void on_notice(int signal_number) {
  (void)signal_number;
  if (want.exit_on_notice) ended = 1;
  for (int i = 0; i < want.gpu_count; i++)
    if (mine[i]) FG_ADD(mine[i]->checkpoint_notices, 1);
}

static void pause_ns(uint64_t ns) {
  struct timespec t = {.tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull)};
  nanosleep(&t, NULL);
}

/* A context needs the device node. A node without read permission is closed, for root too: the
 * stand-in is a plain file, so the mode bits say what a device cgroup would enforce. */
static void open_device(const struct fg_gpu *gpu) {
  char path[4096];
  struct stat node;
  snprintf(path, sizeof path, "%s/nvidia%u", want.device_dir, gpu->minor);
  int fd = open(path, O_RDWR | O_CLOEXEC); /* held open until the process ends */
  if (fd < 0) die(3, "%s: %s", path, strerror(errno));
  if (fstat(fd, &node) != 0 || !(node.st_mode & 0444)) die(3, "%s: closed by its mode", path);
}

static void check_admission(int gpu) {
  struct fg_gpu *g = &st->gpu[gpu];
  uint32_t mode = FG_LOAD(g->compute_mode);
  if (mode == 2) die(3, "GPU %d: compute mode is prohibited", gpu);
  if (FG_LOAD(g->lost) || FG_LOAD(st->driver_gone)) die(3, "GPU %d: lost", gpu);
  if (mode != 3) return;
  for (int i = 0; i < FG_MAX_SLOTS; i++)
    if (FG_LOAD(st->slot[i].state) == FG_ALIVE && (int)st->slot[i].gpu == gpu)
      die(3, "GPU %d: compute mode is exclusive and pid %d has it", gpu, st->slot[i].pid);
}

static struct fg_slot *claim(int gpu) {
  check_admission(gpu);
  if (want.device_dir) open_device(&st->gpu[gpu]);
  struct fg_slot filled = {
    .state = FG_CLAIMED, .gpu = (uint32_t)gpu, .pid = getpid(), .kind = want.kind,
    .start_ticks = fg_start_ticks(getpid()), .format = want.format, .context = want.context,
    .persistent = want.persistent, .share_ppm = (uint32_t)(want.share * 1e6),
    .memory_bytes = want.memory_bytes,
    .unit_work = want.kind == FG_GEMM     ? 2 * want.m * want.n * want.k
                 : want.kind == FG_MEMORY ? want.m * want.n
                                          : COMM_KERNEL_NS,
  };
  static const uint32_t reusable[] = {FG_FREE, FG_DEAD};
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < FG_MAX_SLOTS; i++) {
      struct fg_slot *s = &st->slot[i];
      uint32_t was = reusable[pass];
      /* UINT32_MAX marks the slot as taken but not yet readable. */
      if (!__atomic_compare_exchange_n(&s->state, &was, UINT32_MAX, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE))
        continue;
      filled.state = UINT32_MAX;
      uint32_t high = FG_LOAD(st->slots_high);
      while (high < (uint32_t)i + 1 &&
             !__atomic_compare_exchange_n(&st->slots_high, &high, (uint32_t)i + 1, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      }
      *s = filled;
      FG_STORE(s->state, FG_CLAIMED);
      return s;
    }
  die(4, "no free slot: more than %d contexts", FG_MAX_SLOTS);
  return NULL;
}

static int hardware_gone(void) {
  return !FG_LOAD(st->ready) || (kill(FG_LOAD(st->engine_pid), 0) != 0 && errno == ESRCH);
}

static void wait_adopted(struct fg_slot *s) {
  uint64_t until = fg_clock_ns(CLOCK_BOOTTIME) + ADOPT_TIMEOUT_NS;
  while (!FG_LOAD(s->rate_per_s)) {
    if (hardware_gone() || fg_clock_ns(CLOCK_BOOTTIME) > until) die(4, "no hardware answers");
    pause_ns(1000000);
  }
}

/* Launches what keeps the queue at drain_ms of work, and at least one kernel. */
static void fill(struct fg_slot *s) {
  uint64_t pending = s->submitted - FG_LOAD(s->done);
  if (want.persistent) {
    if (!s->submitted) FG_STORE(s->submitted, 1);
    return;
  }
  double depth = (double)FG_LOAD(s->rate_per_s) * want.drain_ms * 1e-3 / (double)s->unit_work;
  uint64_t room = depth < 1 ? 1 : (uint64_t)depth;
  if (pending < room) FG_STORE(s->submitted, s->submitted + room - pending);
}

/* A job that ends of itself waits for what it launched; one that is told to end does not. */
static void synchronise(struct fg_slot *s) {
  while (!at_once && !want.persistent && FG_LOAD(s->done) < s->submitted && !hardware_gone())
    pause_ns(2000000);
}

static void work(void) {
  for (int i = 0; i < want.gpu_count; i++) mine[i] = claim(want.gpus[i]);
  for (int i = 0; i < want.gpu_count; i++) wait_adopted(mine[i]);
  uint64_t start = fg_clock_ns(CLOCK_BOOTTIME), drain_ns = want.drain_ms * 1000000ull;
  uint64_t step = drain_ns / 4 < 1000000 ? 1000000 : drain_ns / 4;
  if (step > 50000000) step = 50000000;
  while (!ended) {
    uint64_t now = fg_clock_ns(CLOCK_BOOTTIME);
    if (want.seconds > 0 && (double)(now - start) >= want.seconds * 1e9) break;
    if (hardware_gone()) exit(4);
    for (int i = 0; i < want.gpu_count; i++) {
      if (FG_LOAD(mine[i]->state) == FG_DEAD) exit(4);
      fill(mine[i]);
    }
    /* At a duty below one the queue runs dry on purpose before it is filled again. */
    pause_ns(want.duty < 1 ? (uint64_t)((double)drain_ns / want.duty) : step);
  }
  for (int i = 0; i < want.gpu_count; i++) synchronise(mine[i]);
}

static int index_of(const char *const *names, int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return i;
  die(2, "unknown value %s", name);
  return -1;
}

static void parse_gpus(char *list) {
  want.gpu_count = 0;
  for (char *item = strtok(list, ","); item; item = strtok(NULL, ",")) {
    if (want.gpu_count == FG_MAX_GPUS) die(2, "more than %d GPUs", FG_MAX_GPUS);
    want.gpus[want.gpu_count++] = atoi(item);
  }
}

static const struct option options[] = {
  {"state", 1, 0, 's'}, {"gpus", 1, 0, 'g'}, {"kind", 1, 0, 'K'}, {"format", 1, 0, 'f'},
  {"context", 1, 0, 'c'}, {"m", 1, 0, 'm'}, {"n", 1, 0, 'n'}, {"k", 1, 0, 'k'},
  {"share", 1, 0, 'S'}, {"duty", 1, 0, 'd'}, {"seconds", 1, 0, 't'}, {"drain-ms", 1, 0, 'q'},
  {"persistent", 0, 0, 'p'}, {"ignore-sigterm", 0, 0, 'i'}, {"exit-on-checkpoint", 0, 0, 'x'},
  {"children", 1, 0, 'C'}, {"memory-bytes", 1, 0, 'M'}, {"device-dir", 1, 0, 'D'},
  {"cgroup", 1, 0, 'G'}, {0, 0, 0, 0},
};

static void parse(int argc, char **argv) {
  static const char *const kinds[] = {"gemm", "memory", "comm"};
  static const char *const contexts[] = {"compute", "mps", "graphics"};
  want.state = getenv(FG_ENV);
  for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (o) {
      case 's': want.state = optarg; break;
      case 'g': parse_gpus(optarg); break;
      case 'K': want.kind = (uint32_t)index_of(kinds, FG_KINDS, optarg); break;
      case 'f': want.format = (uint32_t)index_of(fg_format_names, FG_FORMATS, optarg); break;
      case 'c': want.context = (uint32_t)index_of(contexts, FG_CONTEXTS, optarg); break;
      case 'm': want.m = strtoull(optarg, NULL, 10); break;
      case 'n': want.n = strtoull(optarg, NULL, 10); break;
      case 'k': want.k = strtoull(optarg, NULL, 10); break;
      case 'S': want.share = atof(optarg); break;
      case 'd': want.duty = atof(optarg); break;
      case 't': want.seconds = atof(optarg); break;
      case 'q': want.drain_ms = (unsigned)atoi(optarg); break;
      case 'p': want.persistent = 1; break;
      case 'i': want.ignore_term = 1; break;
      case 'x': want.exit_on_notice = 1; break;
      case 'C': want.children = (unsigned)atoi(optarg); break;
      case 'M': want.memory_bytes = strtoull(optarg, NULL, 10); break;
      case 'D': want.device_dir = optarg; break;
      case 'G': want.cgroup = optarg; break;
      default: exit(2);
    }
  if (!want.state) die(2, "set %s or give --state", FG_ENV);
  if (want.share <= 0 || want.share > 1 || want.duty <= 0 || want.duty > 1)
    die(2, "share and duty lie above 0 and at most at 1");
  if (!want.m || !want.n || !want.k || !want.drain_ms || !want.gpu_count)
    die(2, "m, n, k, drain-ms and the number of GPUs must be positive");
}

static void join_cgroup(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", want.cgroup);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) die(2, "%s: %s", path, strerror(errno));
  close(fd);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  if (want.cgroup) join_cgroup();
  if (!(st = fg_map(want.state))) die(2, "%s: %s", want.state, strerror(errno));
  for (int i = 0; i < want.gpu_count; i++) {
    if (want.gpus[i] < 0 || want.gpus[i] >= (int)st->gpus) die(2, "no GPU %d", want.gpus[i]);
    for (size_t c = 0; c < FG_CHIPS; c++)
      if (strcmp(fg_chips[c].profile, st->profile) == 0 && want.kind == FG_GEMM &&
          !fg_chips[c].rate[want.format])
        die(2, "%s has no %s units", st->profile, fg_format_names[want.format]);
  }
  struct sigaction term = {.sa_handler = want.ignore_term ? SIG_IGN : on_term};
  struct sigaction notice = {.sa_handler = on_notice};
  sigaction(SIGTERM, &term, NULL);
  sigaction(SIGINT, &term, NULL);
  sigaction(SIGUSR1, &notice, NULL);
  for (unsigned i = 0; i < want.children; i++) {
    pid_t child = fork();
    if (child < 0) die(2, "fork: %s", strerror(errno));
    if (child == 0) break;
  }
  work();
  return 0;
}
