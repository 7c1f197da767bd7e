/* One tick of the fake hardware: who executes, at which clock, and what that adds up to. */
#include "fake_engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE_NS 166666667ull /* the driver's utilisation buffer: about 6 a second */
#define ENERGY_NS 100000000ull /* the energy counter moves about every 100 ms */
#define LINK_BPS 25e9          /* one NVLink, one direction */

/* Progress that only the engine knows. Fractions are carried, so that sums stay exact. */
static struct slot_run {
  int ended, listed;
  uint64_t seen, sample_busy_ns;
  double progress, flop_carry;
} runs[FG_MAX_SLOTS];
static struct gpu_run {
  const struct fg_chip *chip;
  double cycle_carry[FG_COUNTERS], flop_carry[FG_FORMATS], energy_carry;
  uint64_t sample_busy_ns, sample_dram, sample_from, energy_at, shown_uj;
} gpus[FG_MAX_GPUS];

static void add(uint64_t *total, double *carry, double amount) {
  double sum = amount + *carry, whole = floor(sum);
  *total += (uint64_t)whole;
  *carry = sum - whole;
}

static void add_flop(uint64_t *tera, uint64_t *rest, double *carry, double amount) {
  add(rest, carry, amount);
  *tera += *rest / 1000000000000ull;
  *rest %= 1000000000000ull;
}

static uint64_t mix(uint64_t x) { /* splitmix64 */
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

static void identify(struct fg_state *st, uint32_t i, const struct fg_chip *c) {
  struct fg_gpu *g = &st->gpu[i];
  uint64_t a = mix(st->seed ^ mix(i + 1)), b = mix(a);
  snprintf(g->name, sizeof g->name, "%s", c->name);
  snprintf(g->vbios, sizeof g->vbios, "%s", c->vbios);
  snprintf(g->inforom, sizeof g->inforom, "%s", c->inforom);
  snprintf(g->uuid, sizeof g->uuid, "GPU-%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
           (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
           (unsigned long long)(b & 0xffffffffffffull));
  snprintf(g->serial, sizeof g->serial, "165%010llu", (unsigned long long)(mix(b) % 10000000000ull));
  g->pdi = c->gpm ? mix(b ^ 1) | 1 : 0;
  g->pci_device_id = c->pci_device_id;
  g->pci_subsystem_id = c->pci_subsystem_id;
  g->pci_bus = 0x1b + 0x0c * i;
  g->minor = i;
  snprintf(g->bus_id, sizeof g->bus_id, "%08X:%02X:%02X.0", g->pci_domain, g->pci_bus, g->pci_device);
  g->cc_major = c->cc_major;
  g->cc_minor = c->cc_minor;
  g->architecture = c->architecture;
  g->sm_count = c->sm_count;
  g->cores = c->sm_count * c->cores_per_sm;
  g->boost_mhz = c->boost_mhz;
  g->tensor_mhz = c->tensor_mhz;
  g->idle_mhz = g->clock_mhz = c->idle_mhz;
  g->min_mhz = c->min_mhz;
  g->memory_mhz = c->memory_mhz;
  g->idle_mw = g->power_mw = c->idle_mw;
  g->tdp_mw = c->tdp_mw;
  if (!g->limit_mw) g->limit_mw = c->tdp_mw; /* a test may have set one before the start */
  g->min_limit_mw = c->min_limit_mw;
  g->nvlinks = c->nvlinks;
  g->link_mbyte_per_s = c->link_mbyte_per_s;
  g->link_switches = c->link_switches;
  g->gpm = c->gpm;
  g->memory_bytes = c->memory_bytes;
  g->memory_bps = c->memory_bps;
  g->persistence = 1;
}

void fg_engine_start(struct fg_state *st) {
  const struct fg_chip *chip = &fg_chips[0];
  for (size_t i = 0; i < FG_CHIPS; i++)
    if (strcmp(fg_chips[i].profile, st->profile) == 0) chip = &fg_chips[i];
  for (uint32_t i = 0; i < st->gpus; i++) {
    identify(st, i, chip);
    gpus[i].chip = chip;
    gpus[i].sample_from = gpus[i].energy_at = st->started_ns;
  }
}

void fg_slot_ended(int index) { runs[index].ended = 1; }

int fg_slot_is_ended(int index) { return runs[index].ended && runs[index].listed; }

static double rate_of(const struct fg_chip *c, const struct fg_slot *s, uint32_t clock_mhz) {
  double share = s->share_ppm / 1e6;
  if (s->kind == FG_COMM) return 1e9; /* nanoseconds of spinning per second */
  /* A streaming kernel, c = a + b in FP32: one FLOP per 12 bytes, bound by memory, not clocks. */
  if (s->kind == FG_MEMORY) return 0.9 * (double)c->memory_bps / 12;
  return share * c->rate[s->format] * (double)c->sm_count * clock_mhz * 1e6;
}

void fg_slot_adopted(struct fg_gpu *gpu, struct fg_slot *s, int index) {
  memset(&runs[index], 0, sizeof runs[index]);
  runs[index].listed = 1;
  const struct fg_chip *c = gpus[0].chip;
  uint32_t mhz = fg_at_tensor_clock(s->format) ? gpu->tensor_mhz : gpu->boost_mhz;
  if (gpu->lock_max_mhz && gpu->lock_max_mhz < mhz) mhz = gpu->lock_max_mhz;
  FG_STORE(s->rate_per_s, (uint64_t)rate_of(c, s, mhz));
}

void fg_engine_see_launches(struct fg_state *st) {
  for (int i = 0; i < fg_slots(st); i++)
    if (FG_LOAD(st->slot[i].state) == FG_ALIVE) runs[i].seen = FG_LOAD(st->slot[i].submitted);
}

/* Power at full load of this kernel, as parts of what lies between idle and the design power. */
static double load_of(const struct fg_slot *s) {
  if (s->kind == FG_COMM) return 0.35;
  if (s->kind == FG_MEMORY) return 0.35 + 0.25;
  return 0.35 + 0.55 * s->share_ppm / 1e6;
}

static uint32_t clock_of(struct fg_gpu *g, int context, int tensor, double load) {
  uint32_t mhz = tensor ? g->tensor_mhz : context ? g->boost_mhz : g->idle_mhz;
  uint32_t low = FG_LOAD(g->lock_min_mhz), high = FG_LOAD(g->lock_max_mhz), reasons = 0;
  if (low && mhz < low) mhz = low;
  if (high && mhz > high) mhz = high, reasons |= 0x2;
  if (mhz > g->boost_mhz) mhz = g->boost_mhz;
  uint32_t nominal = tensor ? g->tensor_mhz : g->boost_mhz;
  double f = (double)mhz / nominal, span = (double)(g->tdp_mw - g->idle_mw);
  double room = ((double)FG_LOAD(g->limit_mw) - g->idle_mw) / span;
  if (load * f * f > room && load > 0) { /* dynamic power grows with the square of the clock */
    mhz = (uint32_t)(nominal * sqrt(room > 0 ? room / load : 0));
    reasons |= 0x4;
  }
  if (mhz < g->min_mhz) mhz = g->min_mhz;
  g->event_reasons = load > 0 ? reasons : 0x1;
  return mhz;
}

static void account(struct fg_gpu *g, struct gpu_run *r, struct fg_slot *s, struct slot_run *w,
                    double work, uint64_t used_ns) {
  s->busy_ns += used_ns;
  w->sample_busy_ns += used_ns;
  double sm_cycles = used_ns * 1e-9 * g->clock_mhz * 1e6 * g->sm_count;
  add(&g->cycles[FG_ACTIVE], &r->cycle_carry[FG_ACTIVE], sm_cycles);
  if (s->kind == FG_COMM) {
    g->nvlink_bytes += (uint64_t)(used_ns * 1e-9 * g->nvlinks * LINK_BPS * 0.8);
    return;
  }
  uint32_t format = s->kind == FG_MEMORY ? FG_FP32 : s->format;
  double cycles = work / r->chip->rate[format];
  if (s->kind == FG_MEMORY) cycles *= 2; /* additions: half of what a rate of multiply-adds counts */
  enum fg_counter pipe = fg_pipe[format];
  add(&g->cycles[pipe], &r->cycle_carry[pipe], cycles);
  if (fg_is_tensor(format)) add(&g->cycles[FG_MMA], &r->cycle_carry[FG_MMA], cycles);
  add(&g->cycles[FG_INTEGER], &r->cycle_carry[FG_INTEGER], 0.02 * sm_cycles); /* addresses */
  add_flop(&g->flop_tera[format], &g->flop_rest[format], &r->flop_carry[format], work);
  add_flop(&s->flop_tera, &s->flop_rest, &w->flop_carry, work);
  double dram = s->kind == FG_MEMORY ? 0.9 : 0.3;
  g->dram_bytes += (uint64_t)(used_ns * 1e-9 * dram * (double)g->memory_bps);
  g->compute_active_ns += used_ns;
}

static double work_left(const struct fg_slot *s, const struct slot_run *w) {
  if (s->persistent) return w->seen ? INFINITY : 0;
  if (w->seen <= s->done) return 0;
  return (double)(w->seen - s->done) * (double)s->unit_work - w->progress;
}

/* Executes up to `ns` of a slot's work at `rate`; returns the time used. */
static uint64_t execute(struct fg_gpu *g, struct gpu_run *r, struct fg_slot *s, struct slot_run *w,
                        uint64_t ns, double rate) {
  double left = work_left(s, w), can = rate * (double)ns * 1e-9, work = can;
  uint64_t used = ns;
  if (left <= can) {
    work = left;
    used = (uint64_t)(left / rate * 1e9);
    s->done = w->seen;
    w->progress = 0;
  } else {
    double at = w->progress + work, whole = floor(at / (double)s->unit_work);
    w->progress = at - whole * (double)s->unit_work;
    s->done += (uint64_t)whole;
  }
  account(g, r, s, w, work, used);
  return used;
}

static void sample(struct fg_state *st, struct fg_gpu *g, struct gpu_run *r, uint32_t index,
                   uint64_t now) {
  uint64_t span = now - r->sample_from, wall_us = fg_clock_ns(CLOCK_REALTIME) / 1000;
  struct fg_sample *s = &g->samples[g->samples_written % FG_MAX_SAMPLES];
  s->timestamp_us = wall_us;
  s->gpu_util_pct = (uint32_t)((r->sample_busy_ns * 100 + span / 2) / span);
  double dram = (double)(g->dram_bytes - r->sample_dram);
  s->memory_util_pct = (uint32_t)(100 * dram / ((double)g->memory_bps * (double)span * 1e-9));
  s->sm_clock_mhz = g->clock_mhz;
  s->power_mw = g->power_mw;
  g->samples_written++;
  for (int i = 0; i < fg_slots(st); i++) {
    struct fg_slot *slot = &st->slot[i];
    if (FG_LOAD(slot->state) != FG_ALIVE || slot->gpu != index) continue;
    slot->util_timestamp_us = wall_us;
    slot->util_pct = (uint32_t)((runs[i].sample_busy_ns * 100 + span / 2) / span);
    runs[i].sample_busy_ns = 0;
  }
  r->sample_from = now;
  r->sample_busy_ns = 0;
  r->sample_dram = g->dram_bytes;
}

/* Kernels of several processes take turns; what one leaves unused the others get. */
static uint64_t take_turns(struct fg_state *st, struct fg_gpu *g, struct gpu_run *r, int *ready,
                           int n, uint64_t dt, uint64_t from) {
  uint64_t left = dt;
  while (n > 0 && left > 0) {
    uint64_t slice = left / (uint64_t)n;
    if (slice == 0) slice = left;
    int kept = 0;
    for (int k = 0; k < n && left > 0; k++) {
      struct fg_slot *s = &st->slot[ready[k]];
      struct slot_run *w = &runs[ready[k]];
      left -= execute(g, r, s, w, slice < left ? slice : left, rate_of(r->chip, s, g->clock_mhz));
      if (s->kind != FG_COMM) g->last_math_ns = from + dt - left;
      if (work_left(s, w) > 0) ready[kept++] = ready[k];
    }
    n = kept;
  }
  g->running = (uint32_t)(n > 0);
  return dt - left;
}

static void tick_gpu(struct fg_state *st, uint32_t index, uint64_t from, uint64_t to, int *slots,
                     int count) {
  struct fg_gpu *g = &st->gpu[index];
  struct gpu_run *r = &gpus[index];
  int ready[FG_MAX_SLOTS], n = 0, context = 0, tensor = 0;
  double load = 0;
  for (int k = 0; k < count; k++) {
    int i = slots[k];
    struct fg_slot *s = &st->slot[i];
    if (s->gpu != index) continue;
    context = 1;
    if (work_left(s, &runs[i]) <= 0) continue;
    ready[n++] = i;
    load += load_of(s);
    if (s->kind == FG_GEMM && fg_at_tensor_clock(s->format)) tensor = 1;
  }
  uint64_t dt = to - from;
  if (n > 0) load /= n;
  g->clock_mhz = clock_of(g, context, tensor, load);
  for (int k = 0; k < n; k++)
    FG_STORE(st->slot[ready[k]].rate_per_s,
             (uint64_t)rate_of(r->chip, &st->slot[ready[k]], g->clock_mhz));
  uint64_t busy = FG_LOAD(g->lost) ? 0 : take_turns(st, g, r, ready, n, dt, from);
  if (busy) g->last_work_ns = from + busy;
  if (!n || !busy) g->running = 0;
  g->kernel_active_ns += busy;
  r->sample_busy_ns += busy;
  add(&g->cycles[FG_ELAPSED], &r->cycle_carry[FG_ELAPSED],
      (double)dt * 1e-9 * g->clock_mhz * 1e6 * g->sm_count);
  double f = (double)g->clock_mhz / (tensor ? g->tensor_mhz : g->boost_mhz);
  double power = g->idle_mw + (g->tdp_mw - g->idle_mw) * load * f * f * (double)busy / (double)dt;
  add(&g->energy_uj, &r->energy_carry, power * (double)dt * 1e-6); /* mW x ns = 1e-6 uJ */
  if (to - r->energy_at >= ENERGY_NS) {
    g->energy_shown_mj = g->energy_uj / 1000;
    g->power_mw = (uint32_t)((double)(g->energy_uj - r->shown_uj) * 1e6 / (double)(to - r->energy_at));
    r->shown_uj = g->energy_uj;
    r->energy_at = to;
  }
  if (to - r->sample_from >= SAMPLE_NS) sample(st, g, r, index, to);
}

void fg_engine_tick(struct fg_state *st, uint64_t from, uint64_t to) {
  int slots[FG_MAX_SLOTS], count = 0;
  for (int i = 0; i < fg_slots(st); i++)
    if (FG_LOAD(st->slot[i].state) == FG_ALIVE) slots[count++] = i; /* a death ends this tick */
  for (uint32_t i = 0; i < st->gpus; i++) tick_gpu(st, i, from, to, slots, count);
}
