"""Which code ran: a digest over everything that a world is made of."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "flopgate_agent",
    "flopgate_governor",
    "flopgate_proto",
    "flopgate_sim.disk",
    "flopgate_sim.scenario",
    "flopgate_sim.world",
)
"""Not the rest of the simulator: a new chart makes no world another one."""


def code_digest() -> str:
    """SHA-256 in hex over names and bytes of all files, but for compiled ones."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        root = Path(str(import_module(name).__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                data = path.read_bytes()
                digest.update(f"{name}/{path.relative_to(root)} {len(data)}\n".encode())
                digest.update(data)
    return digest.hexdigest()
