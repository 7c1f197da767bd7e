"""The governor's command line, in processes that need not import it first.

To import it costs a hundred times what most commands do, and tests give some hundred of them. Each
runs in a fork of a process that imported it and has done nothing else: with memory, descriptors
and an exit status of its own, as a fresh one has. Fresh ones serve, and run what stands on pages.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from flopgate_governor import commands
from flopgate_governor.cli import main
from tests.support.waiting import WAIT_S

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_MODULES: Final = [
    one.name for one in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}.")
]
_CONTEXT.set_forkserver_preload(_MODULES)


def cli(*arguments: str | Path, stdin: str = os.devnull) -> subprocess.CompletedProcess[str]:
    """Run it to its end.

    Args:
        arguments: its words.
        stdin: path of its standard input.

    Raises:
        TimeoutError: it was ended, after `WAIT_S`.
    """
    given = [*map(str, arguments)]
    with TemporaryDirectory(prefix="fg-") as name:
        folder = Path(name)
        streams = [folder / "out", folder / "err"]
        for stream in streams:
            stream.touch()
        process = _CONTEXT.Process(
            target=_run,
            args=(given, [Path(stdin), *streams], dict(os.environ), Path.cwd()),
            daemon=True,
        )
        process.start()
        process.join(WAIT_S)
        status = process.exitcode
        if status is None:
            process.kill()
            process.join()
            raise TimeoutError(f"flopgate-governor {' '.join(given)} does not end")
        process.close()
        out, err = (stream.read_text(encoding="utf-8") for stream in streams)
    return subprocess.CompletedProcess(given, status, out, err)


def _run(
    arguments: Sequence[str], streams: Sequence[Path], environ: dict[str, str], cwd: Path
) -> None:
    """In the process."""
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.exit(main(arguments))
