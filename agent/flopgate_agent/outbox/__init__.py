"""What left this host and what waits to leave, for its own people: read, never written."""
