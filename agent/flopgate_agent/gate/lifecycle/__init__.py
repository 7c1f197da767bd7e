"""A host joins, goes on after a restart, and retires. No I/O."""
