/* GPU instances: profiles, places, and those that a test made. Sizes are those of an H100 80GB. */
#include "fake_nvml.h"

#include <string.h>

#define MEMORY_SLICES 8u
#define OF_SMS 132u

static const struct profile {
  unsigned nvml; /* index of NVML's enumeration of profiles */
  unsigned id, slices, memory, most, sms;
  const char *name;
} profiles[] = {
  {0, 19, 1, 1, 7, 16, "MIG 1g.10gb"}, {9, 15, 1, 2, 4, 26, "MIG 1g.20gb"},
  {1, 14, 2, 2, 3, 32, "MIG 2g.20gb"}, {2, 9, 3, 4, 2, 60, "MIG 3g.40gb"},
  {3, 5, 4, 4, 1, 64, "MIG 4g.40gb"},  {4, 0, 7, 8, 1, 132, "MIG 7g.80gb"},
};
#define PROFILES (sizeof profiles / sizeof *profiles)
#define PROFILE_COUNT 18u /* of NVML's enumeration */

unsigned fg_profile_sms(const struct fg_gpu *g, unsigned profile) {
  return profile < PROFILES ? profiles[profile].sms * g->sm_count / OF_SMS : 0;
}

struct fg_instance *fg_instance_of(struct fg_gpu *g, unsigned id) {
  for (int i = 0; i < FG_MAX_INSTANCES; i++)
    if (FG_LOAD(g->instance[i].alive) && g->instance[i].id == id) return &g->instance[i];
  return NULL;
}

static const struct profile *by_id(unsigned id) {
  for (unsigned i = 0; i < PROFILES; i++)
    if (profiles[i].id == id) return &profiles[i];
  return NULL;
}

ret_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t handle, unsigned index,
                                           nvmlGpuInstanceProfileInfo_v2_t *out) {
  DEVICE(handle);
  NEED(out && index < PROFILE_COUNT);
  if (out->version != NVML_TAG(nvmlGpuInstanceProfileInfo_v2_t, 2))
    return NVML_ARGUMENT_VERSION_MISMATCH;
  for (unsigned i = 0; i < PROFILES; i++) {
    if (profiles[i].nvml != index) continue;
    out->id = fg_u32(profiles[i].id);
    out->sliceCount = fg_u32(profiles[i].slices);
    out->instanceCount = fg_u32(profiles[i].most);
    out->multiprocessorCount = fg_u32(fg_profile_sms(g, i));
    out->memorySizeMB = fg_u64(g->memory_bytes / MEMORY_SLICES * profiles[i].memory >> 20);
    strcpy(out->name, profiles[i].name);
    return NVML_SUCCESS;
  }
  return NVML_NOT_SUPPORTED;
}

ret_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t handle, unsigned id,
                                                    nvmlGpuInstancePlacement_t *out,
                                                    unsigned *count) {
  DEVICE(handle);
  (void)g;
  const struct profile *p = by_id(id);
  NEED(p && count);
  unsigned room = *count;
  *count = p->most;
  if (!out) return NVML_SUCCESS;
  if (room < p->most) return NVML_INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < p->most; i++)
    out[i] = (nvmlGpuInstancePlacement_t){i * p->memory, p->memory};
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetGpuInstances(nvmlDevice_t handle, unsigned id, nvmlGpuInstance_t *out,
                                unsigned *count) {
  DEVICE(handle);
  const struct profile *p = by_id(id);
  NEED(p && out && count);
  if (!FG_LOAD(g->mig_mode)) return NVML_NOT_SUPPORTED;
  *count = 0;
  for (int i = 0; i < FG_MAX_INSTANCES; i++)
    if (FG_LOAD(g->instance[i].alive) && &profiles[g->instance[i].profile] == p)
      out[(*count)++] = (nvmlGpuInstance_t)&g->instance[i];
  return NVML_SUCCESS;
}

ret_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t handle, nvmlGpuInstanceInfo_t *out) {
  NEED(handle && out);
  const struct fg_instance *one = (const struct fg_instance *)handle;
  int gpu = (int)(((const char *)one - (const char *)fg_st->gpu) / (long)sizeof *fg_st->gpu);
  ret_t entered = fg_enter(__func__, gpu);
  if (entered) return entered;
  if (!FG_LOAD(one->alive)) return NVML_INVALID_ARGUMENT;
  const struct profile *p = &profiles[one->profile];
  *out = (nvmlGpuInstanceInfo_t){.device = fg_handle((unsigned)gpu), .id = fg_u32(one->id),
                                 .profileId = p->id, .placement = {one->start, p->memory}};
  return NVML_SUCCESS;
}
