"""Commands that write files, struck at each of their writes: the old file, the new one, no half.

Each life runs one command in a folder of its own. After its death each file is whole, and the same
command does its work. One that could not write says so, and does its work once it can.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Self

from flopgate_governor.orders.drafts import read_draft
from flopgate_proto.errors import FlopgateError
from flopgate_proto.files import REQUEST_KIND, CarriedReport, ReportingHost, write_reports
from flopgate_proto.joining import JoinToken
from tests.support.crash.commands import COMMANDS, FAT_BYTES, REPORTS, Command
from tests.support.crash.figures import COULD_NOT, CrashError, Figures, check_told
from tests.support.crash.switch import Strike, Switch
from tests.support.governor_cli import cli
from tests.support.governor_licenses import asking
from tests.support.governor_process import GovernorProcess, join
from tests.support.waiting import WAIT_S

REASON: Final = ("--reason", "a drill")


class CommandScene:
    """One governor at whose desk the commands are given; use it in a ``with`` statement.

    Args:
        folder: an empty one.
    """

    programs: Sequence[str] = tuple(COMMANDS)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._desk = GovernorProcess.make(folder / "desk")
        self.switch = Switch(folder, folder / "life")
        self.figures = Figures("commands")
        self._filled: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._desk.start()
        GovernorProcess.make(self._folder / "idle")
        _fat_ledger(self._folder / "fat.sqlite")
        for name in ("first", "second"):
            (self._folder / f"{name}.token").touch(mode=0o600)
            (self._folder / f"{name}.token").write_text(self._desk.token().text())
        host = join(self._desk, 1, JoinToken.parse((self._folder / "first.token").read_text()))[0]
        reports = [host.report() for _ in range(60)]
        reports.append(asking(host))
        told = ReportingHost(host_id=host.host_id, name="node-1", reports=len(reports))
        request, draft = self._folder / "site.request", self._folder / "a.draft"
        request.write_bytes(
            b"".join(write_reports(REQUEST_KIND, [(told, map(CarriedReport, reports))]))
        )
        issued = ("--yes-i-mean", "1", "--out", str(self._folder / "first.license"), *REASON)
        self._done(self._desk.order("license", "issue", str(request), *issued, officers=2))
        where = ("--dir", self._desk.root, "--draft", draft)
        self._done(cli("pause", *where, "--scope", "cluster:c9", *REASON))
        self._filled = {
            "desk": str(self._desk.root),
            "host": host.host_id.hex(),
            "request": str(request),
            "digest": read_draft(draft).digest.hex(),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.stop(signal.SIGKILL)

    def _done(self, done: subprocess.CompletedProcess[str]) -> None:
        if done.returncode:
            raise CrashError(done.stderr)

    def live(self, program: str, strike: Strike | None) -> None:
        """One life of a command, and a second one that finds what the first left.

        Raises:
            CrashError: a file is half, or the command does not do its work.
        """
        self.run(COMMANDS[program], strike)

    def run(self, command: Command, strike: Strike | None) -> None:
        """The same of any command."""
        folder = self._folder / "life"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command.prepare(folder)
        self.switch.arm(strike)
        ended = self._run(command, folder, self.switch.env)
        self.figures.lived(self.switch, strike, command.name)
        self._check_end(command, strike, ended)
        done = self._whole(command, folder, strike)
        if not done and ended.returncode == 0:
            raise CrashError(f"{command.name} says that it is done, and it is not")
        if not done:
            self._done(self._run(command, folder, {}))
            done = self._whole(command, folder, strike)
        if not done:
            raise CrashError(f"{command.name} says that it is done, and it is not; after {strike}")

    def _check_end(
        self, command: Command, strike: Strike | None, ended: subprocess.CompletedProcess[str]
    ) -> None:
        killed = self.switch.struck and strike is not None and strike.how.kills
        if killed != (ended.returncode == -signal.SIGKILL):
            raise CrashError(f"{command.name} ended with {ended.returncode}: {ended.stderr}")
        if self.switch.struck and ended.returncode in COULD_NOT:
            check_told(ended.stderr, command.name)
        elif not killed:
            self._done(ended)

    def _run(
        self, command: Command, folder: Path, env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        words = command.arguments.format(folder=folder, **self._filled).split()
        return subprocess.run(
            [sys.executable, "-m", command.module, *words],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )

    def _whole(self, command: Command, folder: Path, strike: Strike | None) -> bool:
        try:
            return command.whole(folder)
        except (FlopgateError, ValueError, AssertionError) as error:
            raise CrashError(
                f"{command.name} left something half after {strike}: {error}"
            ) from error


def _fat_ledger(path: Path) -> None:
    """Of some reports, and of more room than they need."""
    command = [sys.executable, "-m", "tests.support.ledger_child", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(REPORTS):
            child.stdout.readline()
        child.kill()
    with closing(sqlite3.connect(path, isolation_level=None)) as ledger:
        # What was kept and not told yet.
        ledger.execute("DELETE FROM report WHERE sequence > ?", (REPORTS,))
        ledger.execute("CREATE TABLE padding (some BLOB)")
        ledger.execute("INSERT INTO padding VALUES (zeroblob(?))", (FAT_BYTES,))
        ledger.execute("DROP TABLE padding")
