"""No sequence of orders, answers, restarts and time makes a gate looser than policy says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_agent.gate.authorities.phases import phase_in_force
from flopgate_proto.phases import phase_at
from flopgate_proto.values import Phase, PhaseRule, Report, Scope, ScopeKind
from tests.support.fixed import GOVERNOR_UNIX_MS, SCOPES
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import START_MS, GateRig
from tests.support.gate_rig import settings as host

NAMES = ("home.example", "other.example")
PHASES = st.sampled_from(list(Phase))
RULES = st.lists(
    st.builds(
        PhaseRule,
        scope=st.sampled_from((Scope(ScopeKind.EVERYTHING), *SCOPES)),
        phase=PHASES,
        from_unix_ms=st.integers(GOVERNOR_UNIX_MS - 1, GOVERNOR_UNIX_MS + 90_000),
    ),
    max_size=4,
).map(tuple)
POLICIES = st.tuples(RULES, st.sampled_from((10_000, 60_000, 10**9)))
STEPS: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 15_000)),
    st.tuples(st.just("delay"), st.sampled_from((None, 10, 4_000))),
    st.tuples(st.just("policy"), st.tuples(st.sampled_from(NAMES), POLICIES)),
    st.tuples(st.just("lie"), st.integers(-60_000, 0)),
    st.tuples(st.just("loosen"), PHASES),
    st.tuples(st.just("restart"), st.booleans()),
)


class Truth:
    """The true time, and what the strictest policy says of it."""

    def __init__(self, authorities: list[GateAuthority], own: Phase) -> None:
        self.delay_ms: int | None = 10
        self.lied_ms = 0
        self.restarted = False
        self._offset_ms = GOVERNOR_UNIX_MS - START_MS
        self.rig = GateRig(*authorities, base=host(phase_at_least=own), network=self.network)
        self.seen_running_ms = dict.fromkeys(self.rig.authorities, 0)

    @property
    def unix_ms(self) -> int:
        """Of this moment."""
        return self.rig.now_ms + self._offset_ms

    def network(self, authority: GateAuthority, _report: Report) -> int | None:
        """The authority tells its time now; the answer arrives later, or never."""
        authority.unix_ms = self.unix_ms + self.lied_ms
        return self.delay_ms

    def join(self, slow_ms: int) -> None:
        """Admissions take this long from the time that they tell to the host."""
        asked = {name: self.rig.ask(one) for name, one in self.rig.authorities.items()}
        told_ms = self.unix_ms
        self.rig.run(slow_ms)
        for name, authority in self.rig.authorities.items():
            authority.unix_ms = told_ms
            self.seen_running_ms[name] = self.rig.core.running_ms
            self.rig.admit(authority, asked[name])

    def restart(self, *, reboot: bool) -> None:
        """Of the gate, or of the host: how long none ran, only the next answer tells."""
        unix_ms, booted = self.unix_ms, bytes([self.rig.settings.boot_id[0] + 1] * 16)
        self.rig.restart(boot_id=booted if reboot else None)
        if reboot:
            # The boot took as long as its clock says.
            self._offset_ms = unix_ms
        self.restarted = True

    def told(self) -> bool:
        """Whether the gate can know the time: answers told it since the gate began."""
        times = [one.told_time for one in self.rig.core.authorities.values()]
        return all(t and t.latest_unix_ms(self.rig.now_ms) >= self.unix_ms for t in times)

    def least(self) -> Phase:
        """The strictest of the policies in force that are young enough to be loose."""
        running_ms = self.rig.core.running_ms
        least = self.rig.settings.phase_at_least
        for name, authority in self.rig.authorities.items():
            policy = authority.policy
            if running_ms - self.seen_running_ms[name] >= policy.loose_phase_age_ms:
                return Phase.ENFORCE
            least = max(least, phase_at(policy.phases, authority.scopes, self.unix_ms))
        return least


@settings(max_examples=80)
@given(
    first=st.tuples(POLICIES, POLICIES),
    own=PHASES,
    slow_ms=st.sampled_from((0, 20_000)),
    steps=st.lists(STEPS, min_size=1, max_size=10),
)
def test_no_sequence_makes_a_gate_looser_than_the_strictest_policy_in_force(
    first: tuple[tuple[tuple[PhaseRule, ...], int], ...],
    own: Phase,
    slow_ms: int,
    steps: list[tuple[str, Any]],
) -> None:
    authorities = [GateAuthority(name) for name in NAMES]
    for authority, (rules, age_ms) in zip(authorities, first, strict=True):
        authority.policy_order(phases=rules, loose_phase_age_ms=age_ms)
    truth = Truth(authorities, own)
    truth.join(slow_ms)
    rig = truth.rig
    for kind, what in steps:
        match kind, what:
            case "run", int(span_ms):
                rig.run(span_ms)
            case "delay", delay_ms:
                truth.delay_ms = delay_ms
            case "policy", (str(name), signed):
                authority = rig.authorities[name]
                order = authority.policy_order(phases=signed[0], loose_phase_age_ms=signed[1])
                truth.seen_running_ms[name] = rig.core.running_ms
                rig.order(order, authority)
            case "lie", int(lied_ms):
                # A stolen online key tells an earlier time: it undoes nothing that is known, and
                # can place the moment within what is not.
                truth.lied_ms = 0 if slow_ms else lied_ms
            case "loosen", Phase() as phase:
                for authority in authorities:
                    authority.terms = {"phase": phase}
            case "restart", bool(reboot):
                truth.restart(reboot=reboot)
        said = phase_in_force(
            rig.core.authorities.values(),
            own,
            now_ms=rig.core.elapsed_ms,
            running_ms=rig.core.running_ms,
        ).phase
        honest = truth.lied_ms == 0 and truth.delay_ms == 10
        if not truth.restarted or (kind == "run" and honest and what > 10_000):
            assert truth.told()
        assert said >= truth.least() or not truth.told(), (kind, what)
