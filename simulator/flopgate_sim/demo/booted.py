"""What a host's programs find after a reboot that is played: another boot id, clocks from zero.

Each of its Python processes calls `play` before anything else, by a ``sitecustomize`` in its
``PYTHONPATH``. For rehearsal only: the programs of a host have no such switch.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from flopgate_agent import clocks


def reboot(folder: Path) -> dict[str, str]:
    """From now on it is another boot for who has this environment; ``folder`` is made anew."""
    folder.mkdir()
    boot_id = folder / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    (folder / "sitecustomize.py").write_text(
        "from flopgate_sim.demo import booted\n"
        f"booted.play({str(boot_id)!r}, {clocks.elapsed_ms()})\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(folder)}


def play(boot_id: str, began_ms: int) -> None:
    """Let this process find that boot id, and the time since ``began_ms`` of the real clock."""
    read_ms = clocks.elapsed_ms
    vars(clocks).update(BOOT_ID_PATH=boot_id, elapsed_ms=lambda: read_ms() - began_ms)
