"""The gate's core: counters, answers, orders and ``now`` go in; actions come out. No I/O."""
