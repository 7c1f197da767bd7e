/* What the engine's parts know of each other. */
#ifndef FLOPGATE_FAKE_ENGINE_H
#define FLOPGATE_FAKE_ENGINE_H

#include "fake_chips.h"

/* Fills in every GPU's identity from the header's profile and seed. */
void fg_engine_start(struct fg_state *st);
/* Executes from `from` to `to`, CLOCK_BOOTTIME nanoseconds. */
void fg_engine_tick(struct fg_state *st, uint64_t from, uint64_t to);
/* Takes over what workloads have launched so far; it executes from now on. */
void fg_engine_see_launches(struct fg_state *st);
void fg_slot_adopted(struct fg_gpu *gpu, struct fg_slot *s, int index);
void fg_slot_ended(int index);
int fg_slot_is_ended(int index);
int fg_print_layout(void);
int fg_print_abi(void);

#endif
