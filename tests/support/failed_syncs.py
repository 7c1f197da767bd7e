"""What is left where one sync of a disk fails, each in turn, and after one more try.

``python -m tests.support.failed_syncs FOLDER``, with `sync_preload.c` before all libraries.
Prints a JSON object a sync.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path

from flopgate_governor.files import Layout, replace_secret, write_secret
from flopgate_governor.new_folder import new_folder
from flopgate_proto.errors import ConfigError

SYNCS_MAX = 100


def found(root: Path) -> None:
    """Make a folder of files below folders that are not there either."""
    with new_folder(root / "below" / "g", Layout(root).names) as draft:
        write_secret(Layout(draft).permit_key, b"key")
        write_secret(Layout(draft).config, b"name")


def wrote(root: Path) -> None:
    """Write one file."""
    write_secret(root / "below" / "token", b"secret")


def replaced(root: Path) -> None:
    """Write one file over another."""
    path = root / "below" / "draft"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(b"old")
    replace_secret(path, b"new")


def main() -> None:
    """Let each fail, and do it once more."""
    left = ctypes.c_int.in_dll(ctypes.CDLL(None), "sync_left")
    acts: list[Callable[[Path], None]] = [found, wrote, replaced]
    for act in acts:
        for number in range(SYNCS_MAX):
            root = Path(sys.argv[1]) / f"{act.__name__}-{number}"
            root.mkdir()
            left.value = number
            told = ""
            try:
                act(root)
            except ConfigError as error:
                told = error.code
            if left.value >= 0:
                break
            halves = sorted(path.name for path in root.rglob("*") if path.is_file())
            act(root)
            whole = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
            told_too = {"act": act.__name__, "code": told, "left": halves, "whole": whole}
            sys.stdout.write(json.dumps(told_too) + "\n")


if __name__ == "__main__":
    main()
