/* The fake's own constants. Never derived from the agent's chip table: a shared mistake would
 * hide in both. Rates are dense FLOP (FMA = 2) per clock per SM, from the vendor's whitepapers
 * and datasheets: V100 (GV100 whitepaper), A100 (GA100 whitepaper), H100 (GH100 whitepaper v1.04,
 * Table 3), H200 (datasheet: H100's chip with other memory), RTX 4090 (Ada whitepaper v2.01,
 * appendix A; FP16 at its rate with 16-bit accumulators, BF16 at the one with 32), B200
 * (Blackwell datasheet, per GPU). Tensor clocks: 1830 MHz on H100 SXM5 is printed there; 1855 MHz
 * on B200 is what its printed peak implies. Idle power and idle clocks are typical values. NVLink
 * speeds are what nvidia-smi shows for one link in one direction; switches are those of a board
 * of eight. */
#ifndef FLOPGATE_FAKE_CHIPS_H
#define FLOPGATE_FAKE_CHIPS_H

#include "fake_state.h"

struct fg_chip {
  const char *profile, *name, *vbios, *inforom;
  uint32_t pci_device_id, pci_subsystem_id, cc_major, cc_minor, architecture;
  uint32_t sm_count, cores_per_sm;
  uint32_t boost_mhz, tensor_mhz, idle_mhz, min_mhz, memory_mhz;
  uint32_t idle_mw, tdp_mw, min_limit_mw, nvlinks, link_mbyte_per_s, link_switches, gpm;
  uint64_t memory_bytes, memory_bps;
  uint32_t rate[FG_FORMATS]; /* 0: the chip has no such unit */
};

#define FG_GIB (1024ull * 1024 * 1024)

static const struct fg_chip fg_chips[] = {
  {"V100", "Tesla V100-SXM2-32GB", "88.00.43.00.03", "G503.0203.00.05",
   0x1DB510DE, 0x124910DE, 7, 0, 5, 80, 64, 1530, 1530, 135, 135, 877,
   40000, 300000, 150000, 6, 25781, 0, 0, 32 * FG_GIB, 898000000000ull,
   {[FG_FP16] = 1024, [FG_FP32] = 128, [FG_FP64_VECTOR] = 64, [FG_FP16_VECTOR] = 256}},
  {"A100", "NVIDIA A100-SXM4-80GB", "92.00.45.00.03", "G506.0210.00.04",
   0x20B210DE, 0x146310DE, 8, 0, 7, 108, 64, 1410, 1410, 210, 210, 1593,
   60000, 400000, 100000, 12, 25000, 6, 0, 80 * FG_GIB, 2039000000000ull,
   {[FG_FP16] = 2048, [FG_BF16] = 2048, [FG_TF32] = 1024, [FG_INT8] = 4096, [FG_FP64] = 128,
    [FG_FP32] = 128, [FG_FP64_VECTOR] = 64, [FG_FP16_VECTOR] = 512}},
  {"H100", "NVIDIA H100 80GB HBM3", "96.00.74.00.01", "G520.0200.00.05",
   0x233010DE, 0x16C110DE, 9, 0, 9, 132, 128, 1980, 1830, 345, 210, 2619,
   70000, 700000, 200000, 18, 26562, 4, 1, 80 * FG_GIB, 3352000000000ull,
   {[FG_FP16] = 4096, [FG_BF16] = 4096, [FG_TF32] = 2048, [FG_FP8] = 8192, [FG_INT8] = 8192,
    [FG_FP64] = 256, [FG_FP32] = 256, [FG_FP64_VECTOR] = 128, [FG_FP16_VECTOR] = 512}},
  {"H200", "NVIDIA H200", "96.00.A0.00.01", "G525.0200.00.05",
   0x233510DE, 0x18BE10DE, 9, 0, 9, 132, 128, 1980, 1830, 345, 210, 3201,
   75000, 700000, 200000, 18, 26562, 4, 1, 141 * FG_GIB, 4800000000000ull,
   {[FG_FP16] = 4096, [FG_BF16] = 4096, [FG_TF32] = 2048, [FG_FP8] = 8192, [FG_INT8] = 8192,
    [FG_FP64] = 256, [FG_FP32] = 256, [FG_FP64_VECTOR] = 128, [FG_FP16_VECTOR] = 512}},
  {"RTX4090", "NVIDIA GeForce RTX 4090", "95.02.18.80.01", "G002.0000.00.03",
   0x268410DE, 0x16F410DE, 8, 9, 8, 128, 128, 2520, 2520, 210, 210, 10501,
   20000, 450000, 150000, 0, 0, 0, 0, 24 * FG_GIB, 1008000000000ull,
   {[FG_FP16] = 1024, [FG_BF16] = 512, [FG_TF32] = 256, [FG_FP8] = 2048, [FG_INT8] = 2048,
    [FG_FP32] = 256, [FG_FP64_VECTOR] = 4, [FG_FP16_VECTOR] = 256}},
  {"B200", "NVIDIA B200", "97.00.88.00.0F", "G548.0201.00.06",
   0x290110DE, 0x199910DE, 10, 0, 10, 148, 128, 1965, 1855, 120, 120, 3996,
   140000, 1000000, 200000, 18, 53125, 2, 1, 180 * FG_GIB, 7700000000000ull,
   {[FG_FP16] = 8192, [FG_BF16] = 8192, [FG_TF32] = 4096, [FG_FP8] = 16384, [FG_FP4] = 32768,
    [FG_INT8] = 16384, [FG_FP64] = 128, [FG_FP32] = 256, [FG_FP64_VECTOR] = 128,
    [FG_FP16_VECTOR] = 512}},
};
#define FG_CHIPS (sizeof fg_chips / sizeof fg_chips[0])

/* Which pipe a format keeps busy. FP8 and FP4 share the HMMA counter with the 16-bit formats. */
static const enum fg_counter fg_pipe[FG_FORMATS] = {
  [FG_FP16] = FG_HMMA, [FG_BF16] = FG_HMMA, [FG_TF32] = FG_HMMA, [FG_FP8] = FG_HMMA,
  [FG_FP4] = FG_HMMA, [FG_INT8] = FG_IMMA, [FG_FP64] = FG_DMMA, [FG_FP32] = FG_PIPE_FP32,
  [FG_FP64_VECTOR] = FG_PIPE_FP64, [FG_FP16_VECTOR] = FG_PIPE_FP16,
};

static const char *const fg_format_names[FG_FORMATS] = {
  "fp16", "bf16", "tf32", "fp8", "fp4", "int8", "fp64", "fp32", "fp64_vector", "fp16_vector",
};

static inline int fg_is_tensor(uint32_t format) {
  return fg_pipe[format] == FG_HMMA || fg_pipe[format] == FG_IMMA || fg_pipe[format] == FG_DMMA;
}

/* Formats of 16 bits (and TF32) or less run at the tensor clock, FP64 and FP32 at the boost. */
static inline int fg_at_tensor_clock(uint32_t format) {
  return fg_pipe[format] == FG_HMMA || fg_pipe[format] == FG_IMMA;
}

#endif
