"""Builds the fake hardware from its C sources, once per content.

The result is cached under a name that holds the digest of sources, compiler and flags. Builders
may race: each compiles into a temporary folder and renames it; who comes second drops its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
FLAGS = ("-D_GNU_SOURCE", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
ENGINE_SOURCES = ("fake_gpu.c", "fake_engine.c", "fake_layout.c", "fake_state.c")
WORKLOAD_SOURCES = ("fake_workload.c", "fake_state.c")
LIBRARY_SOURCES = (
    "fake_nvml.c",
    "fake_nvml_device.c",
    "fake_nvml_lists.c",
    "fake_nvml_gpm.c",
    "fake_state.c",
)
LIBRARY_NAME = "libnvidia-ml.so.1"
_DIGEST_LENGTH = 16


class BuildError(RuntimeError):
    """The C sources could not be compiled; the text says what the compiler said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Where the compiled parts lie.

    Attributes:
        engine: the ``fake_gpu`` program.
        workload: the ``fake_workload`` program.
        library_dir: folder that holds ``libnvidia-ml.so.1``, for ``LD_LIBRARY_PATH``.
    """

    engine: Path
    workload: Path
    library_dir: Path


def default_build_dir() -> Path:
    """The user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "flopgate-sim"


def build(build_dir: Path | None = None, *, missing: tuple[str, ...] = ()) -> Build:
    """Compiles what is not cached yet.

    Args:
        build_dir: cache folder, made if absent; the user's cache by default.
        missing: NVML symbols that the library shall really lack, as an older driver does.

    Raises:
        BuildError: gcc is absent or refuses the sources.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        message = "gcc not found: install a C compiler to run the fake driver"
        raise BuildError(message)
    digest = hashlib.sha256(" ".join((compiler, *FLAGS, *sorted(missing))).encode())
    for source in sorted(NATIVE.iterdir()):
        if source.suffix in {".c", ".h"}:
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    root = build_dir or default_build_dir()
    final = root / digest.hexdigest()[:_DIGEST_LENGTH]
    if not final.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        _compile_into(compiler, root, final, missing)
    return Build(
        engine=final / "fake_gpu", workload=final / "fake_workload", library_dir=final / "lib"
    )


def _compile_into(compiler: str, root: Path, final: Path, missing: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix="building-") as made:
        work = Path(made) / "out"
        (work / "lib").mkdir(parents=True)
        script = Path(made) / "symbols.map"
        # Exact names win over the wildcard, so these symbols do not exist for the loader.
        hidden = "".join(f"{name}; " for name in sorted(missing))
        script.write_text(f"{{ global: nvml*; local: {hidden}*; }};\n")
        _gcc(compiler, work / "fake_gpu", ENGINE_SOURCES, ("-lm",))
        _gcc(compiler, work / "fake_workload", WORKLOAD_SOURCES, ())
        shared = (
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{LIBRARY_NAME}",
            f"-Wl,--version-script={script}",
        )
        _gcc(compiler, work / "lib" / LIBRARY_NAME, LIBRARY_SOURCES, shared)
        try:
            work.rename(final)
        except OSError:
            if not final.is_dir():  # another builder may have been first: its result is the same
                raise


def _gcc(compiler: str, output: Path, sources: tuple[str, ...], extra: tuple[str, ...]) -> None:
    paths = [str(NATIVE / source) for source in sources]
    command = [compiler, *FLAGS, "-o", str(output), *paths, *extra]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"cannot compile {output.name}:\n{done.stderr}"
        raise BuildError(message)
