"""Compiles C sources that come with the simulator, once per content.

The result is cached under a name that holds the digest of sources, compiler and flags. Builders
may race: each compiles into a temporary folder and renames it; who comes second drops its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flopgate_proto.errors import EnvironmentFault

FLAGS = ("-D_GNU_SOURCE", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
_DIGEST_LENGTH = 16


class BuildError(EnvironmentFault):
    """The C sources could not be compiled; the text says what the compiler said."""

    default_code = "sim.build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """gcc, for the sources of one folder.

    Attributes:
        native: the folder.
        scratch: an empty folder for what is needed only while it compiles.
    """

    path: str
    native: Path
    scratch: Path

    def compile(self, output: Path, sources: Sequence[str], extra: Sequence[str] = ()) -> None:
        """Make one program or library.

        Raises:
            BuildError: gcc refuses the sources.
        """
        paths = [str(self.native / source) for source in sources]
        command = [self.path, *FLAGS, "-o", str(output), *paths, *extra]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"cannot compile {output.name}:\n{done.stderr}"
            raise BuildError(message)


def default_build_dir() -> Path:
    """The user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "flopgate-sim"


def built(
    native: Path,
    make: Callable[[Compiler, Path], None],
    *,
    build_dir: Path | None = None,
    variant: Sequence[str] = (),
) -> Path:
    """The folder into which ``make`` compiled, now or in an earlier run.

    Args:
        native: folder of the C sources.
        make: compiles them into the empty folder that it is given.
        build_dir: cache folder, made if absent; the user's cache by default.
        variant: what else makes a difference.

    Raises:
        BuildError: gcc is absent or refuses the sources, or the cache cannot be written.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise BuildError(
            "gcc not found",
            remedy="Install a C compiler (Debian: apt-get install gcc libc6-dev).",
        )
    digest = hashlib.sha256(" ".join((compiler, *FLAGS, *variant)).encode())
    for source in sorted(native.iterdir()):
        if source.suffix in {".c", ".h"}:
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    root = build_dir or default_build_dir()
    final = root / digest.hexdigest()[:_DIGEST_LENGTH]
    if final.is_dir():
        return final
    try:
        _build(root, final, make, compiler, native)
    except OSError as error:
        raise BuildError(
            f"cannot write {error.filename or root}: {error.strerror}",
            remedy="Name a folder of your own in XDG_CACHE_HOME, where compiled C is kept.",
        ) from error
    return final


def _build(
    root: Path, final: Path, make: Callable[[Compiler, Path], None], compiler: str, native: Path
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix="building-") as made:
        work, scratch = Path(made) / "out", Path(made) / "scratch"
        work.mkdir()
        scratch.mkdir()
        make(Compiler(path=compiler, native=native, scratch=scratch), work)
        try:
            work.rename(final)
        except OSError:
            if not final.is_dir():  # another builder may have been first: its result is the same
                raise
