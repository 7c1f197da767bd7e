"""Shell blocks of a page under docs/, and how one is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.governor import AUTHORITY
from tests.support.waiting import WAIT_S

DOCS: Final = Path(__file__).parents[2] / "docs"


def blocks(page: str, heading: str = "") -> list[str]:
    """Of a whole page, or of one part of it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    assert found, page
    return found


def run(block: str, folder: Path) -> str:
    """In this folder, with this Python's programs; what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # The authority of the pages is the tests' own.
    block = block.replace("agency.example", AUTHORITY)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=2 * WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
