"""The simulated cluster: production cores under a virtual clock, seeded and reproducible."""
