"""Many worlds: one for each seed, over several processes, and what came of them."""
