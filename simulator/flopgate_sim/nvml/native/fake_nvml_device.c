/* What NVML tells about one GPU: identity, clocks, power, memory, modes; and the setters. */
#include "fake_nvml.h"

#include <stdio.h>
#include <string.h>

GET_TEXT(nvmlDeviceGetName, g->name)
GET_TEXT(nvmlDeviceGetUUID, g->uuid)
GET_TEXT(nvmlDeviceGetSerial, g->serial)
GET_TEXT(nvmlDeviceGetVbiosVersion, g->vbios)
GET_TEXT(nvmlDeviceGetInforomImageVersion, g->inforom)
GET_U32(nvmlDeviceGetIndex, fg_index(g))
GET_U32(nvmlDeviceGetMinorNumber, g->minor)
GET_U32(nvmlDeviceGetArchitecture, g->architecture)
GET_U32(nvmlDeviceGetNumGpuCores, g->cores)
GET_U32(nvmlDeviceGetPowerUsage, g->power_mw)
GET_U32(nvmlDeviceGetEnforcedPowerLimit, g->limit_mw)
GET_U32(nvmlDeviceGetPowerManagementLimit, g->limit_mw)
GET_U32(nvmlDeviceGetPowerManagementDefaultLimit, g->tdp_mw)
GET_U32(nvmlDeviceGetComputeMode, g->compute_mode)
GET_U32(nvmlDeviceGetPersistenceMode, g->persistence)
GET_U32(nvmlDeviceGetMaxMigDeviceCount, 7)
GET_U64(nvmlDeviceGetCurrentClocksEventReasons, g->event_reasons)

uint64_t fg_shown_energy_mj(const struct fg_gpu *g) {
  uint64_t now = FG_LOAD(g->energy_shown_mj), back = FG_LOAD(g->energy_back_mj);
  return now > back ? now - back : 0;
}
GET_U64(nvmlDeviceGetTotalEnergyConsumption, fg_shown_energy_mj(g))

ret_t nvmlDeviceGetPdi(nvmlDevice_t handle, nvmlPdi_t *out) {
  DEVICE(handle);
  NEED(out);
  if (out->version != NVML_TAG(nvmlPdi_t, 1)) return NVML_ARGUMENT_VERSION_MISMATCH;
  if (!g->pdi) return NVML_NOT_SUPPORTED; /* before Hopper */
  out->value = fg_u64(g->pdi);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t handle, nvmlPciInfo_t *out) {
  DEVICE(handle);
  NEED(out);
  *out = (nvmlPciInfo_t){.domain = g->pci_domain, .bus = g->pci_bus, .device = g->pci_device,
                         .pciDeviceId = fg_u32(g->pci_device_id),
                         .pciSubSystemId = fg_u32(g->pci_subsystem_id)};
  memcpy(out->busId, g->bus_id, sizeof out->busId);
  snprintf(out->busIdLegacy, sizeof out->busIdLegacy, "%.12s", g->bus_id + 4);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t handle, int *major, int *minor) {
  DEVICE(handle);
  NEED(major && minor);
  *major = (int)g->cc_major;
  *minor = (int)g->cc_minor;
  return NVML_SUCCESS;
}

static ret_t clock_value(const struct fg_gpu *g, unsigned type, unsigned sm_mhz, unsigned *out) {
  NEED(out);
  if (type > NVML_CLOCK_VIDEO) return NVML_INVALID_ARGUMENT;
  *out = fg_u32(type == NVML_CLOCK_MEM ? g->memory_mhz : sm_mhz);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetClockInfo(nvmlDevice_t handle, unsigned type, unsigned *out) {
  DEVICE(handle);
  return clock_value(g, type, FG_LOAD(g->clock_mhz), out);
}

ret_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t handle, unsigned type, unsigned *out) {
  DEVICE(handle);
  return clock_value(g, type, g->boost_mhz, out);
}

ret_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t handle, unsigned *count, unsigned *clocks) {
  DEVICE(handle);
  NEED(count);
  unsigned room = *count;
  *count = 1;
  if (room < 1 || !clocks) return NVML_INSUFFICIENT_SIZE;
  clocks[0] = fg_u32(g->memory_mhz);
  return NVML_SUCCESS;
}

#define CLOCK_STEP_MHZ 15u
ret_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t handle, unsigned memory_mhz,
                                           unsigned *count, unsigned *clocks) {
  DEVICE(handle);
  NEED(count);
  if (memory_mhz != g->memory_mhz) return NVML_NOT_FOUND;
  unsigned room = *count;
  *count = (g->boost_mhz - g->min_mhz) / CLOCK_STEP_MHZ + 1;
  if (room < *count || !clocks) return NVML_INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < *count; i++) clocks[i] = fg_u32(g->boost_mhz - CLOCK_STEP_MHZ * i);
  clocks[*count - 1] = fg_u32(g->min_mhz);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t handle, unsigned *low,
                                                   unsigned *high) {
  DEVICE(handle);
  NEED(low && high);
  *low = fg_u32(g->min_limit_mw);
  *high = fg_u32(g->tdp_mw);
  return NVML_SUCCESS;
}

#define RESERVED_BYTES (600ull << 20)
static uint64_t used_bytes(const struct fg_gpu *g) {
  uint64_t used = 0;
  for (int i = 0; i < fg_slots(fg_st); i++)
    if (FG_LOAD(fg_st->slot[i].state) == FG_ALIVE && (int)fg_st->slot[i].gpu == fg_index(g))
      used += fg_st->slot[i].memory_bytes;
  uint64_t most = g->memory_bytes - RESERVED_BYTES;
  return used < most ? used : most;
}

ret_t nvmlDeviceGetMemoryInfo(nvmlDevice_t handle, nvmlMemory_t *out) {
  DEVICE(handle);
  NEED(out);
  uint64_t used = used_bytes(g) + RESERVED_BYTES; /* version 1 counts the reserve as used */
  *out = (nvmlMemory_t){fg_u64(g->memory_bytes), fg_u64(g->memory_bytes - used), fg_u64(used)};
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t handle, nvmlMemory_v2_t *out) {
  DEVICE(handle);
  NEED(out);
  if (out->version != NVML_TAG(nvmlMemory_v2_t, 2)) return NVML_ARGUMENT_VERSION_MISMATCH;
  uint64_t used = used_bytes(g);
  out->total = fg_u64(g->memory_bytes);
  out->reserved = fg_u64(RESERVED_BYTES);
  out->used = fg_u64(used);
  out->free = fg_u64(g->memory_bytes - RESERVED_BYTES - used);
  return NVML_SUCCESS;
}

static ret_t two(unsigned *current, unsigned *pending, unsigned value) {
  NEED(current && pending);
  *current = *pending = fg_u32(value);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetEccMode(nvmlDevice_t handle, unsigned *current, unsigned *pending) {
  DEVICE(handle);
  return two(current, pending, 1);
}

ret_t nvmlDeviceGetMigMode(nvmlDevice_t handle, unsigned *current, unsigned *pending) {
  DEVICE(handle);
  return two(current, pending, FG_LOAD(g->mig_mode));
}

ret_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t handle, unsigned index, nvmlDevice_t *out) {
  DEVICE(handle);
  NEED(out && index < 7);
  return NVML_NOT_FOUND; /* compute instances are not modelled */
}

ret_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t handle, unsigned type, unsigned counter,
                                  unsigned long long *out) {
  DEVICE(handle);
  NEED(out && type < 2 && counter < 2);
  *out = fg_u64(type == 0 ? g->ecc_corrected : g->ecc_uncorrected);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetLastBBXFlushTime(nvmlDevice_t handle, unsigned long long *stamp,
                                    unsigned long *duration_us) {
  DEVICE(handle);
  NEED(stamp && duration_us);
  *stamp = fg_u64(fg_clock_ns(CLOCK_REALTIME) / 60000000000ull * 60000000ull);
  *duration_us = 1000;
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetBBXTimeData_v1(nvmlDevice_t handle, nvmlBBXTimeData_v1_t *out) {
  DEVICE(handle);
  NEED(out);
  uint64_t ran_ns = FG_LOAD(fg_st->tick_ns) - fg_st->started_ns;
  out->timeRun = fg_u32((unsigned)(fg_st->boot_run_s + ran_ns / 1000000000ull));
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetConfComputeGpuAttestationReport(nvmlDevice_t handle, void *out) {
  DEVICE(handle);
  (void)out;
  return NVML_NOT_SUPPORTED;
}

ret_t nvmlDeviceGetConfComputeGpuCertificate(nvmlDevice_t handle, void *out) {
  DEVICE(handle);
  (void)out;
  return NVML_NOT_SUPPORTED;
}

ret_t nvmlDeviceSetComputeMode(nvmlDevice_t handle, unsigned mode) {
  DEVICE(handle);
  if (mode == 1 || mode > 3) return NVML_INVALID_ARGUMENT;
  if (FG_LOAD(g->mig_mode)) return NVML_NOT_SUPPORTED;
  FG_STORE(g->compute_mode, mode);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceSetPersistenceMode(nvmlDevice_t handle, unsigned mode) {
  DEVICE(handle);
  if (mode > 1) return NVML_INVALID_ARGUMENT;
  FG_STORE(g->persistence, mode);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceSetGpuLockedClocks(nvmlDevice_t handle, unsigned low, unsigned high) {
  DEVICE(handle);
  if (!high || low > high || high < g->min_mhz) return NVML_INVALID_ARGUMENT;
  FG_STORE(g->lock_min_mhz, low);
  FG_STORE(g->lock_max_mhz, high);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceResetGpuLockedClocks(nvmlDevice_t handle) {
  DEVICE(handle);
  FG_STORE(g->lock_min_mhz, 0u);
  FG_STORE(g->lock_max_mhz, 0u);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t handle, unsigned limit_mw) {
  DEVICE(handle);
  if (limit_mw < g->min_limit_mw || limit_mw > g->tdp_mw) return NVML_INVALID_ARGUMENT;
  FG_STORE(g->limit_mw, limit_mw);
  return NVML_SUCCESS;
}
