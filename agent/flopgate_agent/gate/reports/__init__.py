"""The chain of reports, and the answers to it. No I/O."""
