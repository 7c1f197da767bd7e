"""Rehearsal: the fake NVML driver, fleets of real cores, the demo."""
