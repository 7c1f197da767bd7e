"""Pure decisions: bytes, values and now in, values out. No clock, entropy, socket or file."""
