"""What each lane may do and did: allowance, ladder, books, looks at its chips. No I/O."""
