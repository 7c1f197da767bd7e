/* The part of NVML's binary interface that the fake serves. Sizes are checked here and, with
 * every offset, against the ctypes of the real nvidia-ml-py in the tests. */
#ifndef FLOPGATE_NVML_ABI_H
#define FLOPGATE_NVML_ABI_H

#include <stdint.h>

enum nvml_return {
  NVML_SUCCESS = 0, NVML_UNINITIALIZED = 1, NVML_INVALID_ARGUMENT = 2, NVML_NOT_SUPPORTED = 3,
  NVML_NO_PERMISSION = 4, NVML_NOT_FOUND = 6, NVML_INSUFFICIENT_SIZE = 7,
  NVML_DRIVER_NOT_LOADED = 9, NVML_TIMEOUT = 10, NVML_GPU_IS_LOST = 15,
  NVML_LIB_RM_VERSION_MISMATCH = 18, NVML_MEMORY = 20, NVML_NO_DATA = 21,
  NVML_ARGUMENT_VERSION_MISMATCH = 25, NVML_UNKNOWN = 999
};
enum nvml_value_type { NVML_DOUBLE, NVML_UINT, NVML_ULONG, NVML_ULONGLONG, NVML_SLONGLONG };
enum nvml_clock { NVML_CLOCK_GRAPHICS, NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_CLOCK_VIDEO };
enum nvml_sampling {
  NVML_POWER_SAMPLES, NVML_GPU_SAMPLES, NVML_MEMORY_SAMPLES, NVML_ENC_SAMPLES, NVML_DEC_SAMPLES,
  NVML_CLOCK_SAMPLES, NVML_MEMORY_CLOCK_SAMPLES
};

typedef struct nvml_device *nvmlDevice_t;
typedef struct nvml_event_set *nvmlEventSet_t;
typedef struct nvml_gpm_sample *nvmlGpmSample_t;

typedef union {
  double dVal;
  unsigned uiVal;
  unsigned long ulVal;
  unsigned long long ullVal;
  long long sllVal;
} nvmlValue_t;
typedef struct { unsigned long long timeStamp; nvmlValue_t sampleValue; } nvmlSample_t;
typedef struct {
  char busIdLegacy[16];
  unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
  char busId[32];
} nvmlPciInfo_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct {
  unsigned version;
  unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
typedef struct {
  unsigned pid;
  unsigned long long usedGpuMemory;
  unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
typedef struct {
  unsigned pid;
  unsigned long long timeStamp;
  unsigned smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;
typedef struct {
  unsigned fieldId, scopeId;
  long long timestamp, latencyUsec;
  unsigned valueType, nvmlReturn;
  nvmlValue_t value;
} nvmlFieldValue_t;
typedef struct { unsigned version; unsigned long long value; } nvmlPdi_t;
typedef struct {
  unsigned version;
  unsigned char clusterUuid[16];
  unsigned status, cliqueId, state, healthMask;
} nvmlGpuFabricInfo_v2_t;
typedef struct {
  unsigned version;
  unsigned char clusterUuid[16];
  unsigned status, cliqueId, state, healthMask;
  unsigned char healthSummary;
} nvmlGpuFabricInfo_v3_t;
typedef struct {
  unsigned version;
  unsigned char ibGuid[16], chassisSerialNumber[16];
  unsigned char slotNumber, trayIndex, hostId, peerType, moduleId;
} nvmlPlatformInfo_v2_t;
typedef struct { unsigned environment, ccFeature, devToolsMode; } nvmlConfComputeSystemState_t;
typedef struct { unsigned timeRun; } nvmlBBXTimeData_v1_t;
typedef struct {
  nvmlDevice_t device;
  unsigned long long eventType, eventData;
  unsigned gpuInstanceId, computeInstanceId;
} nvmlEventData_t;
typedef struct { const char *shortName, *longName, *unit; } nvmlMetricInfo_t;
typedef struct {
  unsigned metricId, nvmlReturn;
  double value;
  nvmlMetricInfo_t metricInfo;
} nvmlGpmMetric_t;
#define NVML_GPM_METRIC_MAX 477
typedef struct {
  unsigned version, numMetrics;
  nvmlGpmSample_t sample1, sample2;
  nvmlGpmMetric_t metrics[NVML_GPM_METRIC_MAX];
} nvmlGpmMetricsGet_t;
typedef struct { unsigned version, isSupportedDevice; } nvmlGpmSupport_t;
typedef struct nvml_gpu_instance *nvmlGpuInstance_t;
typedef struct { unsigned start, size; } nvmlGpuInstancePlacement_t;
typedef struct {
  unsigned version, id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount,
      copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
  unsigned long long memorySizeMB;
  char name[96];
} nvmlGpuInstanceProfileInfo_v2_t;
typedef struct {
  nvmlDevice_t device;
  unsigned id, profileId;
  nvmlGpuInstancePlacement_t placement;
} nvmlGpuInstanceInfo_t;

#define NVML_TAG(type, number) ((unsigned)sizeof(type) | (number) << 24)

_Static_assert(sizeof(nvmlGpmMetricsGet_t) == 19104, "GPM metrics");
_Static_assert(sizeof(nvmlGpuFabricInfo_v2_t) == 36, "fabric info v2");
_Static_assert(sizeof(nvmlGpuFabricInfo_v3_t) == 40, "fabric info v3");
_Static_assert(sizeof(nvmlPlatformInfo_v2_t) == 44, "platform info v2");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "memory v2");
_Static_assert(sizeof(nvmlProcessInfo_t) == 24, "process info v3");
_Static_assert(sizeof(nvmlGpuInstanceProfileInfo_v2_t) == 152, "GPU instance profile info v2");
_Static_assert(sizeof(nvmlPciInfo_t) == 68, "PCI info");

#endif
