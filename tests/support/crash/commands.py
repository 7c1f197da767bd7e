"""Commands that write files, killed at each of their writes: the old file, the new one, no half.

Each life runs one command in a folder of its own. After its death each file is whole, and the same
command does its work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from flopgate_agent.config import load_authorities, load_gate_tokens
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.orders.drafts import read_draft
from flopgate_governor.wiring import load_authority, load_state, load_tls
from flopgate_proto.codec import envelope_from_json
from flopgate_proto.errors import FlopgateError
from flopgate_proto.files import (
    CHAIN_KIND,
    REQUEST_KIND,
    CarriedReport,
    ReportingHost,
    read_licenses,
    read_reports,
    write_reports,
)
from flopgate_proto.joining import JoinToken
from tests.support.crash.figures import CrashError, Figures
from tests.support.crash.switch import Death, Switch
from tests.support.governor import AUTHORITY
from tests.support.governor_cli import cli
from tests.support.governor_licenses import asking
from tests.support.governor_process import GovernorProcess, join
from tests.support.waiting import WAIT_S

AGENT: Final = "flopgate_agent.cli"
GOVERNOR: Final = "flopgate_governor.cli"
REASON: Final = ("--reason", "a drill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, and how its work is judged.

    Attributes:
        arguments: of the command line; ``{folder}`` is its own, ``{desk}`` the governor's.
        name: of it.
        whole: whether its work is done in the folder, ``False`` where nothing of it is seen;
            anything that is half raises one of our errors, ``ValueError`` or ``AssertionError``.
        prepare: fills the folder before.
    """

    name: str
    arguments: str
    whole: Callable[[Path], bool]
    module: str = GOVERNOR
    prepare: Callable[[Path], None] = lambda _: None


def founded(folder: Path) -> bool:
    """Of ``init``: keys, store and orders belong together, or no command takes it for one."""
    layout = Layout(folder / "g")
    if not layout.config.exists():
        return False
    assert load_authority(layout) == AUTHORITY
    load_tls(layout)
    keys = [read_signing_key(path) for path in layout.officers.iterdir()]
    state = load_state(layout)
    try:
        assert len(keys) == 3
        assert state.book.delegation is not None
        assert state.book.delegation.delegation.permit_spki == state.permit.spki
        assert state.book.orders.policy_version == 1
    finally:
        state.store.close()
    return True


def joined(folder: Path) -> bool:
    """Of ``join`` with another token: each file is of the one or the other."""
    (authority,), (token,) = load_authorities(folder / "courier"), load_gate_tokens(folder / "gate")
    first, second = ((folder / name).read_text() for name in ("first.token", "second.token"))
    ids = [JoinToken.parse(text).token_id for text in (first, second)]
    assert authority.name == token.authority == AUTHORITY
    assert authority.ca_pem.decode() == JoinToken.parse(second).tls_ca_pem
    return ids.index(token.token_id) == 1


def written(name: str, read: Callable[[Path], object]) -> Callable[[Path], bool]:
    """Of a command that writes one file: what ``read`` reads."""

    def whole(folder: Path) -> bool:
        path = folder / name
        if not path.exists():
            return False
        read(path)
        return True

    return whole


def certified(folder: Path) -> bool:
    """Of ``certificate``: three files; without all of them the directory is named anew."""
    names = ("key.pem", "certificate.pem", "ca.pem")
    found = [folder / "relay" / name for name in names if (folder / "relay" / name).exists()]
    for path in found:
        assert path.read_text().rstrip().endswith("-----")
    return len(found) == len(names)


def approved(folder: Path) -> bool:
    """Of ``order approve``: the draft with the signature, or without it."""
    return len(read_draft(folder / "a.draft").signatures) == 1


def _draft_first(folder: Path) -> None:
    shutil.copy(folder.parent / "a.draft", folder)


def _join_first(folder: Path) -> None:
    for name in ("gate", "courier"):
        (folder / name).mkdir(mode=0o700)
        door = f'state_dir = "{folder}/{name}"\ndoor_path = "{folder}/door"\n'
        lane = 'courier_uids = [0]\n[[lane]]\nworkload = "w"\nchips = "all"\n'
        lane = lane if name == "gate" else ""
        (folder / f"{name}.toml").write_text(door + lane)
    for name in ("first.token", "second.token"):
        shutil.copy(folder.parent / name, folder)
    line = JOIN.format(folder=folder).replace("second", "first").split()
    subprocess.run([sys.executable, "-m", AGENT, *line], check=True, stdout=subprocess.DEVNULL)


JOIN: Final = (
    "join --token-file {folder}/second.token --no-doctor"
    " --gate-config {folder}/gate.toml --courier-config {folder}/courier.toml"
)
SIGNED: Final = "--key {desk}/officers/officer-1.pem --key {desk}/officers/officer-2.pem"
_ALL: Final = (
    Command(name="init", arguments=f"init {{folder}}/g --authority {AUTHORITY}", whole=founded),
    Command(name="join", arguments=JOIN, whole=joined, module=AGENT, prepare=_join_first),
    Command(
        name="certificate relay",
        arguments="certificate relay r --dir {desk} --out-dir {folder}/relay",
        whole=certified,
    ),
    Command(
        name="token create",
        arguments="token create --dir {desk} --cluster c1 --custodian cu --hosts 9"
        " --out {folder}/token",
        whole=written("token", lambda path: JoinToken.parse(path.read_text())),
    ),
    Command(
        name="pause",
        arguments="pause --dir {desk} --scope cluster:c9 --reason drill --draft {folder}/a.draft",
        whole=written("a.draft", read_draft),
    ),
    Command(
        name="order approve",
        arguments="order approve {folder}/a.draft --key {desk}/officers/officer-1.pem"
        " --digest {digest}",
        whole=approved,
        prepare=_draft_first,
    ),
    Command(
        name="heads export",
        arguments="heads export --dir {desk} --out {folder}/heads",
        whole=written("heads", lambda path: json.loads(path.read_text())),
    ),
    Command(
        name="heads chain",
        arguments="heads chain {host} --dir {desk} --after 0 --out {folder}/chain",
        whole=written("chain", lambda path: list(read_reports(CHAIN_KIND, [path.read_bytes()]))),
    ),
    Command(
        name="license issue",
        arguments="license issue {request} --dir {desk} --again --out {folder}/license",
        whole=written("license", lambda path: list(read_licenses([path.read_bytes()]))),
    ),
    Command(
        name="license time",
        arguments="license time --dir {desk} --out {folder}/time",
        whole=written("time", lambda path: envelope_from_json(path.read_text())),
    ),
)

COMMANDS: Final = {command.name: command for command in _ALL}


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

    def live(self, program: str, death: Death | None) -> None:
        """One life of a command, and a second one that finds what the first left.

        Raises:
            CrashError: a file is half, or the command does not do its work.
        """
        self.run(COMMANDS[program], death)

    def run(self, command: Command, death: Death | None) -> None:
        """The same of any command."""
        folder = self._folder / "life"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command.prepare(folder)
        self.switch.arm(death)
        ended = self._run(command, folder, self.switch.env)
        self.figures.lived(self.switch, command.name)
        if self.switch.died != (ended.returncode == -signal.SIGKILL):
            raise CrashError(f"{command.name} ended with {ended.returncode}: {ended.stderr}")
        if not self.switch.died:
            self._done(ended)
        done = self._whole(command, folder, death)
        if not done:
            self._done(self._run(command, folder, {}))
            done = self._whole(command, folder, death)
        if not done:
            raise CrashError(f"{command.name} says that it is done, and it is not; after {death}")

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

    def _whole(self, command: Command, folder: Path, death: Death | None) -> bool:
        try:
            return command.whole(folder)
        except (FlopgateError, ValueError, AssertionError) as error:
            raise CrashError(
                f"{command.name} left something half after {death}: {error}"
            ) from error
