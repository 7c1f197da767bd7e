"""The demonstration: a real governor, a covered cluster, and what each law looks like."""
