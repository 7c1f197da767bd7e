"""Many hosts in one process: real gate cores and ledgers, simulated GPUs, real gRPC."""
