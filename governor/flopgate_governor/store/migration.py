"""A store of the version before, brought up in one transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

BEFORE: Final = 6
"""The one version that is brought up."""


def bring_up(driver: sqlite3.Connection) -> None:
    """From version 6: what a grant holds is called so; for a reserve it is no ceiling."""
    driver.execute('ALTER TABLE "grant" RENAME COLUMN ceiling_tflop TO held_tflop')
