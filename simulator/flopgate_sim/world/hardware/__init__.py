"""Chips, what jobs do to them, and what a driver, a kernel and a TPM show of a host."""
