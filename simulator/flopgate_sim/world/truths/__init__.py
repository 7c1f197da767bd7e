"""What really happened, for the laws: no core sees it."""
