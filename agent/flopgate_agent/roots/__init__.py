"""Signed batch roots that hosts keep: written down, and compared with those of other hosts."""
