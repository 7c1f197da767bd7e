"""The store: its file, its tables, and what is read and written, set-based."""
