"""Fifty writers race for nested budgets, and their governor is killed at random moments (law 2).

Each round a governor starts on the store as the last one left it, all hosts ask and spend as fast
as it answers, and it dies by SIGKILL. Officers raise every cap in between, and lower one. What is
checked:

* at every commit, by a trigger of the rig's own in the store: no sum grew past the cap of then;
* after every death: what gates may use is in the books, the books are the sums of their lanes, and
  what was acknowledged is on record.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Budget, Refusal, Scope, ScopeKind
from tests.support.budget_race_governor import HEAD_BYTES
from tests.support.governor import LIFETIME_MS, POLICY, LocalGovernor, joined
from tests.support.governor_model import ModelHost, hand_over

QUICK = replace(POLICY, wind_down_ms=1, drain_ms=0)
"""What stopping in order takes is little: budgets are spent to their end."""
UNIT = 20_000
START_S = 20.0
WORKLOADS = ("w0", "w1", "w2")
SCOPES = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.JURISDICTION, "xx"),
    Scope(ScopeKind.CUSTODIAN, "cu"),
    Scope(ScopeKind.CLUSTER, "c1"),
    *(Scope(ScopeKind.WORKLOAD, name) for name in WORKLOADS),
)
_AUDIT = """
CREATE TABLE race_seen (scope TEXT, granted INTEGER, before INTEGER, cap INTEGER);
CREATE TRIGGER race_insert AFTER INSERT ON budget BEGIN
    INSERT INTO race_seen VALUES
    (NEW.scope, NEW.settled_tflop + NEW.outstanding_tflop, 0, NEW.cap_tflop);
END;
CREATE TRIGGER race_update AFTER UPDATE ON budget BEGIN
    INSERT INTO race_seen VALUES (NEW.scope, NEW.settled_tflop + NEW.outstanding_tflop,
    OLD.settled_tflop + OLD.outstanding_tflop, NEW.cap_tflop);
END;
"""
_LANES = """
SELECT sum(allotted_tflop - ungranted_tflop), sum(max(allotted_tflop, coalesce((
    SELECT max(held_tflop) FROM "grant" g
    WHERE g.host_id = lane.host_id AND g.workload = lane.workload), 0)) - allotted_tflop)
FROM lane
"""


class RaceError(Exception):
    """Law 2 or 9 was broken."""


@dataclass(slots=True)
class Figures:
    """What a race came to."""

    rounds: int = 0
    grants: int = 0
    refusals: int = 0
    commits: int = 0
    writes: int = 0
    falling: int = 0


@dataclass
class Race:
    """One store, its hosts, and the process that starts governors on it."""

    folder: Path
    seed: int = 1
    hosts: int = 50
    bug: str = ""
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)  # no secret
        governor = LocalGovernor.make(self.folder / "g.sqlite")
        self._governor = governor
        self._models = [ModelHost(host) for host in joined(governor, self.hosts)]
        for number, model in enumerate(self._models):
            model.host.workload = WORKLOADS[number % len(WORKLOADS)]
        governor.state.store.close()
        self._version = 1
        with closing(sqlite3.connect(governor.path)) as store:
            store.executescript(_AUDIT)
        command = [sys.executable, "-m", "tests.support.budget_race_governor", *self.bug.split()]
        self._starter = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def close(self) -> None:
        """End the process that starts governors."""
        self._starter.communicate(timeout=START_S)

    def round(self) -> None:
        """Officers order, a governor serves and dies, and what is left is checked.

        Raises:
            RaceError: a law was broken.
        """
        self._order()
        # Nobody is silent for so long that it counts: that would leave nothing to race for.
        self._governor.clock.unix_ms += self._draw.choice((1_000, LIFETIME_MS // 8))
        for model in self._models:
            model.host.now_ms += self._draw.choice((1_000, LIFETIME_MS // 4, LIFETIME_MS))
        socket = self.folder / "s"
        socket.unlink(missing_ok=True)
        self._say(f"{self._governor.path}\t{socket}\t{self._governor.clock.unix_ms}")
        pid = int(self._hear())
        asyncio.run(self._load(socket, pid))
        if (status := int(self._hear())) != 0:
            raise RaceError(f"a transaction failed: the governor ended with {status}")
        self._check()
        self.figures.rounds += 1

    def _order(self) -> None:
        """New caps, about as much as is out: some lower than that, some a little higher."""
        governor = self._governor
        governor.reopen()
        with governor.state.store.transaction() as connection:
            rows = connection.exec_driver_sql(
                "SELECT scope, settled_tflop + outstanding_tflop FROM budget"
            ).all()
        used = {row[0]: int(row[1]) for row in rows}
        self._version += 1
        lowered, most = self._draw.choice(SCOPES), self.hosts * UNIT
        caps = []
        for scope in SCOPES:
            more = self._draw.randint(most // 2, 3 * most)
            if scope == lowered:
                more = self._draw.randint(-most // 4, most // 2)
            cap_tflop = max(0, used.get(str(scope), 0) + more)
            caps.append(Budget(scope=scope, cap_tflop=cap_tflop))
        governor.order(replace(QUICK, version=self._version, budgets=tuple(caps)))
        governor.state.store.close()

    def _say(self, line: str) -> None:
        if self._starter.stdin is None:
            raise RaceError("the starter has no input")
        self._starter.stdin.write(line + "\n")
        self._starter.stdin.flush()

    def _hear(self) -> str:
        line = "" if self._starter.stdout is None else self._starter.stdout.readline()
        if not line:
            raise RaceError("the starter is gone")
        return line

    async def _load(self, socket: Path, pid: int) -> None:
        answered = asyncio.Event()
        writers = [asyncio.create_task(self._write(m, socket, answered)) for m in self._models]
        first = asyncio.create_task(answered.wait())
        await asyncio.wait([first, *writers], return_when=asyncio.FIRST_COMPLETED, timeout=START_S)
        await asyncio.sleep(self._draw.uniform(0.0, 0.12))
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*writers)
        first.cancel()

    async def _write(self, model: ModelHost, socket: Path, answered: asyncio.Event) -> None:
        reader, writer = await _connected(socket)
        try:
            while True:
                if not model.sent or model.acknowledged == len(model.sent):
                    model.make(self._draw.randint(1, 4) * UNIT)
                await _send(writer, model.sent[model.acknowledged])
                size = int.from_bytes(await reader.readexactly(HEAD_BYTES))
                self._take(model, pb.LinkDown.FromString(await reader.readexactly(size)))
                answered.set()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _take(self, model: ModelHost, down: pb.LinkDown) -> None:
        for answer in hand_over(self._models, down):
            model.acknowledged = answer.answer.acknowledged_sequence
            for verdict in answer.answer.verdicts:
                if isinstance(verdict.outcome, Refusal):
                    self.figures.refusals += 1
                else:
                    self.figures.grants += 1
        model.spend(self._draw.choice((0, 2, 4, 4)))

    def _check(self) -> None:
        with closing(sqlite3.connect(self._governor.path)) as store:
            for scope, granted, before, cap in store.execute("SELECT * FROM race_seen"):
                self.figures.writes += 1
                self.figures.falling += granted > cap
                if granted > max(cap, before):
                    raise RaceError(f"{scope}: {granted} granted, cap {cap}, {before} before")
            store.execute("DELETE FROM race_seen")
            store.commit()
            sums = {
                row[0]: (row[1], row[2])
                for row in store.execute(
                    "SELECT scope, settled_tflop, outstanding_tflop FROM budget"
                )
            }
            (lanes,) = store.execute(_LANES)
            known = dict(store.execute("SELECT host_id, sequence FROM host"))
            (self.figures.commits,) = store.execute("SELECT count(*) FROM batch").fetchone()
        if sums["everything"] != lanes:
            raise RaceError(f"the books say {sums['everything']}, their lanes {lanes}")
        for scope, (settled, outstanding) in sums.items():
            kind, _, name = scope.partition(":")
            # A run is a workload of the one custodian that there is.
            name = name.rpartition("\x1f")[2]
            bound = kind in {"workload", "run"}
            models = [m for m in self._models if not bound or m.host.workload == name]
            live = sum(model.live_ceiling for model in models)
            if live > settled + outstanding:
                raise RaceError(f"{scope}: hosts may use {live}, {settled}+{outstanding} booked")
        for model in self._models:
            if model.acknowledged > known[model.host.host_id]:
                raise RaceError(f"report {model.acknowledged} was acknowledged and is not there")


async def _connected(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    until_s = time.monotonic() + START_S
    while True:
        try:
            return await asyncio.open_unix_connection(socket)
        except OSError:
            if time.monotonic() > until_s:
                raise
        await asyncio.sleep(0.005)


async def _send(writer: asyncio.StreamWriter, envelope: Envelope) -> None:
    up = pb.LinkUp(reports=[pb.SignedReport(envelope=envelope_to_wire(envelope))])
    data = up.SerializeToString()
    writer.write(len(data).to_bytes(HEAD_BYTES) + data)
    await writer.drain()


def race(folder: Path, rounds: int, *, seed: int = 1, hosts: int = 50, bug: str = "") -> Figures:
    """So many rounds.

    Raises:
        RaceError: a law was broken.
    """
    running = Race(folder, seed=seed, hosts=hosts, bug=bug)
    try:
        for _ in range(rounds):
            running.round()
    finally:
        running.close()
    return running.figures
