"""What officers ordered, as far as it is in force: one fold for gates and governors (law 6)."""
