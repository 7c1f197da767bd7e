"""The network side: gRPC over mutual TLS."""
