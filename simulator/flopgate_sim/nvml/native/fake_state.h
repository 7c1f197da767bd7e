/* The mapped file that is the whole "hardware": engine, library, workloads and tests share it.
 *
 * Who writes what:
 *   engine    identity, counters, samples, truth (inside the sequence lock), slot progress
 *   library   settings of a GPU (clocks, limits, modes), as the setters of NVML do
 *   workload  its own slots: claim, launch parameters, `submitted`, `checkpoint_notices`
 *   test      faults, switches, GPU instances, header configuration before the engine starts
 * Fields are declared once, through the lists below, so that `fake_gpu --layout` prints every
 * offset and the Python mirror can refuse to start when it differs.
 */
#ifndef FLOPGATE_FAKE_STATE_H
#define FLOPGATE_FAKE_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FG_MAGIC 0x3130555047454b46ull /* "FKEGPU01" */
#define FG_VERSION 1
#define FG_MAX_GPUS 16
#define FG_MAX_SLOTS 256 /* one per process and GPU */
#define FG_MAX_FAULTS 64
#define FG_MAX_INSTANCES 8
#define FG_MAX_SAMPLES 120 /* 20 s of driver samples at one each 167 ms */
#define FG_ENV "FLOPGATE_FAKE_NVML_STATE"

enum fg_format {
  FG_FP16, FG_BF16, FG_TF32, FG_FP8, FG_FP4, FG_INT8, FG_FP64, FG_FP32,
  FG_FP64_VECTOR, FG_FP16_VECTOR, FG_FORMATS
};
enum fg_kind { FG_GEMM, FG_MEMORY, FG_COMM, FG_KINDS };
enum fg_context { FG_COMPUTE, FG_MPS, FG_GRAPHICS, FG_CONTEXTS };
enum fg_slot_state { FG_FREE, FG_CLAIMED, FG_ALIVE, FG_DEAD };
enum fg_fault_mode { FG_NO_FAULT, FG_RETURN, FG_HANG, FG_GARBAGE, FG_DELAY };
enum fg_counter {
  FG_ELAPSED, FG_ACTIVE, FG_MMA, FG_DMMA, FG_HMMA, FG_IMMA, FG_DFMA, FG_INTEGER,
  FG_PIPE_FP64, FG_PIPE_FP32, FG_PIPE_FP16, FG_COUNTERS
};

/* F(type, name) is a scalar, A(type, name, n) an array. */
#define FG_SAMPLE_FIELDS(F, A) \
  F(uint64_t, timestamp_us)    /* wall clock, as NVML stamps samples */ \
  F(uint32_t, gpu_util_pct) \
  F(uint32_t, memory_util_pct) \
  F(uint32_t, sm_clock_mhz) \
  F(uint32_t, power_mw)

/* A GPU instance: its counters are a share of the chip's since it was made. */
#define FG_INSTANCE_FIELDS(F, A) \
  F(uint32_t, alive)           /* written last */ \
  F(uint32_t, id) \
  F(uint32_t, profile)         /* index into the library's table */ \
  F(uint32_t, start)           /* first memory slice */ \
  F(uint32_t, share_ppm)       /* of what the chip's pipes do */ \
  F(uint32_t, pad0) \
  A(uint64_t, since, FG_COUNTERS)

#define FG_FAULT_FIELDS(F, A) \
  A(char, call, 64)            /* exact symbol name */ \
  F(int32_t, gpu)              /* -1: every GPU, and calls without one */ \
  F(uint32_t, mode)            /* enum fg_fault_mode; written last */ \
  F(int32_t, code)             /* NVML return code for FG_RETURN */ \
  F(uint32_t, delay_ms)

#define FG_SLOT_FIELDS(F, A) \
  F(uint32_t, state) \
  F(uint32_t, gpu) \
  F(int32_t, pid) \
  F(uint32_t, kind) \
  F(uint64_t, start_ticks)     /* field 22 of /proc/PID/stat: tells a reused pid */ \
  F(uint32_t, format) \
  F(uint32_t, context) \
  F(uint32_t, persistent) \
  F(uint32_t, share_ppm)       /* part of the pipe's peak while a kernel executes */ \
  F(uint64_t, unit_work)       /* FLOP of one GEMM; nanoseconds of one comm kernel */ \
  F(uint64_t, memory_bytes) \
  F(uint64_t, submitted)       /* kernels launched, written by the workload only */ \
  F(uint64_t, done)            /* kernels finished, written by the engine only */ \
  F(uint64_t, rate_per_s)      /* work per second if alone at the present clock; 0: not adopted */ \
  F(uint64_t, checkpoint_notices) \
  F(uint64_t, flop_tera)       /* executed by this slot: tera and the remainder below it */ \
  F(uint64_t, flop_rest) \
  F(uint64_t, busy_ns) \
  F(uint64_t, util_timestamp_us) \
  F(uint32_t, util_pct) \
  F(uint32_t, pad0)

#define FG_GPU_FIELDS(F, A) \
  /* identity, by the engine at start */ \
  A(char, name, 96) A(char, uuid, 80) A(char, serial, 32) A(char, vbios, 32) \
  A(char, inforom, 16) A(char, bus_id, 32) \
  F(uint64_t, pdi) \
  F(uint32_t, pci_device_id) F(uint32_t, pci_subsystem_id) \
  F(uint32_t, pci_domain) F(uint32_t, pci_bus) F(uint32_t, pci_device) F(uint32_t, minor) \
  F(uint32_t, cc_major) F(uint32_t, cc_minor) F(uint32_t, architecture) \
  F(uint32_t, sm_count) F(uint32_t, cores) \
  F(uint32_t, boost_mhz) F(uint32_t, tensor_mhz) F(uint32_t, idle_mhz) F(uint32_t, min_mhz) \
  F(uint32_t, memory_mhz) \
  F(uint32_t, idle_mw) F(uint32_t, tdp_mw) F(uint32_t, min_limit_mw) \
  F(uint32_t, nvlinks) F(uint32_t, gpm) \
  F(uint32_t, link_mbyte_per_s) F(uint32_t, link_switches) /* none: the links lead to GPUs */ \
  F(uint64_t, memory_bytes) F(uint64_t, memory_bps) \
  /* settings, by the library */ \
  F(uint32_t, lock_min_mhz) F(uint32_t, lock_max_mhz) F(uint32_t, limit_mw) \
  F(uint32_t, compute_mode) F(uint32_t, persistence) F(uint32_t, draining) \
  /* switches, by the test */ \
  F(uint32_t, lost) F(uint32_t, gpm_averaged) F(uint32_t, gpm_relative) F(uint32_t, mig_mode) \
  F(uint32_t, xid_sequence) F(uint32_t, xid) F(uint32_t, link_down_mask) F(uint32_t, gpm_percent_only) \
  F(uint32_t, gpm_idle) F(uint32_t, fabric_v2_only) \
  F(uint64_t, ecc_corrected) F(uint64_t, ecc_uncorrected) \
  F(uint64_t, energy_back_mj)  /* taken off what the library shows */ \
  A(uint64_t, cycles_back, FG_COUNTERS) \
  /* counters and truth, by the engine inside the sequence lock */ \
  A(uint64_t, cycles, FG_COUNTERS)   /* summed over SMs */ \
  A(uint64_t, flop_tera, FG_FORMATS) A(uint64_t, flop_rest, FG_FORMATS) \
  F(uint64_t, kernel_active_ns) F(uint64_t, compute_active_ns) \
  F(uint64_t, dram_bytes) F(uint64_t, nvlink_bytes) \
  F(uint64_t, energy_uj)             /* truth */ \
  F(uint64_t, energy_shown_mj)       /* what NVML shows, refreshed each 100 ms */ \
  F(uint64_t, last_work_ns)          /* CLOCK_BOOTTIME of the last executing instant; 0: never */ \
  F(uint64_t, last_math_ns)          /* the same without communication kernels */ \
  F(uint32_t, running) F(uint32_t, clock_mhz) F(uint32_t, power_mw) F(uint32_t, event_reasons) \
  F(uint64_t, samples_written)       /* total; the ring index is this modulo its length */

#define FG_HEADER_FIELDS(F, A) \
  F(uint64_t, magic) \
  F(uint32_t, version) F(uint32_t, state_bytes) \
  F(uint32_t, gpus) F(uint32_t, tick_us) \
  F(uint64_t, seed) F(uint64_t, boot_run_s) /* driver run time before this start, for BBX */ \
  A(char, profile, 16) A(char, driver_version, 32) \
  A(uint8_t, fabric_uuid, 16) F(uint32_t, fabric_clique) F(uint32_t, driver_gone) \
  F(int32_t, engine_pid) F(uint32_t, ready) \
  F(uint32_t, slots_high) F(uint32_t, pad2) /* slots from here on were never claimed */ \
  F(uint64_t, sequence)              /* odd while the engine writes */ \
  F(uint64_t, ticks) F(uint64_t, tick_ns) F(uint64_t, started_ns)

#define FG_DECLARE_F(type, name) type name;
#define FG_DECLARE_A(type, name, n) type name[n];
#define FG_STRUCT(name, fields) struct name { fields(FG_DECLARE_F, FG_DECLARE_A) }

FG_STRUCT(fg_sample, FG_SAMPLE_FIELDS);
FG_STRUCT(fg_instance, FG_INSTANCE_FIELDS);
FG_STRUCT(fg_fault, FG_FAULT_FIELDS);
FG_STRUCT(fg_slot, FG_SLOT_FIELDS);
struct fg_gpu {
  FG_GPU_FIELDS(FG_DECLARE_F, FG_DECLARE_A)
  struct fg_sample samples[FG_MAX_SAMPLES];
  struct fg_instance instance[FG_MAX_INSTANCES];
};
struct fg_state {
  FG_HEADER_FIELDS(FG_DECLARE_F, FG_DECLARE_A)
  struct fg_gpu gpu[FG_MAX_GPUS];
  struct fg_slot slot[FG_MAX_SLOTS];
  struct fg_fault fault[FG_MAX_FAULTS];
};

#define FG_LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define FG_STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define FG_ADD(field, value) __atomic_add_fetch(&(field), (value), __ATOMIC_ACQ_REL)

static inline uint64_t fg_clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* How many slots are worth a look: a tick must not touch the cache lines of all of them. */
static inline int fg_slots(struct fg_state *st) {
  uint32_t high = FG_LOAD(st->slots_high);
  return high < FG_MAX_SLOTS ? (int)high : FG_MAX_SLOTS;
}

/* Maps the state file; NULL with errno set when it is absent or of another layout. */
struct fg_state *fg_map(const char *path);
/* Start time of a process in clock ticks since boot, 0 when there is none. */
uint64_t fg_start_ticks(int pid);

#endif
