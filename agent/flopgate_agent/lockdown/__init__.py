"""The lock-down outside the gate: stops the lanes of a gate that does not come back.

A process of its own that needs neither configuration, ledger nor keys: what a gate cannot start
for must not keep this from stopping what it left. `deciding` says what is due, `lease` what the
gate wrote down, `stopping` does it, `process` is the loop.
"""
