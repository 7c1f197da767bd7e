"""The laws, as predicates over what really happened."""
