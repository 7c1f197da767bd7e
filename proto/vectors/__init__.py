"""Test vectors of the protocol: frozen inputs, their generator and an independent check."""
