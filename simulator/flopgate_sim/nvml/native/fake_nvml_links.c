/* What NVML tells about where one GPU hangs: field values, fabric, platform, NVLinks and their ends. */
#include "fake_nvml.h"

#include <stdio.h>
#include <string.h>

/* Links of the eight V100 of a DGX-1: a cube whose faces have doubled edges (its whitepaper). */
static const unsigned char mesh[8][6] = {
  {1, 2, 3, 3, 4, 4}, {0, 2, 2, 3, 5, 5}, {0, 1, 1, 3, 3, 6}, {0, 0, 1, 2, 2, 7},
  {0, 0, 5, 6, 7, 7}, {1, 1, 4, 6, 6, 7}, {2, 4, 5, 5, 7, 7}, {3, 4, 4, 5, 6, 6},
};

/* Without switches: the GPU at the other end, on the same board of eight. */
static unsigned peer_gpu(const struct fg_gpu *g, unsigned link) {
  unsigned index = (unsigned)fg_index(g);
  return (index & ~7u) + mesh[index & 7][link];
}

static int link_up(const struct fg_gpu *g, unsigned link) {
  if (!g->link_switches && peer_gpu(g, link) >= fg_st->gpus) return 0;
  return !(FG_LOAD(g->link_down_mask) >> link & 1);
}

/* Of a fabric beyond the host the switches are no PCI devices of the host. */
static int beyond_host(void) {
  static const uint8_t none[16];
  return memcmp(fg_st->fabric_uuid, none, sizeof none) != 0;
}

static ret_t field_value(const struct fg_gpu *g, nvmlFieldValue_t *v) {
  v->valueType = NVML_UINT;
  switch (v->fieldId) {
    case 83: /* TOTAL_ENERGY_CONSUMPTION */
      v->valueType = NVML_ULONGLONG;
      v->value.ullVal = fg_u64(fg_shown_energy_mj(g));
      return NVML_SUCCESS;
    case 90: /* NVLINK_SPEED_MBPS_COMMON */
      v->value.uiVal = fg_u32(g->link_mbyte_per_s);
      return g->nvlinks ? NVML_SUCCESS : NVML_NOT_SUPPORTED;
    case 91: v->value.uiVal = fg_u32(g->nvlinks); return NVML_SUCCESS; /* NVLINK_LINK_COUNT */
    case 185: /* POWER_AVERAGE */
    case 186: v->value.uiVal = fg_u32(g->power_mw); return NVML_SUCCESS; /* POWER_INSTANT */
    case 187: v->value.uiVal = fg_u32(g->min_limit_mw); return NVML_SUCCESS;
    case 188: /* POWER_MAX_LIMIT */
    case 189: v->value.uiVal = fg_u32(g->tdp_mw); return NVML_SUCCESS; /* POWER_DEFAULT_LIMIT */
    case 190: v->value.uiVal = fg_u32(g->limit_mw); return NVML_SUCCESS; /* POWER_CURRENT_LIMIT */
    case 164: /* NVLINK_GET_SPEED of the link in scopeId; not before Hopper here */
      if (!g->gpm || v->scopeId >= g->nvlinks) return NVML_NOT_SUPPORTED;
      v->value.uiVal = link_up(g, v->scopeId) ? fg_u32(g->link_mbyte_per_s) : 0;
      return NVML_SUCCESS;
    default: return NVML_NOT_SUPPORTED;
  }
}

ret_t nvmlDeviceGetFieldValues(nvmlDevice_t handle, int count, nvmlFieldValue_t *values) {
  DEVICE(handle);
  NEED(count > 0 && values);
  for (int i = 0; i < count; i++) {
    values[i].timestamp = (long long)(fg_clock_ns(CLOCK_REALTIME) / 1000);
    values[i].latencyUsec = 10;
    values[i].nvmlReturn = field_value(g, &values[i]);
  }
  return NVML_SUCCESS;
}

static void fabric(const struct fg_gpu *g, unsigned char *uuid, unsigned *status, unsigned *clique,
                   unsigned *state, unsigned *health) {
  memcpy(uuid, fg_st->fabric_uuid, 16);
  if (fg_garbage) memset(uuid, 0xFF, 16);
  *status = NVML_SUCCESS;
  *clique = fg_u32(fg_st->fabric_clique);
  *state = g->gpm ? 3 : 0; /* completed; the older fabric does not register */
  *health = g->gpm ? 0x2 : 0; /* bandwidth not degraded */
}

ret_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t handle, void *out) {
  DEVICE(handle);
  NEED(out);
  nvmlGpuFabricInfo_v3_t *info = out; /* version 2 is its beginning */
  unsigned version = info->version;
  if (version != NVML_TAG(nvmlGpuFabricInfo_v2_t, 2) &&
      (version != NVML_TAG(nvmlGpuFabricInfo_v3_t, 3) || FG_LOAD(g->fabric_v2_only)))
    return NVML_ARGUMENT_VERSION_MISMATCH;
  fabric(g, info->clusterUuid, &info->status, &info->cliqueId, &info->state, &info->healthMask);
  if (version == NVML_TAG(nvmlGpuFabricInfo_v3_t, 3)) info->healthSummary = g->gpm ? 1 : 0;
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetPlatformInfo(nvmlDevice_t handle, nvmlPlatformInfo_v2_t *out) {
  DEVICE(handle);
  NEED(out);
  if (out->version != NVML_TAG(nvmlPlatformInfo_v2_t, 2)) return NVML_ARGUMENT_VERSION_MISMATCH;
  if (g->architecture < 10) return NVML_NOT_SUPPORTED;
  memset(out->ibGuid, fg_garbage ? 0xFF : 0, sizeof out->ibGuid);
  if (!fg_garbage) memcpy(out->ibGuid, &g->pdi, sizeof g->pdi);
  /* 13 digits on Blackwell, the rest zero. All hosts of a fabric stand in one chassis. */
  uint64_t chassis = fg_st->seed;
  if (beyond_host()) memcpy(&chassis, fg_st->fabric_uuid, sizeof chassis);
  memset(out->chassisSerialNumber, 0, sizeof out->chassisSerialNumber);
  snprintf((char *)out->chassisSerialNumber, sizeof out->chassisSerialNumber, "%013llu",
           (unsigned long long)(chassis % 10000000000000ull));
  out->slotNumber = (unsigned char)fg_u32(1);
  out->trayIndex = (unsigned char)fg_u32(0);
  out->hostId = (unsigned char)fg_u32(1);
  out->peerType = (unsigned char)fg_u32(1);
  out->moduleId = (unsigned char)fg_u32((unsigned)fg_index(g) + 1);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetNvLinkState(nvmlDevice_t handle, unsigned link, unsigned *out) {
  DEVICE(handle);
  NEED(out && link < g->nvlinks);
  *out = fg_u32(link_up(g, link) ? 1 : 0);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t handle, unsigned link, unsigned *out) {
  DEVICE(handle);
  NEED(out && link < g->nvlinks);
  *out = fg_u32(g->link_switches ? 2 : 0);
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t handle, unsigned link, nvmlPciInfo_t *out) {
  DEVICE(handle);
  NEED(out && link < g->nvlinks);
  if (g->link_switches) {
    int far = beyond_host();
    *out = (nvmlPciInfo_t){.bus = far ? 0 : 5 + link % g->link_switches, .pciDeviceId = 0x22A310DE};
    snprintf(out->busId, sizeof out->busId, "%08X:%02X:%02X.0", 0u, out->bus & 0xff, 0u);
  } else {
    unsigned peer = peer_gpu(g, link);
    if (peer >= fg_st->gpus) return NVML_NOT_FOUND;
    const struct fg_gpu *end = &fg_st->gpu[peer];
    *out = (nvmlPciInfo_t){.domain = end->pci_domain, .bus = end->pci_bus,
                           .device = end->pci_device, .pciDeviceId = end->pci_device_id};
    memcpy(out->busId, end->bus_id, sizeof out->busId);
  }
  if (fg_garbage) memset(out->busId, 0xFF, sizeof out->busId - 1);
  snprintf(out->busIdLegacy, sizeof out->busIdLegacy, "%.12s", out->busId + 4);
  return NVML_SUCCESS;
}
