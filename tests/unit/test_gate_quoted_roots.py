"""Beside a report leaves the signed root of each answer that it quotes, to who signed it alone."""

from __future__ import annotations

from pathlib import Path

from flopgate_agent.gate_process.outbox import Outbox
from flopgate_agent.ledger import Ledger
from flopgate_proto.codec import PayloadType, decode_batch_root, envelope_from_wire
from flopgate_proto.envelope import verify
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.fixed import PERMIT_KEY
from tests.support.gate_authority import GateAuthority
from tests.support.gate_license_rig import LicenseRig
from tests.support.gate_rig import GateRig, cut, running

PERMIT = VerifyingKey(PERMIT_KEY.spki)


def rooted(signed: pb.SignedReport) -> set[tuple[str, int]]:
    """What the roots beside a report are of; each is signed."""
    found = set()
    for wire in signed.quoted_roots:
        root = envelope_from_wire(wire)
        verified = verify(root, PayloadType.BATCH_ROOT, {PERMIT.key_id: PERMIT})
        batch = decode_batch_root(verified.payload)
        found.add((batch.origin, batch.batch_number))
    assert len(found) == len(signed.quoted_roots)
    return found


def quoted(signed: pb.SignedReport) -> set[tuple[str, int]]:
    """What the report itself says."""
    quotes = pb.Report.FromString(signed.envelope.payload).quotes
    return {(one.authority, one.batch_number) for one in quotes if one.answer_digest}


def reports(rig: GateRig) -> list[pb.SignedReport]:
    """All that the ledger has."""
    return [signed for _, signed in rig.ledger.reports(1, 10_000)]


def test_each_report_has_the_roots_of_what_it_quotes_and_no_others() -> None:
    rig = running(GateAuthority("first.example"), GateAuthority("second.example")).run(400_000)
    kept = reports(rig)
    assert all(rooted(one) == quoted(one) for one in kept)
    assert len({frozenset(quoted(one)) for one in kept}) > 3, "old ones go with old roots"
    assert not quoted(kept[0])


def test_a_root_outlives_every_run_boot_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    rig = GateRig(ledger=Ledger(path))
    rig.enrol().run(200_000)
    rig.restart(boot_id=bytes([9] * 16))
    rig.network = cut
    rig.run(300_000)
    rig.ledger.close()
    ledger = Ledger(path)
    found = [signed for _, signed in ledger.reports(1, 10_000)]
    ledger.close()
    assert all(rooted(one) == quoted(one) for one in found)
    assert quoted(found[-1])


def test_the_answer_that_gives_a_license_is_quoted_with_its_root(tmp_path: Path) -> None:
    rig = LicenseRig(tmp_path)
    given = rig.licensed()
    rig.run(30_000)
    number = decode_batch_root(given.proven.root.payload).batch_number
    newest = reports(rig)[-1]
    assert rooted(newest) == quoted(newest) == {(rig.authority.name, number)}


class Door:
    """Couriers, and what each was given."""

    def __init__(self, *names: str) -> None:
        self.clients = dict.fromkeys(range(len(names)), 0)
        self.given: dict[int, list[pb.SignedReport]] = {one: [] for one in self.clients}

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        self.given[client_id].append(message.report)
        return True


def test_no_authority_is_given_what_another_one_signed() -> None:
    names = "first.example", "second.example"
    rig = running(*map(GateAuthority, names)).run(400_000)
    door = Door(*names)
    outbox = Outbox(door, rig.ledger, lambda _name: 1)
    for client_id, name in enumerate(names):
        outbox.resend(client_id, name, 0)
    for _ in range(len(rig.reports)):
        outbox.push(len(rig.reports))
    for client_id, name in enumerate(names):
        given = door.given[client_id]
        assert len(given) == len(rig.reports)
        own = [{one for one in quoted(signed) if one[0] == name} for signed in given]
        assert [rooted(signed) for signed in given] == own
        assert any(own)
