"""Generated protobuf code of protocol version 1; see ../../v1 in SPEC.md."""
