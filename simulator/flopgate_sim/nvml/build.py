"""Builds the fake hardware from its C sources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flopgate_sim.compiling import Compiler, built

NATIVE = Path(__file__).parent / "native"
ENGINE_SOURCES = ("fake_gpu.c", "fake_engine.c", "fake_layout.c", "fake_state.c")
WORKLOAD_SOURCES = ("fake_workload.c", "fake_state.c")
LIBRARY_SOURCES = (
    "fake_nvml.c",
    "fake_nvml_device.c",
    "fake_nvml_links.c",
    "fake_nvml_lists.c",
    "fake_nvml_gpm.c",
    "fake_nvml_mig.c",
    "fake_state.c",
)
LIBRARY_NAME = "libnvidia-ml.so.1"


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


def build(build_dir: Path | None = None, *, missing: tuple[str, ...] = ()) -> Build:
    """Compiles what is not cached yet.

    Args:
        build_dir: cache folder, made if absent; the user's cache by default.
        missing: NVML symbols that the library shall really lack, as an older driver does.

    Raises:
        BuildError: gcc is absent or refuses the sources.
    """
    hidden = tuple(sorted(missing))
    final = built(NATIVE, partial(_make, hidden), build_dir=build_dir, variant=hidden)
    return Build(
        engine=final / "fake_gpu", workload=final / "fake_workload", library_dir=final / "lib"
    )


def _make(missing: tuple[str, ...], compiler: Compiler, output: Path) -> None:
    (output / "lib").mkdir()
    script = compiler.scratch / "symbols.map"
    # Exact names win over the wildcard, so these symbols do not exist for the loader.
    hidden = "".join(f"{name}; " for name in missing)
    script.write_text(f"{{ global: nvml*; local: {hidden}*; }};\n")
    compiler.compile(output / "fake_gpu", ENGINE_SOURCES, ("-lm",))
    compiler.compile(output / "fake_workload", WORKLOAD_SOURCES)
    shared = (
        "-shared",
        "-fPIC",
        f"-Wl,-soname,{LIBRARY_NAME}",
        f"-Wl,--version-script={script}",
    )
    compiler.compile(output / "lib" / LIBRARY_NAME, LIBRARY_SOURCES, shared)
