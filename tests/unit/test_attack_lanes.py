"""Attacks by leaving out: chips in no lane, runs that come back, hosts crowded out, cheap names."""

import datetime as dt
from dataclasses import replace

import pytest

from flopgate_agent.gate.settings import LaneSetting
from flopgate_agent.gate_process.host_settings import with_bare_chips
from flopgate_governor.core.capacity import peaks_of
from flopgate_governor.pki import CertificateAuthority, new_authority
from flopgate_governor.state import HOSTS_KEPT
from flopgate_proto.codec import decode_report
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MalformedError
from flopgate_proto.values import Figures
from tests.support.governor import FakeHost, LocalGovernor, answers
from tests.support.governor_steps import ASK, ask, totals
from tests.support.verdicts import refusal_of

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def host(governor: LocalGovernor) -> FakeHost:
    made = FakeHost(1, chips=2)
    governor.enroll(made, governor.token(capacity_tflop_per_s=2_000_000))
    return made


def test_law_3_chips_that_the_host_names_in_no_lane_are_in_undeclared() -> None:
    lanes = [LaneSetting(workload="w1", chips=(2,)), LaneSetting(workload="undeclared", chips=(0,))]
    assert with_bare_chips(lanes, 4) == [
        lanes[0],
        LaneSetting(workload="undeclared", chips=(0, 1, 3)),
    ]
    assert with_bare_chips(lanes[:1], 2) == [
        lanes[0],
        LaneSetting(workload="undeclared", chips=(0, 1)),
    ]
    assert with_bare_chips(lanes[:1], 3)[0] is lanes[0]
    every = [LaneSetting(workload="w1", chips=(0, 1))]
    assert with_bare_chips(every, 2) == every


def test_law_3_a_report_that_leaves_a_chip_out_is_granted_nothing(
    governor: LocalGovernor, host: FakeHost
) -> None:
    assert not ask(governor, host)
    value = host.value(ASK)
    bare = host.sign(replace(value, lanes=(replace(value.lanes[0], chips=(1,)),)))
    host.sequence, host.head = host.sequence + 1, bare.digest
    (answer,) = answers(governor.send(bare))
    assert refusal_of(answer).reason == "host.chips-bare"
    assert answer.answer.acknowledged_sequence == value.sequence
    host.accept_verified(answer)
    assert not ask(governor, host)


@pytest.mark.parametrize(("hidden_tflop", "found"), [(4, 0), (5, 1)])
def test_law_3_totals_that_no_book_holds_are_found(
    governor: LocalGovernor, host: FakeHost, hidden_tflop: int, found: int
) -> None:
    assert not ask(governor, host)
    host.unaccounted_tflop = 100
    value = host.value()
    grown = 100 + hidden_tflop
    total = Figures(low_tflop=0, nominal_tflop=grown, high_tflop=2 * grown)
    governor.send(host.sign(replace(value, lanes=(replace(value.lanes[0], total=total),))))
    assert governor.count("evidence") == found


def _in_run(host: FakeHost, nonce: bytes, boot_id: bytes, made_ms: int) -> Envelope:
    value = replace(
        host.value(),
        run_nonce=nonce,
        boot_id=boot_id,
        interval_start_ms=made_ms,
        interval_end_ms=made_ms,
        made_ms=made_ms,
    )
    sealed = host.sign(value)
    host.sequence, host.head = value.sequence, sealed.digest
    return sealed


def test_law_2_another_boots_clock_settles_no_grant(
    governor: LocalGovernor, host: FakeHost
) -> None:
    assert not ask(governor, host)
    old = decode_report(host.report().payload)
    host.sequence, host.head = old.sequence - 1, old.previous
    later = _in_run(host, old.run_nonce, b"\x05" * 16, 10**9)
    assert governor.send(later).notices[0].reason == "report.run-returned"
    assert totals(governor)[2] == ASK


def test_law_2_a_run_that_ended_settles_no_grant(governor: LocalGovernor, host: FakeHost) -> None:
    assert not ask(governor, host)
    assert not governor.send(_in_run(host, b"\x01" * 16, b"\x05" * 16, 5)).notices
    back = _in_run(host, host.run_nonce, b"\x05" * 16, 10**9)
    assert governor.send(back).notices[0].reason == "report.run-returned"
    assert totals(governor)[2] == ASK


def test_made_up_hosts_push_no_real_one_out(governor: LocalGovernor, host: FakeHost) -> None:
    made_up = [number.to_bytes(32, "big") for number in range(HOSTS_KEPT)]
    governor.state.know([host.host_id, *made_up])
    governor.state.know([host.host_id, *made_up])
    assert host.host_id in governor.state.hosts


def test_a_cheap_name_makes_no_chip_cheap() -> None:
    told = peaks_of(0x2330, H100)
    assert told.dense_8bit_flop_per_s > peaks_of(0, "NVIDIA A2").dense_8bit_flop_per_s
    assert peaks_of(0x2330, "NVIDIA A2") == told
    assert peaks_of(0x2330_10DE, "NVIDIA A2") == told


def test_a_courier_key_of_an_unknown_curve_is_malformed() -> None:
    now = dt.datetime.now(dt.UTC)
    spki = bytes.fromhex("3019301306072a8648ce3d020106082a8648ce3d030142030200ff")
    with pytest.raises(MalformedError, match=r"tls\.client-key"):
        CertificateAuthority(new_authority("test", now)).client(spki, "flopgate://a/host/b", now)
