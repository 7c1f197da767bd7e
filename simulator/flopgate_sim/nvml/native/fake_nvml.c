/* libnvidia-ml.so.1, the fake: life cycle, handles, failure switches. */
#include "fake_nvml.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#define HANG_POLL_NS 5000000

HIDDEN struct fg_state *fg_st;
HIDDEN __thread int fg_garbage;
static char handles[FG_MAX_GPUS];
static int references;

static void nap(long ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  nanosleep(&t, NULL);
}

static struct fg_fault *fault_for(const char *call, int gpu) {
  for (int i = 0; i < FG_MAX_FAULTS; i++) {
    struct fg_fault *f = &fg_st->fault[i];
    if (FG_LOAD(f->mode) == FG_NO_FAULT || (f->gpu != -1 && f->gpu != gpu)) continue;
    if (strcmp(f->call, call) == 0 || strcmp(f->call, "*") == 0) return f;
  }
  return NULL;
}

HIDDEN ret_t fg_enter(const char *call, int gpu) {
  fg_garbage = 0;
  if (!fg_st || !references) return NVML_UNINITIALIZED;
  struct fg_fault *f = fault_for(call, gpu);
  while (f && FG_LOAD(f->mode) == FG_HANG) { /* as a call stuck in the kernel: no way out */
    nap(HANG_POLL_NS);
    f = fault_for(call, gpu);
  }
  if (FG_LOAD(fg_st->driver_gone) || !FG_LOAD(fg_st->ready)) return NVML_DRIVER_NOT_LOADED;
  if (!f) return NVML_SUCCESS;
  switch (FG_LOAD(f->mode)) {
    case FG_RETURN: return (ret_t)f->code;
    case FG_GARBAGE: fg_garbage = 1; return NVML_SUCCESS;
    case FG_DELAY: nap((long)f->delay_ms * 1000000); return NVML_SUCCESS;
    default: return NVML_SUCCESS;
  }
}

HIDDEN ret_t fg_enter_device(const char *call, nvmlDevice_t handle, struct fg_gpu **gpu) {
  const char *at = (const char *)handle;
  if (!fg_st || !references) return NVML_UNINITIALIZED;
  if (at < handles || at >= handles + fg_st->gpus) return NVML_INVALID_ARGUMENT;
  int index = (int)(at - handles);
  ret_t entered = fg_enter(call, index);
  if (entered) return entered;
  *gpu = &fg_st->gpu[index];
  return FG_LOAD((*gpu)->lost) ? NVML_GPU_IS_LOST : NVML_SUCCESS;
}

HIDDEN int fg_index(const struct fg_gpu *gpu) { return (int)(gpu - fg_st->gpu); }
HIDDEN nvmlDevice_t fg_handle(unsigned index) { return (nvmlDevice_t)&handles[index]; }

HIDDEN ret_t fg_text(char *out, unsigned length, const char *text) {
  NEED(out);
  if (strlen(text) + 1 > length) return NVML_INSUFFICIENT_SIZE;
  strcpy(out, text);
  return NVML_SUCCESS;
}

HIDDEN void fg_snapshot(const struct fg_gpu *gpu, struct fg_gpu *copy) {
  for (int attempt = 0; attempt < 100000; attempt++) {
    uint64_t before = FG_LOAD(fg_st->sequence);
    if (before % 2 == 0) {
      memcpy(copy, gpu, sizeof *copy);
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
      if (FG_LOAD(fg_st->sequence) == before) return;
    }
    sched_yield();
  }
  memcpy(copy, gpu, sizeof *copy); /* the engine died within a tick: what is there is final */
}

/* The state lies beside the library, as it was found on LD_LIBRARY_PATH. */
static const char *beside_library(void) {
  static char path[4096];
  Dl_info self;
  if (!dladdr(handles, &self) || !self.dli_fname) return NULL;
  const char *slash = strrchr(self.dli_fname, '/');
  if (!slash) return NULL;
  int length = snprintf(path, sizeof path, "%.*s/state", (int)(slash - self.dli_fname),
                        self.dli_fname);
  return length > 0 && (size_t)length < sizeof path ? path : NULL;
}

ret_t nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  const char *path = beside_library();
  if (!path) return NVML_DRIVER_NOT_LOADED;
  if (!fg_st && !(fg_st = fg_map(path))) return NVML_DRIVER_NOT_LOADED;
  __atomic_add_fetch(&references, 1, __ATOMIC_ACQ_REL);
  ret_t entered = fg_enter(__func__, -1);
  if (entered) __atomic_sub_fetch(&references, 1, __ATOMIC_ACQ_REL);
  return entered;
}

ret_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

ret_t nvmlShutdown(void) { /* the mapping stays: another thread may still read it */
  ENTER();
  __atomic_sub_fetch(&references, 1, __ATOMIC_ACQ_REL);
  return NVML_SUCCESS;
}

const char *nvmlErrorString(ret_t result) {
  switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_UNINITIALIZED: return "Uninitialized";
    case NVML_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_NOT_SUPPORTED: return "Not Supported";
    case NVML_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_NOT_FOUND: return "Not Found";
    case NVML_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_TIMEOUT: return "Timeout";
    case NVML_GPU_IS_LOST: return "GPU is lost";
    case NVML_NO_DATA: return "No data";
    case NVML_ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
  }
}

ret_t nvmlSystemGetDriverVersion(char *out, unsigned length) {
  ENTER();
  return fg_text(out, length, fg_st->driver_version);
}

ret_t nvmlSystemGetNVMLVersion(char *out, unsigned length) {
  ENTER();
  char text[64];
  snprintf(text, sizeof text, "13.%s", fg_st->driver_version);
  return fg_text(out, length, text);
}

ret_t nvmlSystemGetCudaDriverVersion_v2(int *out) {
  ENTER();
  NEED(out);
  *out = 13000;
  return NVML_SUCCESS;
}

ret_t nvmlSystemGetCudaDriverVersion(int *out) { return nvmlSystemGetCudaDriverVersion_v2(out); }

ret_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *out) {
  ENTER();
  NEED(out);
  *out = (nvmlConfComputeSystemState_t){0}; /* the host has no confidential computing */
  return NVML_SUCCESS;
}

ret_t nvmlDeviceGetCount_v2(unsigned *out) {
  ENTER();
  NEED(out);
  *out = fg_u32(fg_st->gpus);
  return NVML_SUCCESS;
}

static ret_t open_handle(const char *call, unsigned index, nvmlDevice_t *out) {
  struct fg_gpu *g;
  ret_t entered = fg_enter_device(call, fg_handle(index), &g);
  if (!entered) *out = fg_handle(index);
  return entered;
}

ret_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *out) {
  NEED(out);
  if (fg_st && index >= fg_st->gpus) return NVML_INVALID_ARGUMENT;
  return open_handle(__func__, index, out);
}

ret_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *out) {
  ENTER();
  NEED(uuid && out);
  for (unsigned i = 0; i < fg_st->gpus; i++)
    if (strcmp(fg_st->gpu[i].uuid, uuid) == 0) return open_handle(__func__, i, out);
  return NVML_NOT_FOUND;
}

ret_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *out) {
  ENTER();
  NEED(bus_id && out);
  for (unsigned i = 0; i < fg_st->gpus; i++) {
    const char *full = fg_st->gpu[i].bus_id;
    /* The domain may be given with four digits, as /sys does. */
    if (strcasecmp(full, bus_id) == 0 || strcasecmp(full + 4, bus_id) == 0)
      return open_handle(__func__, i, out);
  }
  return NVML_NOT_FOUND;
}
