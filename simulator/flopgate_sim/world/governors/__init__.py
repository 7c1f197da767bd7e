"""Governors of the world: the production writer and its store, and the officers of each."""
