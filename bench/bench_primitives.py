"""Raw limits: what the parts of an exchange cost by themselves, on one core.

Every figure is a median over rounds in which all of them take turns. ``of a verification`` relates
each to a P-256 verification of the same round.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import NS_PER_S, BenchError, Pace, machine, pace, table
from bench.hosts import SOFTWARE, Judge, SpokenHost, raw_key
from bench.site import TIMES
from flopgate_agent.gate.actions import KeepReport
from flopgate_agent.gate.reports.reporting import build_report, lane_report
from flopgate_agent.gate.settings import GateToken, Now
from flopgate_agent.ledger import Ledger
from flopgate_governor.batch import commit_batch
from flopgate_governor.clocks import unix_ms
from flopgate_governor.files import Layout
from flopgate_governor.joining.admission import admit
from flopgate_governor.joining.tokens import TokenRecord, write_token
from flopgate_governor.receive import Submission
from flopgate_governor.state import State
from flopgate_governor.wiring import load_state
from flopgate_proto.codec import decode_report, encode_report, envelope_from_wire
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import seal, verify
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.fleet.host import HostPlan, SimulatedHost
from flopgate_sim.live.governor import AUTHORITY, CLUSTER, Governor
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import LOOPBACK

BATCHES = (1, 8, 32, 64, 256)
VERIFY = "P-256 verify, 512 bytes"
TFLOP_PER_S = 10_000_000
"""Declared capacity of the cluster: it is covered."""

Work = Callable[[], object]


def signatures() -> dict[str, Work]:
    """What `cryptography` does without any of our code."""
    message, algorithm = bytes(range(256)) * 2, ec.ECDSA(hashes.SHA256())
    p256, edwards = raw_key(), ed25519.Ed25519PrivateKey.generate()
    public, edwards_public = p256.public_key(), edwards.public_key()
    signature, edwards_signature = p256.sign(message, algorithm), edwards.sign(message)
    return {
        VERIFY: lambda: public.verify(signature, message, algorithm),
        "P-256 sign": lambda: p256.sign(message, algorithm),
        "Ed25519 verify": lambda: edwards_public.verify(edwards_signature, message),
        "Ed25519 sign": lambda: edwards.sign(message),
    }


def codec() -> dict[str, Work]:
    """One report of a host with 8 chips, through the protocol library."""
    host = SpokenHost("codec", AUTHORITY)
    signed, value = host.next_report(), host.report()
    payload, whole = signed.envelope.payload, signed.SerializeToString()
    envelope = envelope_from_wire(signed.envelope)
    key = VerifyingKey(host.key.spki)
    keys = {key.key_id: key}
    return {
        f"SHA-256 of a report, {len(payload)} bytes": lambda: hashlib.sha256(payload).digest(),
        f"protobuf parse, {len(whole)} bytes as sent": lambda: pb.SignedReport.FromString(whole),
        "protobuf parse of the report alone": lambda: pb.Report.FromString(payload),
        "codec: encode_report": lambda: encode_report(value),
        "codec: decode_report": lambda: decode_report(payload),
        "envelope: seal": lambda: seal(PayloadType.REPORT, payload, [host.key]),
        "envelope: verify": lambda: verify(envelope, PayloadType.REPORT, keys),
    }


class Gate:
    """The gate's own core and ledger around 8 simulated H100."""

    def __init__(self, directory: Path) -> None:
        token = GateToken(
            authority=AUTHORITY,
            trust_root_digest=bytes(32),
            cluster=CLUSTER,
            custodian="operator",
            site="",
            jurisdiction="",
            token_id=bytes(16),
            secret=bytes(32),
        )
        plan = HostPlan(
            name="bench",
            workload="training-run-7",
            chips=8,
            share_percent=50,
            drain_ms=50,
            sample_interval_ms=1000,
            boot_id=bytes(16),
            software=SOFTWARE,
        )
        now = Now(elapsed_ms=1_000_000, wall_unix_ms=1_800_000_000_000)
        self._host = SimulatedHost(plan, token, ":memory:", secrets.token_bytes, now)
        self._now = now
        for _ in range(3):
            self.step()
        self._ledger = Ledger(directory / "ledger.sqlite")
        self._sequence, self._head = 0, self._host.host_id

    def step(self) -> None:
        """One second: counters of all chips, and what the core makes of them."""
        self._now = replace(self._now, elapsed_ms=self._now.elapsed_ms + 1000)
        self._host.step(self._now)

    def report(self) -> None:
        """Rows, Merkle root, encoding, signature; then durable in the ledger."""
        kept = self.build()
        self._ledger.keep(kept)
        self._sequence, self._head = kept.sequence, kept.digest

    def build(self) -> KeepReport:
        """The next report, signed."""
        core = self._host.core
        return build_report(
            core.settings,
            sequence=self._sequence + 1,
            previous=self._head,
            interval=(self._now.elapsed_ms - 1000, self._now.elapsed_ms),
            lanes=tuple(lane_report(lane) for lane in core.lanes.values()),
            chips=core.meter.chips,
            authorities=list(core.authorities.values()),
            findings=(),
            running_ms=1000,
            topology=None,
            request=None,
            final=False,
            now=self._now,
        )

    def works(self) -> dict[str, Work]:
        """What is timed."""
        return {
            "gate core: one look at 8 chips": self.step,
            "gate core: build and sign a report": self.build,
            "the same, durable in the gate's ledger": self.report,
        }


@contextmanager
def disk(directory: Path) -> Iterator[dict[str, Work]]:
    """One row a transaction, as durable as store and ledger."""
    with sqlite3.connect(directory / "raw.sqlite", isolation_level=None) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        row = bytes(1024)
        yield {"SQLite commit of 1 KiB, WAL, FULL": lambda: _insert(database, row)}
    database.close()


def _insert(database: sqlite3.Connection, row: bytes) -> None:
    database.execute("INSERT INTO row (data) VALUES (?)", (row,))


class Store:
    """A governor's state without network: what one group commit costs, by its size."""

    def __init__(self, directory: Path) -> None:
        governor = Governor(directory, TIMES, Addresses.on(LOOPBACK, (0, 0)))
        form = str(governor.policy_file(COUNT_MAX))
        governor.cli("init", str(governor.directory), "--authority", AUTHORITY, "--policy", form)
        self._state: State = load_state(Layout(governor.directory))
        self._hosts = [SpokenHost(f"host-{n}", AUTHORITY) for n in range(max(BATCHES))]
        self._judge = Judge(AUTHORITY, self._state.permit, self._hosts)
        self._enrol()

    def _enrol(self) -> None:
        token = JoinToken(
            authority=AUTHORITY,
            trust_root_digest=self._state.book.roots[0].digest,
            enroll_address="",
            link_address="",
            tls_ca_pem="",
            cluster=CLUSTER,
            custodian="operator",
            site="",
            jurisdiction="",
            token_id=secrets.token_bytes(16),
            secret=secrets.token_bytes(32),
        )
        record = TokenRecord(
            token_id=token.token_id,
            secret=token.secret,
            trust_root_digest=token.trust_root_digest,
            cluster=token.cluster,
            custodian=token.custodian,
            site=token.site,
            jurisdiction=token.jurisdiction,
            hosts_max=len(self._hosts),
            capacity_tflop_per_s=TFLOP_PER_S,
            expires_unix_ms=unix_ms() + 3_600_000,
        )
        with self._state.store.transaction() as connection:
            write_token(connection, record)
        for host in self._hosts:
            admit(self._state, envelope_from_wire(host.enrolment(token, b"").enrolment))

    def commit(self, size: int) -> Pace:
        """One transaction of so many hosts' next reports; the cost of each report."""
        submissions = [
            Submission(reports=(host.next_report(),), host_id=host.host_id)
            for host in self._hosts[:size]
        ]
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        replies = commit_batch(self._state, submissions)
        cost = Pace(
            wall_ns=(time.perf_counter_ns() - wall) / size,
            cpu_ns=(time.thread_time_ns() - cpu) / size,
        )
        if sum(map(self._judge.take, replies)) != size:
            raise BenchError("not every report was granted")
        return cost

    def close(self) -> None:
        """Close the store."""
        self._state.store.close()


def measure(rounds: int, span_s: float) -> dict[str, list[Pace]]:
    """Every figure once a round."""
    found: dict[str, list[Pace]] = {}
    with tempfile.TemporaryDirectory(prefix="flopgate-bench-") as name:
        directory = Path(name)
        gate, store = Gate(directory), Store(directory)
        with disk(directory) as durable:
            works = {**signatures(), **codec(), **durable, **gate.works()}
            for _ in range(rounds):
                for what, work in works.items():
                    found.setdefault(what, []).append(pace(work, span_s))
                for size in BATCHES:
                    what = f"governor: group commit of {size}, each report"
                    found.setdefault(what, []).append(store.commit(size))
        store.close()
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--span", type=float, default=0.1, help="seconds of each figure a round")
    arguments = parser.parse_args()
    print(machine())
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = measure(arguments.rounds, arguments.span)
    verify_ns = [one.cpu_ns for one in found[VERIFY]]
    rows = []
    for what, paces in found.items():
        wall_ns = median(one.wall_ns for one in paces)
        cpu_ns = median(one.cpu_ns for one in paces)
        ratio = median(one.cpu_ns / raw for one, raw in zip(paces, verify_ns, strict=True))
        rows.append(
            [
                what,
                f"{wall_ns / 1e3:,.1f}",
                f"{cpu_ns / 1e3:,.1f}",
                f"{ratio:.2f}",
                f"{NS_PER_S / wall_ns:,.0f}",
            ]
        )
    table(
        f"Raw limits, medians of {arguments.rounds} rounds",
        ("", "wall us", "CPU us", "of a verification", "per s"),
        rows,
    )


if __name__ == "__main__":
    main()
