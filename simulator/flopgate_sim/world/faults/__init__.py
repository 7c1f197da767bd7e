"""What goes wrong: drawn from a seed, and what each kind does to hosts, links and governors."""
