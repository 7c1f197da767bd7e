/* Prints what the Python mirror and the tests compare: one "struct field offset size" a line. */
#include "fake_engine.h"
#include "nvml_abi.h"

#include <stdio.h>

#define ROW(type, field) \
  printf("%s %s %zu %zu\n", #type, #field, offsetof(struct type, field), \
         sizeof(((struct type *)0)->field));
#define SAMPLE_F(t, name) ROW(fg_sample, name)
#define SAMPLE_A(t, name, n) ROW(fg_sample, name)
#define INSTANCE_F(t, name) ROW(fg_instance, name)
#define INSTANCE_A(t, name, n) ROW(fg_instance, name)
#define FAULT_F(t, name) ROW(fg_fault, name)
#define FAULT_A(t, name, n) ROW(fg_fault, name)
#define SLOT_F(t, name) ROW(fg_slot, name)
#define SLOT_A(t, name, n) ROW(fg_slot, name)
#define GPU_F(t, name) ROW(fg_gpu, name)
#define GPU_A(t, name, n) ROW(fg_gpu, name)
#define STATE_F(t, name) ROW(fg_state, name)
#define STATE_A(t, name, n) ROW(fg_state, name)

int fg_print_layout(void) {
  FG_SAMPLE_FIELDS(SAMPLE_F, SAMPLE_A)
  FG_INSTANCE_FIELDS(INSTANCE_F, INSTANCE_A)
  FG_FAULT_FIELDS(FAULT_F, FAULT_A)
  FG_SLOT_FIELDS(SLOT_F, SLOT_A)
  FG_GPU_FIELDS(GPU_F, GPU_A)
  ROW(fg_gpu, samples)
  ROW(fg_gpu, instance)
  FG_HEADER_FIELDS(STATE_F, STATE_A)
  ROW(fg_state, gpu)
  ROW(fg_state, slot)
  ROW(fg_state, fault)
  return 0;
}

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type));
int fg_print_abi(void) {
  SIZE(nvmlSample_t) SIZE(nvmlPciInfo_t) SIZE(nvmlMemory_t) SIZE(nvmlMemory_v2_t)
  SIZE(nvmlUtilization_t) SIZE(nvmlProcessInfo_t) SIZE(nvmlProcessUtilizationSample_t)
  SIZE(nvmlFieldValue_t) SIZE(nvmlPdi_t) SIZE(nvmlGpuFabricInfo_v2_t) SIZE(nvmlGpuFabricInfo_v3_t)
  SIZE(nvmlPlatformInfo_v2_t) SIZE(nvmlConfComputeSystemState_t) SIZE(nvmlBBXTimeData_v1_t)
  SIZE(nvmlGpuInstancePlacement_t) SIZE(nvmlGpuInstanceProfileInfo_v2_t) SIZE(nvmlGpuInstanceInfo_t)
  SIZE(nvmlEventData_t) SIZE(nvmlGpmMetric_t) SIZE(nvmlGpmMetricsGet_t) SIZE(nvmlGpmSupport_t)
  return 0;
}
