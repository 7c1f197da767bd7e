"""Commands that write files, and how the work of each is judged.

Not here, for they write nothing themselves: what is given to the running governor (`order submit`,
`policy apply`, `resume`, `delegate`, `reconcile`, `cluster`, `workload register`, `heads take`, and
`license issue` but for its file) is written by that. What a host's own people ask of the gate
(`retire`, `declare`, `license install`) is written by the gate: `asked_scene`. `heads prove` and
all that shows or checks only read. There is no command for a backup of the governor, whose folder
is copied while it is stopped: `restored_scene`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_agent.config import load_authorities, load_gate_tokens
from flopgate_agent.ledger import Ledger
from flopgate_governor.clocks import this_machine
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.orders.drafts import read_draft
from flopgate_governor.store.database import open_existing
from flopgate_governor.views.proof import read_signed
from flopgate_governor.wiring import load_authority, load_state, load_tls
from flopgate_proto.codec import envelope_from_json
from flopgate_proto.files import CHAIN_KIND, read_licenses, read_reports
from flopgate_proto.joining import JoinToken
from tests.support.governor import AUTHORITY

AGENT: Final = "flopgate_agent.cli"
GOVERNOR: Final = "flopgate_governor.cli"
_CLOCK: Final = "clock"
_LONG_AGO: Final = bytes(8)
"""When this boot began, as a governor must not go on believing."""


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


def believed(folder: Path) -> bool:
    """Of ``clock --believe``: the store tells what was believed before, or the wall clock."""
    clocks, store = this_machine(), open_existing(Layout(folder / "g").store)
    try:
        kept = store.meta(_CLOCK)
    finally:
        store.close()
    assert kept is not None
    assert kept.startswith(clocks.boot_id)
    if kept.endswith(_LONG_AGO):
        return False
    assert len(kept) == len(clocks.boot_id) + len(_LONG_AGO)
    return True


def compacted(folder: Path) -> bool:
    """Of ``compact``: all reports but what was to go, and the chain goes on from the last one."""
    ledger = Ledger(folder / "gate" / "ledger.sqlite")
    try:
        memory, reports = ledger.load(), ledger.reports(1, REPORTS)
    finally:
        ledger.close()
    assert memory.last is not None
    assert memory.last.report.sequence == REPORTS
    assert reports[-1][0] == REPORTS
    sequences = [sequence for sequence, _ in reports]
    assert sequences == list(range(sequences[0], REPORTS + 1))
    # Without an authority that acknowledged them all stay: the file is what is made small.
    return (folder / "gate" / "ledger.sqlite").stat().st_size < FAT_BYTES


def _governor_first(folder: Path) -> None:
    shutil.copytree(folder.parent / "idle", folder / "g")
    store = open_existing(Layout(folder / "g").store)
    store.set_meta(_CLOCK, this_machine().boot_id + _LONG_AGO)
    store.close()


def _ledger_first(folder: Path) -> None:
    (folder / "gate").mkdir(mode=0o700)
    shutil.copy(folder.parent / "fat.sqlite", folder / "gate" / "ledger.sqlite")
    (folder / "gate.toml").write_text(
        f'state_dir = "{folder}/gate"\ndoor_path = "{folder}/door"\n'
        'courier_uids = [0]\n[[lane]]\nworkload = "w"\nchips = "all"\n'
    )


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
REPORTS: Final = 30
FAT_BYTES: Final = 300_000
"""Less than what a ledger takes of which a large part is free."""
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
        name="certificate officer",
        arguments="certificate officer o --dir {desk} --out-dir {folder}/relay",
        whole=certified,
    ),
    Command(
        name="clock --believe",
        arguments="clock --believe --dir {folder}/g",
        whole=believed,
        prepare=_governor_first,
    ),
    Command(
        name="compact",
        arguments="compact --config {folder}/gate.toml",
        whole=compacted,
        module=AGENT,
        prepare=_ledger_first,
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
        name="heads report",
        arguments="heads report {host} 3 --dir {desk} --out {folder}/report",
        whole=written("report", lambda path: read_signed(path.read_text())),
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
