"""Joining under attack and on bad days: gate core and governor together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.gate.actions import KeepEnrolment, KeepOrder, KeepReport
from flopgate_agent.gate.lifecycle.enrolling import enrolled_chips
from flopgate_agent.gate.settings import TFLOP, GateToken
from flopgate_governor.joining.admission import Admitted, admit
from flopgate_proto.codec import decode_report, envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import OversizedError, PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import PAYLOAD_BYTES_MAX, SPKI_BYTES_MAX
from flopgate_proto.values import Key
from flopgate_sim.world.world import gate_token
from tests.support import orders
from tests.support.gate_authority import GateAuthority
from tests.support.gate_hardware import Hardware, h100
from tests.support.gate_rig import GateRig, cut, settings
from tests.support.governor import AUTHORITY, LocalGovernor, cluster_policy
from tests.support.governor_steps import AMPLE

COURIERS = tuple(SigningKey.from_scalar(0x3000 + number) for number in range(20))


class Joined(GateAuthority):
    """Join tokens of a real governor, and its real admissions."""

    def __init__(self, governor: LocalGovernor) -> None:
        super().__init__(AUTHORITY)
        self.governor = governor
        self._record = governor.token()

    def token(self) -> GateToken:
        return gate_token(AUTHORITY, self._record)

    def enroll(self, enrolment: Envelope) -> Admitted:
        return admit(self.governor.state, enrolment)

    def refused_reason(self, host_id: bytes) -> str:
        """Why the chain of a host was closed, empty while it is open."""
        chain = self.governor.state.chains.get(host_id)
        return "" if chain is None else chain.facts.refused_reason


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Joined]:
    governor = LocalGovernor.make(tmp_path / "governor.sqlite", cluster_policy(AMPLE))
    yield Joined(governor)
    governor.state.store.close()


def deliver(rig: GateRig, admitted: Admitted) -> None:
    """The answer of the governor arrives."""
    brought = [envelope_from_wire(one.envelope) for one in admitted.orders]
    admission = envelope_from_wire(admitted.admission)
    rig.carry_out(rig.core.admission(AUTHORITY, admission, brought, rig.now))


def is_admitted(rig: GateRig) -> bool:
    return rig.core.authorities[AUTHORITY].admitted


def rejoin(rig: GateRig, home: Joined) -> None:
    """The join is taken back and made again, with a start of the gate between."""
    rig.authorities.clear()
    rig.restart().run(10_000)
    rig.authorities[AUTHORITY] = home
    rig.restart().run(1_000)


def test_law_4_whichever_of_many_statements_was_admitted_stands(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    home.enroll(rig.ask(home, courier=COURIERS[0]))  # its courier withholds the answer
    for courier in COURIERS:
        rig.ask(home, courier=courier)
    deliver(rig, home.enroll(rig.ask(home)))
    assert is_admitted(rig)


def test_couriers_that_take_turns_push_nothing_out(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    home.enroll(rig.ask(home))
    for _ in range(200):
        for courier in COURIERS[:2]:
            rig.ask(home, courier=courier)
    assert len(rig.core.authorities[AUTHORITY].asked) == 3
    deliver(rig, home.enroll(rig.ask(home, courier=COURIERS[0])))
    assert is_admitted(rig)


@pytest.mark.parametrize("joined", [False, True])
def test_law_9_a_courier_key_that_nobody_can_read_is_never_kept(
    home: Joined, *, joined: bool
) -> None:
    """Kept in a statement, it would keep this gate from every further start."""
    rig = GateRig(home, network=cut)
    if joined:
        deliver(rig, home.enroll(rig.ask(home)))
    before = rig.core.chain.sequence
    for size in (SPKI_BYTES_MAX + 1, PAYLOAD_BYTES_MAX):
        with pytest.raises(OversizedError, match="courier key"):
            rig.core.enrol(AUTHORITY, bytes(size), rig.now)
    assert rig.core.chain.sequence == before
    assert bool(enrolled_chips(rig.restart().ledger.load())) is joined
    deliver(rig, home.enroll(rig.ask(home)))
    assert is_admitted(rig)


def test_law_4_a_join_taken_back_and_made_again_goes_on_with_its_chain(home: Joined) -> None:
    """The authority had admitted the host, and has reports of it: no second history may begin."""
    rig = GateRig(home, network=cut)
    rig.hardware.start(pid=1)
    asked = rig.ask(home)
    home.enroll(asked)
    rig.run(300_000)
    assert not home.governor.send(*rig.reports[1:]).notices
    did_tflop = rig.hardware.nominal_flop(0) // TFLOP
    seen = len(rig.reports)
    rejoin(rig, home)
    assert rig.ask(home) == asked
    rig.run(1_000)
    assert not home.governor.send(*rig.reports[seen:]).notices
    assert not home.refused_reason(rig.settings.host_id)
    lanes = home.governor.state.chains[rig.settings.host_id].lanes.values()
    assert sum(lane.unaccounted_tflop for lane in lanes) >= did_tflop
    deliver(rig, home.enroll(asked))
    assert is_admitted(rig)


def test_a_start_without_the_join_directory_voids_no_answer(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    admitted = home.enroll(rig.ask(home))
    rig.run(300_000)
    rejoin(rig, home)
    deliver(rig, admitted)
    assert is_admitted(rig)


NEW_OFFICERS = tuple(SigningKey.from_scalar(0x7001 + number) for number in range(3))


class Refounded(GateAuthority):
    """An authority of a name that another one had: other officers, another root."""

    def __init__(self, name: str) -> None:
        keys = tuple(
            Key(name=f"officer-{number}", spki=key.spki) for number, key in enumerate(NEW_OFFICERS)
        )
        root = orders.trust_root(authority=name, keys=keys)
        super().__init__(name, root=orders.sealed_order(root, NEW_OFFICERS[:2]))

    def first_orders(self) -> list[Envelope]:
        delegation = orders.delegation(**self.whose, permit_spki=self.permit_key.spki)
        rest = (delegation, self.policy)
        return [self.root, *(orders.sealed_order(one, NEW_OFFICERS[:2]) for one in rest)]


@pytest.mark.parametrize("hello_first", [True, False])
def test_an_authority_founded_anew_is_joined_by_its_new_root(*, hello_first: bool) -> None:
    """Orders of the old one stay in the ledger, with or without a statement to it."""
    old, new = GateAuthority("home.example"), Refounded("home.example")
    rig = GateRig(old)
    if hello_first:
        rig.ask(old)
    elsewhere = GateRig(GateAuthority("home.example"))
    stranger = old.admission(elsewhere.ask(elsewhere.authority), host_id=bytes([7]) * 32)
    with pytest.raises(PeerError):
        rig.carry_out(rig.core.admission(old.name, stranger, old.first_orders(), rig.now))
    rig.run(1_000)
    rig.authorities.clear()
    rig.restart().run(1_000)
    rig.authorities[new.name] = new
    rig.restart().run(1_000)
    rig.admit(new, rig.ask(new))
    rig.run(60_000)
    rig.restart().run(1_000)
    assert rig.core.authorities[new.name].admitted


def test_law_4_a_clock_set_back_before_the_admission_accuses_nobody(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    rig.hardware.start(pid=1)
    rig.run(2_000)
    admitted = home.enroll(rig.ask(home))
    rig.pass_time(rig.now_ms + 30_000)
    rig.now_ms -= 600_000
    rig.hardware = Hardware(1, rig.now_ms)
    rig.restart().run(5_000)
    deliver(rig, admitted)
    rig.run(1_000)
    assert not home.governor.send(*rig.reports[1:]).notices
    assert rig.lane.why is not None
    assert rig.lane.why.reason == "clock.boot.backwards"
    assert rig.lane.book.total.nominal >= h100().worst_nominal_flop_per_s * 30


def test_law_3_two_crashes_around_the_admission_lose_no_time(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    rig.hardware.start(pid=1)
    rig.run(2_000)
    admitted = home.enroll(rig.ask(home))
    brought = [envelope_from_wire(one.envelope) for one in admitted.orders]
    admission = envelope_from_wire(admitted.admission)
    for action in rig.core.admission(AUTHORITY, admission, brought, rig.now):
        match action:
            case KeepOrder() | KeepEnrolment():
                rig.ledger.keep(action)
            case KeepReport():
                break  # killed before this one is kept
    first = decode_report(rig.reports[0].payload)
    before_flop = rig.hardware.nominal_flop(0)
    rig.restart(away_ms=30_000)
    rig.ask(home)
    rig.restart().run(2_000)
    assert is_admitted(rig)
    assert decode_report(rig.reports[1].payload).interval_start_ms == first.interval_end_ms
    did_flop = rig.hardware.nominal_flop(0) - before_flop
    assert rig.lane.book.total.nominal >= did_flop > h100().worst_nominal_flop_per_s * 10


def test_a_chip_that_comes_before_the_answer_voids_nothing(home: Joined) -> None:
    rig = GateRig(home, network=cut)
    admitted = home.enroll(rig.ask(home))
    rig.settings = replace(rig.settings, chips=settings(2).chips)
    rig.hardware = Hardware(2, rig.now_ms)
    rig.restart().run(1_000)
    rig.ask(home, courier=COURIERS[0])
    assert len(enrolled_chips(rig.ledger.load())) == 1
    deliver(rig, admitted)
    assert is_admitted(rig)
