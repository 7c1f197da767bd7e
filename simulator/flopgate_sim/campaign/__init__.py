"""Many seeds of simulated clusters: running them, adding them up, reducing what broke."""
