"""Real processes on this machine: what the demonstration and the live cluster stand on."""
