/* Lists by the two-call protocol, events, and the drain state. */
#include "fake_nvml.h"

#include <stdlib.h>
#include <string.h>

#define XID_EVENT 0x8ull

static ret_t processes(const struct fg_gpu *g, unsigned context, unsigned *count,
                       nvmlProcessInfo_t *out) {
  NEED(count);
  unsigned n = 0, room = out ? *count : 0;
  for (int i = 0; i < fg_slots(fg_st); i++) {
    const struct fg_slot *s = &fg_st->slot[i];
    if (FG_LOAD(s->state) != FG_ALIVE || (int)s->gpu != fg_index(g) || s->context != context)
      continue;
    if (n < room)
      out[n] = (nvmlProcessInfo_t){fg_u32((unsigned)s->pid), fg_u64(s->memory_bytes), SENTINEL_32,
                                   SENTINEL_32};
    n++;
  }
  *count = n;
  return n > room ? NVML_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

#define PROCESSES(name, context)                                                    \
  ret_t name(nvmlDevice_t handle, unsigned *count, nvmlProcessInfo_t *out) {        \
    DEVICE(handle);                                                                 \
    return processes(g, context, count, out);                                       \
  }
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, FG_COMPUTE)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, FG_MPS)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, FG_GRAPHICS)

ret_t nvmlDeviceGetProcessUtilization(nvmlDevice_t handle, nvmlProcessUtilizationSample_t *out,
                                      unsigned *count, unsigned long long newer_than_us) {
  DEVICE(handle);
  NEED(count);
  unsigned n = 0, room = out ? *count : 0;
  for (int i = 0; i < fg_slots(fg_st); i++) {
    const struct fg_slot *s = &fg_st->slot[i];
    if (FG_LOAD(s->state) != FG_ALIVE || (int)s->gpu != fg_index(g)) continue;
    if (s->util_timestamp_us <= newer_than_us) continue;
    if (n < room)
      out[n] = (nvmlProcessUtilizationSample_t){.pid = (unsigned)s->pid,
                                                .timeStamp = fg_u64(s->util_timestamp_us),
                                                .smUtil = fg_u32(s->util_pct)};
    n++;
  }
  if (n == 0) return NVML_NOT_FOUND;
  *count = n;
  return n > room ? NVML_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

ret_t nvmlDeviceGetUtilizationRates(nvmlDevice_t handle, nvmlUtilization_t *out) {
  DEVICE(handle);
  NEED(out);
  struct fg_gpu copy;
  fg_snapshot(g, &copy);
  uint64_t last = (copy.samples_written + FG_MAX_SAMPLES - 1) % FG_MAX_SAMPLES;
  out->gpu = fg_u32(copy.samples_written ? copy.samples[last].gpu_util_pct : 0);
  out->memory = fg_u32(copy.samples_written ? copy.samples[last].memory_util_pct : 0);
  return NVML_SUCCESS;
}

static unsigned sample_value(const struct fg_gpu *g, const struct fg_sample *s, unsigned type) {
  switch (type) {
    case NVML_POWER_SAMPLES: return s->power_mw;
    case NVML_GPU_SAMPLES: return s->gpu_util_pct;
    case NVML_MEMORY_SAMPLES: return s->memory_util_pct;
    case NVML_CLOCK_SAMPLES: return s->sm_clock_mhz;
    case NVML_MEMORY_CLOCK_SAMPLES: return g->memory_mhz;
    default: return 0; /* encoder and decoder stand still */
  }
}

ret_t nvmlDeviceGetSamples(nvmlDevice_t handle, unsigned type, unsigned long long newer_than_us,
                           unsigned *value_type, unsigned *count, nvmlSample_t *out) {
  DEVICE(handle);
  NEED(value_type && count);
  if (type > NVML_MEMORY_CLOCK_SAMPLES) return NVML_INVALID_ARGUMENT;
  *value_type = NVML_UINT;
  if (!out) { /* the probe tells the buffer's size, whatever is in it */
    *count = FG_MAX_SAMPLES;
    return NVML_SUCCESS;
  }
  struct fg_gpu copy;
  fg_snapshot(g, &copy);
  uint64_t written = copy.samples_written;
  uint64_t first = written > FG_MAX_SAMPLES ? written - FG_MAX_SAMPLES : 0;
  unsigned n = 0;
  for (uint64_t i = first; i < written && n < *count; i++) {
    const struct fg_sample *s = &copy.samples[i % FG_MAX_SAMPLES];
    if (s->timestamp_us <= newer_than_us) continue;
    out[n].timeStamp = s->timestamp_us;
    out[n].sampleValue.ullVal = 0;
    out[n++].sampleValue.uiVal = fg_u32(sample_value(g, s, type));
  }
  *count = n;
  return n ? NVML_SUCCESS : NVML_NOT_FOUND;
}

struct nvml_event_set {
  unsigned char watched[FG_MAX_GPUS];
  uint32_t seen[FG_MAX_GPUS];
};

ret_t nvmlEventSetCreate(nvmlEventSet_t *out) {
  ENTER();
  NEED(out);
  *out = calloc(1, sizeof **out);
  return *out ? NVML_SUCCESS : NVML_MEMORY;
}

ret_t nvmlEventSetFree(nvmlEventSet_t set) {
  ENTER();
  free(set);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t handle, unsigned long long *out) {
  DEVICE(handle);
  NEED(out);
  *out = XID_EVENT;
  return NVML_SUCCESS;
}

ret_t nvmlDeviceRegisterEvents(nvmlDevice_t handle, unsigned long long types, nvmlEventSet_t set) {
  DEVICE(handle);
  NEED(set);
  if (types & ~XID_EVENT) return NVML_NOT_SUPPORTED;
  set->watched[fg_index(g)] = 1;
  set->seen[fg_index(g)] = FG_LOAD(g->xid_sequence);
  return NVML_SUCCESS;
}

ret_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *out, unsigned timeout_ms) {
  ENTER();
  NEED(set && out);
  uint64_t until = fg_clock_ns(CLOCK_MONOTONIC) + timeout_ms * 1000000ull;
  for (;;) {
    for (unsigned i = 0; i < fg_st->gpus; i++) {
      uint32_t now = FG_LOAD(fg_st->gpu[i].xid_sequence);
      if (!set->watched[i] || set->seen[i] == now) continue;
      set->seen[i] = now;
      *out = (nvmlEventData_t){fg_handle(i), XID_EVENT, FG_LOAD(fg_st->gpu[i].xid), SENTINEL_32,
                               SENTINEL_32};
      return NVML_SUCCESS;
    }
    if (fg_clock_ns(CLOCK_MONOTONIC) >= until) return NVML_TIMEOUT;
    struct timespec t = {.tv_nsec = 5000000};
    nanosleep(&t, NULL);
  }
}

static ret_t by_pci(const char *call, const nvmlPciInfo_t *pci, struct fg_gpu **out) {
  if (!fg_st) return NVML_UNINITIALIZED;
  NEED(pci);
  for (unsigned i = 0; i < fg_st->gpus; i++) {
    struct fg_gpu *g = &fg_st->gpu[i];
    if (g->pci_domain == pci->domain && g->pci_bus == pci->bus && g->pci_device == pci->device)
      return fg_enter_device(call, fg_handle(i), out);
  }
  return NVML_NOT_FOUND;
}

ret_t nvmlDeviceModifyDrainState(const nvmlPciInfo_t *pci, unsigned state) {
  struct fg_gpu *g = NULL;
  ret_t entered = by_pci(__func__, pci, &g);
  if (entered) return entered;
  NEED(state <= 1);
  FG_STORE(g->draining, state);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceQueryDrainState(const nvmlPciInfo_t *pci, unsigned *out) {
  struct fg_gpu *g = NULL;
  ret_t entered = by_pci(__func__, pci, &g);
  if (entered) return entered;
  NEED(out);
  *out = fg_u32(FG_LOAD(g->draining));
  return NVML_SUCCESS;
}
