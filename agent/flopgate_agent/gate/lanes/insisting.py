"""How often a stop that does not succeed is tried again, and told. Pure."""

from __future__ import annotations

from typing import Final

REKILL_MS, REKILL_LATER_MS = 500, 2_000
"""Between two attempts to kill what survived the first, and once `STUBBORN_MS` did not help."""
RELOOK_MS: Final = 10_000
"""The same where no process is left to kill, yet stillness cannot be shown."""
STUBBORN_MS: Final = 10_000
"""A stop is watched closely for so long; what does not stand by then is mostly a chip that cannot
be read, and stays so."""
RETELL_MS: Final = 60_000
"""Between two alerts of one stop that does not succeed."""


def again_after_ms(tried_ms: int, *, left: bool) -> int:
    """Until the next attempt.

    Args:
        tried_ms: since the freeze.
        left: whether a process is known that could be killed.
    """
    if not left:
        return RELOOK_MS
    return REKILL_MS if tried_ms < STUBBORN_MS else REKILL_LATER_MS
