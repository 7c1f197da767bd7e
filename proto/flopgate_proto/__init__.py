"""The protocol both sides share: value types, codec, envelope, errors. No I/O."""
