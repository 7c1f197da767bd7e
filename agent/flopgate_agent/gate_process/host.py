"""What the gate's process reads of its host: clocks, host key, its own software."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import flopgate_agent
import flopgate_proto
from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.gate.settings import Now
from flopgate_agent.private import check_private, key_in
from flopgate_agent.replacing import keep_host_key
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Software
from flopgate_proto.version import VERSION

_NS_PER_MS = 1_000_000


def read_clocks() -> Now:
    """One moment on this host's clocks."""
    return Now(elapsed_ms=elapsed_ms(), wall_unix_ms=max(0, time.time_ns() // _NS_PER_MS))


def free_bytes(folder: Path) -> int | None:
    """Room left for who is not root, where this folder lies; ``None`` where nobody can tell."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def load_or_make_key(path: Path) -> SigningKey:
    """The host key, made at the first start.

    Raises:
        ConfigError: others may read the file, or it holds no key.
        StorageError: it cannot be kept.
    """
    afterwards = "and think about who read it before"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            check_private(path, mode, code="key.permissions", afterwards=afterwards)
            return key_in(file, path)
    except FileNotFoundError:
        return _make_key(path)


def _make_key(path: Path) -> SigningKey:
    key = SigningKey.generate()
    # A crash leaves the whole key or none.
    keep_host_key(path, key.pem())
    return key


def own_software(packages: Iterable[ModuleType] = (flopgate_agent, flopgate_proto)) -> Software:
    """Name, version and SHA-256 over path and content of every installed file, in path order."""
    total = hashlib.sha256()
    for package in packages:
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*")):
            if path.suffix in {".py", ".csv"}:
                name = f"{package.__name__}/{path.relative_to(root)}".encode()
                content = hashlib.sha256(path.read_bytes()).digest()
                total.update(len(name).to_bytes(4, "big") + name + content)
    return Software(name="flopgate-agent", version=VERSION, digest=total.digest())
