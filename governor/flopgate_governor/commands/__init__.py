"""One module a subcommand; `cli` dispatches by a table."""
