/* Common ground of the fake library's files: finding the device, and the failure switches. */
#ifndef FLOPGATE_FAKE_NVML_H
#define FLOPGATE_FAKE_NVML_H

#include "fake_state.h"
#include "nvml_abi.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define SENTINEL_32 4294967295u
#define SENTINEL_64 9223372036854775794ull

typedef enum nvml_return ret_t;

extern HIDDEN struct fg_state *fg_st;
extern HIDDEN __thread int fg_garbage; /* the call under way answers with sentinels */

/* Runs the switches of a call without a device (gpu -1) or for one GPU. Blocks while hung. */
HIDDEN ret_t fg_enter(const char *call, int gpu);
/* The same for a device call; also resolves the handle. */
HIDDEN ret_t fg_enter_device(const char *call, nvmlDevice_t handle, struct fg_gpu **gpu);
HIDDEN int fg_index(const struct fg_gpu *gpu);
HIDDEN nvmlDevice_t fg_handle(unsigned index);
HIDDEN ret_t fg_text(char *out, unsigned length, const char *text);
/* Copies a GPU as it stands between two ticks. */
HIDDEN void fg_snapshot(const struct fg_gpu *gpu, struct fg_gpu *copy);

HIDDEN struct fg_instance *fg_instance_of(struct fg_gpu *gpu, unsigned id);
HIDDEN unsigned fg_profile_sms(const struct fg_gpu *gpu, unsigned profile);
HIDDEN uint64_t fg_shown_energy_mj(const struct fg_gpu *gpu);

/* A setter that a switch makes say yes and do nothing. */
#define FG_SAYS_YES ((ret_t)-1)
static inline ret_t fg_said(ret_t entered) {
  return entered == FG_SAYS_YES ? NVML_SUCCESS : entered;
}

static inline unsigned fg_u32(unsigned value) { return fg_garbage ? SENTINEL_32 : value; }
static inline unsigned long long fg_u64(unsigned long long value) {
  return fg_garbage ? SENTINEL_64 : value;
}

#define ENTER()                             \
  do {                                      \
    ret_t entered = fg_enter(__func__, -1); \
    if (entered) return entered;            \
  } while (0)
#define DEVICE(handle)                                    \
  struct fg_gpu *g;                                       \
  do {                                                    \
    ret_t entered = fg_enter_device(__func__, handle, &g); \
    if (entered) return fg_said(entered);                 \
  } while (0)
#define NEED(pointer) \
  if (!(pointer)) return NVML_INVALID_ARGUMENT
/* A getter of one 32-bit or 64-bit figure of a GPU. */
#define GET_U32(name, expression)                    \
  ret_t name(nvmlDevice_t handle, unsigned *out) {   \
    DEVICE(handle);                                  \
    NEED(out);                                       \
    *out = fg_u32((unsigned)(expression));           \
    return NVML_SUCCESS;                             \
  }
#define GET_U64(name, expression)                              \
  ret_t name(nvmlDevice_t handle, unsigned long long *out) {   \
    DEVICE(handle);                                            \
    NEED(out);                                                 \
    *out = fg_u64((unsigned long long)(expression));           \
    return NVML_SUCCESS;                                       \
  }
#define GET_TEXT(name, expression)                               \
  ret_t name(nvmlDevice_t handle, char *out, unsigned length) {  \
    DEVICE(handle);                                              \
    return fg_text(out, length, expression);                     \
  }

#endif
