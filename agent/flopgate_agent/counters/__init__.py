"""Reading accelerators: samples, the sampler child, and the client that keeps it alive."""
