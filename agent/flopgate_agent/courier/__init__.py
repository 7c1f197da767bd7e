"""The courier: carries envelopes between the gate's door and authorities, over mutual TLS.

It signs, verifies, decides and enforces nothing, and keeps no report: those stay in the gate's
ledger until an authority's signed acknowledgement. ``core`` says what to do, without I/O;
``carrier`` does it for one authority; ``process`` wires one carrier for each authority.
"""
