/* GPM: snapshots of the cycle counters, and metrics from two of them. Hopper and newer. */
#include "fake_nvml.h"

#include <stdlib.h>

#define GPM_VERSION 1
#define MIN_WINDOW_NS 100000000ull
#define MIB (1024.0 * 1024.0)
#define NO_PIPE (-1)

struct nvml_gpm_sample {
  int gpu; /* -1: never filled */
  uint64_t taken_ns;
  uint64_t cycles[FG_COUNTERS];
  uint64_t dram_bytes, nvlink_bytes, compute_active_ns, kernel_active_ns;
};

ret_t nvmlGpmQueryDeviceSupport(nvmlDevice_t handle, nvmlGpmSupport_t *out) {
  DEVICE(handle);
  NEED(out);
  if (out->version != GPM_VERSION) return NVML_ARGUMENT_VERSION_MISMATCH;
  out->isSupportedDevice = fg_u32(g->gpm);
  return NVML_SUCCESS;
}

ret_t nvmlGpmSampleAlloc(nvmlGpmSample_t *out) {
  ENTER();
  NEED(out);
  *out = calloc(1, sizeof **out);
  if (!*out) return NVML_MEMORY;
  (*out)->gpu = -1;
  return NVML_SUCCESS;
}

ret_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
  ENTER();
  free(sample);
  return NVML_SUCCESS;
}

static ret_t take(struct fg_gpu *g, nvmlGpmSample_t sample, const struct fg_instance *part,
                  unsigned part_sms) {
  if (!g->gpm) return NVML_NOT_SUPPORTED;
  struct fg_gpu copy;
  fg_snapshot(g, &copy);
  unsigned sms = part ? part_sms : copy.sm_count;
  sample->gpu = fg_index(g);
  sample->taken_ns = fg_clock_ns(CLOCK_BOOTTIME);
  for (int i = 0; i < FG_COUNTERS; i++) {
    uint64_t back = part ? part->since[i] : copy.cycles_back[i];
    sample->cycles[i] = copy.cycles[i] > back ? copy.cycles[i] - back : 0;
    if (part && i == FG_ELAPSED)
      sample->cycles[i] = sample->cycles[i] / copy.sm_count * sms;
    else if (part)
      sample->cycles[i] = (uint64_t)((double)sample->cycles[i] * part->share_ppm * 1e-6);
    if (i != FG_ELAPSED && FG_LOAD(g->gpm_idle)) sample->cycles[i] = 0;
    if (copy.gpm_averaged) sample->cycles[i] /= sms;
  }
  sample->dram_bytes = copy.dram_bytes;
  sample->nvlink_bytes = copy.nvlink_bytes;
  sample->compute_active_ns = copy.compute_active_ns;
  sample->kernel_active_ns = copy.kernel_active_ns;
  return NVML_SUCCESS;
}

ret_t nvmlGpmSampleGet(nvmlDevice_t handle, nvmlGpmSample_t sample) {
  DEVICE(handle);
  NEED(sample);
  return take(g, sample, NULL, 0);
}

ret_t nvmlGpmMigSampleGet(nvmlDevice_t handle, unsigned instance, nvmlGpmSample_t sample) {
  DEVICE(handle);
  NEED(sample);
  if (!FG_LOAD(g->mig_mode)) return NVML_NOT_SUPPORTED;
  const struct fg_instance *part = fg_instance_of(g, instance);
  return part ? take(g, sample, part, fg_profile_sms(g, part->profile)) : NVML_NOT_FOUND;
}

static int percentage_counter(unsigned id) {
  static const int counters[] = {
    [2] = FG_ACTIVE, [4] = FG_INTEGER, [5] = FG_MMA, [6] = FG_DFMA, [7] = FG_HMMA, [8] = FG_DMMA,
    [9] = FG_IMMA, [11] = FG_PIPE_FP64, [12] = FG_PIPE_FP32, [13] = FG_PIPE_FP16};
  if (id < 2 || id > 13 || id == 3 || id == 10) return NO_PIPE;
  return counters[id];
}

static int cumulative_counter(unsigned id) {
  static const int counters[] = {FG_ELAPSED, FG_ACTIVE, FG_MMA, FG_DMMA, FG_HMMA, FG_IMMA, FG_DFMA};
  static const int later[] = {FG_INTEGER, FG_PIPE_FP64, FG_PIPE_FP32, FG_PIPE_FP16};
  if (id >= 248 && id <= 254) return counters[id - 248];
  if (id >= 257 && id <= 260) return later[id - 257];
  return NO_PIPE;
}

static double delta(uint64_t before, uint64_t after) {
  return after > before ? (double)(after - before) : 0;
}

static ret_t metric(const struct nvml_gpm_sample *a, const struct nvml_gpm_sample *b,
                    nvmlGpmMetric_t *m) {
  const struct fg_gpu *g = &fg_st->gpu[b->gpu];
  unsigned id = m->metricId;
  int counter = cumulative_counter(id);
  double seconds = (double)(b->taken_ns - a->taken_ns) * 1e-9;
  if (id >= 248 && id <= 260 && FG_LOAD(g->gpm_percent_only)) return NVML_NOT_SUPPORTED;
  if (counter != NO_PIPE) { /* absolute, since the driver was loaded: the second sample alone */
    m->value = FG_LOAD(g->gpm_relative) ? delta(a->cycles[counter], b->cycles[counter])
                                        : (double)b->cycles[counter];
    return NVML_SUCCESS;
  }
  if (id == 255 || id == 256) { /* PCIe bytes: nothing crosses the bus here */
    m->value = 0;
    return NVML_SUCCESS;
  }
  if (b->taken_ns < a->taken_ns + MIN_WINDOW_NS) return NVML_NO_DATA;
  double elapsed = delta(a->cycles[FG_ELAPSED], b->cycles[FG_ELAPSED]);
  counter = percentage_counter(id);
  if (counter != NO_PIPE && elapsed > 0) {
    m->value = 100 * delta(a->cycles[counter], b->cycles[counter]) / elapsed;
    return NVML_SUCCESS;
  }
  switch (id) {
    case 1: /* graphics or compute engine busy, of time */
      m->value = 100 * delta(a->kernel_active_ns, b->kernel_active_ns) / (seconds * 1e9);
      return NVML_SUCCESS;
    case 3: /* occupancy: a third of the warps while kernels run */
      m->value = elapsed > 0 ? 33 * delta(a->cycles[FG_ACTIVE], b->cycles[FG_ACTIVE]) / elapsed : 0;
      return NVML_SUCCESS;
    case 10:
      m->value = 100 * delta(a->dram_bytes, b->dram_bytes) / ((double)g->memory_bps * seconds);
      return NVML_SUCCESS;
    case 20:
    case 21: m->value = 0; return NVML_SUCCESS;
    case 60:
    case 61:
      m->value = delta(a->nvlink_bytes, b->nvlink_bytes) / MIB / seconds;
      return NVML_SUCCESS;
    default: return NVML_NOT_SUPPORTED;
  }
}

ret_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *query) {
  NEED(query && query->sample1 && query->sample2);
  const struct nvml_gpm_sample *a = query->sample1, *b = query->sample2;
  ret_t entered = fg_enter(__func__, b->gpu);
  if (entered) return entered;
  if (query->version != GPM_VERSION) return NVML_ARGUMENT_VERSION_MISMATCH;
  if (query->numMetrics > NVML_GPM_METRIC_MAX || b->gpu < 0 || a->gpu != b->gpu)
    return NVML_INVALID_ARGUMENT;
  for (unsigned i = 0; i < query->numMetrics; i++) {
    nvmlGpmMetric_t *m = &query->metrics[i];
    m->metricInfo = (nvmlMetricInfo_t){"fake", "fake", ""};
    m->nvmlReturn = metric(a, b, m);
    if (fg_garbage) m->value = (double)SENTINEL_64;
  }
  return NVML_SUCCESS;
}
