"""How many files this process may have open: each stream is one."""

from __future__ import annotations

import resource
from typing import Final

import structlog

SPARE: Final = 2_048
"""Beyond one for each stream: other connections (`CONNECTIONS_SPARE`), the store, libraries."""


def allow_open_files(streams_max: int) -> int:
    """Raise the soft limit, by custom 1,024, as far as the hard one lets; the limit then.

    Fewer than are wanted is told, and no reason not to serve: what it costs is connections.
    """
    wanted = streams_max + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        structlog.get_logger("serve").warning(
            "files.limited",
            open_files=allowed,
            wanted=wanted,
            detail="too few for limits.streams_max: raise `ulimit -Hn` (LimitNOFILE)",
        )
    return allowed
