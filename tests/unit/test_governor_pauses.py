"""Law 6: pauses are a set; cheap to make, dear to lift."""

import pytest

from flopgate_proto.errors import ForgedError
from flopgate_proto.values import (
    Scope,
    ScopeKind,
)
from tests.support.governor import (
    OFFICERS,
    POLICY,
    FakeHost,
    LocalGovernor,
)
from tests.support.governor_steps import (
    ASK,
    ask,
    pause,
    resume,
    told,
)
from tests.support.verdicts import refusal_of


def test_law_6_one_officer_pauses_a_cluster(governor: LocalGovernor, host: FakeHost) -> None:
    digest = governor.order(pause(), [OFFICERS[2]])
    answer = host.accept(governor.send(host.report(ASK)))
    assert refusal_of(answer).reason == "pause.latched"
    assert refusal_of(answer).order_digest == digest
    assert answer.answer.pauses == (digest,)


def test_law_6_resume_lifts_only_what_it_lists(governor: LocalGovernor, host: FakeHost) -> None:
    first, second = governor.order(pause(nonce=1)), governor.order(pause(nonce=2))
    governor.order(resume(first))
    answer = host.accept(governor.send(host.report(ASK)))
    assert refusal_of(answer).order_digest == second
    governor.order(resume(second, nonce=1))
    assert not ask(governor, host)


def test_law_6_a_lifted_pause_never_latches_again(governor: LocalGovernor, host: FakeHost) -> None:
    order = pause()
    digest = governor.order(order)
    governor.order(resume(digest))
    governor.reopen()
    governor.order(order)
    assert not ask(governor, host)


def test_law_6_a_resume_before_its_pause_wins(governor: LocalGovernor, host: FakeHost) -> None:
    order = pause(nonce=9)
    kept = LocalGovernor.make(governor.path.with_name("other.sqlite"))
    digest = kept.order(order)
    kept.state.store.close()
    governor.order(resume(digest))
    governor.order(order)
    assert not ask(governor, host)


def test_law_6_a_host_that_was_away_is_told_of_the_resume(
    governor: LocalGovernor, host: FakeHost
) -> None:
    digest = governor.order(pause())
    kinds = told(governor, host)
    assert (kinds.count("pause"), kinds.count("resume")) == (1, 0)
    governor.order(resume(digest))
    governor.reopen()
    kinds = told(governor, host)
    assert (kinds.count("pause"), kinds.count("resume")) == (0, 1)


def test_law_6_a_resume_takes_the_quorum(governor: LocalGovernor) -> None:
    digest = governor.order(pause())
    with pytest.raises(ForgedError):
        governor.order(resume(digest), [OFFICERS[0]])


@pytest.mark.parametrize("lapse_ms", [None, POLICY.pause_lapse_ms + 1])
def test_law_6_one_officers_wide_pause_must_lapse(
    governor: LocalGovernor, lapse_ms: int | None
) -> None:
    everything = Scope(ScopeKind.EVERYTHING)
    with pytest.raises(ForgedError, match=r"pause\.lapse"):
        governor.order(pause(everything, lapse_ms), [OFFICERS[0]])
    governor.order(pause(everything, lapse_ms), OFFICERS[:2])


def test_law_6_a_pause_lapses_by_gate_running_time(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(pause(Scope(ScopeKind.EVERYTHING), lapse_ms=10_000), [OFFICERS[0]])
    assert ask(governor, host) == "pause.latched"
    governor.clock.unix_ms += 100_000
    host.running_ms += 8_000
    assert ask(governor, host) == "pause.latched"
    assert not ask(governor, host)


def test_law_6_a_pause_of_another_cluster_stops_nobody_here(
    governor: LocalGovernor, host: FakeHost
) -> None:
    governor.order(pause(Scope(ScopeKind.CLUSTER, "c2")))
    governor.order(pause(Scope(ScopeKind.WORKLOAD, "w2"), nonce=3))
    assert not ask(governor, host)


def test_law_6_a_workload_pause_stops_its_lane(governor: LocalGovernor, host: FakeHost) -> None:
    governor.order(pause(Scope(ScopeKind.WORKLOAD, "w1")))
    assert ask(governor, host) == "pause.latched"
