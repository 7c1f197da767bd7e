"""Law 3: what silent hosts may have done, against a naive model that knows when each was heard."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core.silence import Silence, Silent
from flopgate_governor.silences import look
from flopgate_proto.envelope import Envelope
from flopgate_proto.values import Ceiling
from tests.support.governor import LIFETIME_MS, LocalGovernor, answers, cluster_policy, joined

PEAK_TFLOP_PER_S = 990
"""Of one H100 by the charged figure, rounded up: 989.4 TFLOP/s at 16 bit."""
MS_FLOP = 10**15
SCOPES = ("everything", "cluster:a", "workload:w")


@dataclass
class Naive:
    """Every host with all that is known of it; sums are made anew each time."""

    hosts: dict[bytes, Silent] = field(default_factory=dict)

    def charged_tflop(self, scope: str, now_ms: int, apart: bytes) -> int:
        """Peak x time of all that are silent, less what they hold."""
        rated, held = 0, 0
        for host_id, host in self.hosts.items():
            if host_id == apart or host.since_unix_ms > now_ms:
                continue
            if scope in host.outstanding_tflop:
                rated += host.rate_flop_per_s * (now_ms - host.seen_unix_ms)
                held += host.outstanding_tflop[scope]
        return -(-rated // MS_FLOP) - held


HOSTS = st.lists(
    st.tuples(
        st.integers(0, 1_000_000),
        st.integers(0, 2_000_000),
        st.integers(0, 10**17),
        st.dictionaries(st.sampled_from(SCOPES), st.integers(0, 10**6)),
    ),
    max_size=6,
)


@given(
    HOSTS,
    st.lists(
        st.tuples(
            st.integers(0, 600_000), st.integers(0, 7), st.sampled_from((0, -200_000, 1, 400_000))
        ),
        max_size=12,
    ),
)
def test_law_3_sums_of_silence_are_those_of_each_host(
    hosts: list[tuple[int, int, int, dict[str, int]]], steps: list[tuple[int, int, int]]
) -> None:
    made = [
        Silent(
            host_id=bytes([number]),
            seen_unix_ms=seen,
            since_unix_ms=seen + after,
            rate_flop_per_s=rate,
            outstanding_tflop=held,
        )
        for number, (seen, after, rate, held) in enumerate(hosts)
    ]
    now_ms = 1_000_000
    silence, naive = Silence(made, now_ms, now_ms), Naive({one.host_id: one for one in made})
    for wait_ms, heard, late in steps:
        now_ms += wait_ms
        silence.advance(now_ms)
        before = naive.hosts.pop(bytes([heard]), None)
        still = None
        if late and before is not None:
            # Its report was kept on its way: it is no less silent for a moment, or not yet.
            still = replace(before, seen_unix_ms=now_ms - 300_000, since_unix_ms=now_ms + late)
            naive.hosts[bytes([heard])] = still
        silence.heard(bytes([heard]), now_ms, still)
        for scope in SCOPES:
            for apart in (b"", bytes([heard]), bytes([(heard + 1) % 8])):
                found = silence.charged_tflop(scope, now_ms, apart=apart)
                assert found == naive.charged_tflop(scope, now_ms, apart)
        told = [host.host_id for host in silence.hosts(now_ms)]
        silent = [h for h in naive.hosts.values() if h.since_unix_ms <= now_ms]
        assert sorted(told) == sorted(host.host_id for host in silent)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("report", "report", "wait", "restart")),
        st.integers(0, 2),
        st.sampled_from((1_000, 9_000, 200_000, LIFETIME_MS, 3 * LIFETIME_MS)),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(STEPS, st.sampled_from((3_000_000, 6_000_000, 50_000_000)))
def test_law_3_nothing_is_granted_once_both_books_and_silence_reach_the_cap(
    steps: list[tuple[str, int, int]], cap_tflop: int
) -> None:
    """The model: reported, live ceilings at their most, and peak x time of those not heard."""
    with TemporaryDirectory() as folder:
        policy = replace(cluster_policy(cap_tflop), wind_down_ms=1_000, drain_ms=0)
        governor = LocalGovernor.make(Path(folder) / "g.sqlite", policy)
        hosts = joined(governor, 3)
        heard = dict.fromkeys(range(3), governor.clock.unix_ms)
        for action, which, span_ms in steps:
            if action == "wait":
                governor.clock.unix_ms += span_ms
                for host in hosts:
                    host.now_ms += span_ms
                continue
            if action == "restart":
                governor.reopen()
                continue
            now_ms = governor.clock.unix_ms
            silent_tflop = sum(
                PEAK_TFLOP_PER_S * (now_ms - seen) // 1_000
                for number, seen in heard.items()
                if number != which and now_ms - seen > LIFETIME_MS
            )
            heard[which] = now_ms
            host = hosts[which]
            down = governor.send(host.report(200_000))
            ((verdict,),) = (one.answer.verdicts for one in answers(down))
            host.accept(down)
            if isinstance(verdict.outcome, Ceiling):
                spent = sum(one.allotted_tflop for one in hosts if one is not host)
                # To one thousandth: the model's peak is a rounded one.
                upper = verdict.outcome.ceiling_tflop + spent + silent_tflop * 999 // 1_000
                assert upper <= cap_tflop
                host.allotted_tflop = verdict.outcome.ceiling_tflop
        with governor.state.store.transaction() as connection:
            fresh = look(connection, governor.state, governor.clock.unix_ms)
        if governor.state.silence is not None:
            governor.state.silence.advance(governor.clock.unix_ms)
            for scope in ("everything", "cluster:c1", "workload:w1"):
                unix_ms = governor.clock.unix_ms
                known = governor.state.silence.charged_tflop(scope, unix_ms)
                if unix_ms < governor.state.silence.due_unix_ms:
                    assert known == fresh.charged_tflop(scope, unix_ms)
        governor.state.store.close()


LATE = st.lists(
    st.tuples(
        st.sampled_from((1_000, 60_000, LIFETIME_MS, 5 * LIFETIME_MS)),
        st.sampled_from(("same", "same", "restart", "reboot")),
        st.booleans(),
        st.sampled_from((0, 0, 1_000, 3 * LIFETIME_MS)),
    ),
    max_size=15,
)


@settings(max_examples=60)
@given(LATE, st.integers(-400, 400))
def test_law_3_no_host_is_heard_later_than_it_made_its_report(
    steps: list[tuple[int, str, bool, int]], drift_ppm: int
) -> None:
    """Whatever the courier keeps, for however long; and it is heard once it quotes an answer."""
    with TemporaryDirectory() as folder:
        governor = LocalGovernor.make(Path(folder) / "g.sqlite", cluster_policy(10**12))
        (host,) = joined(governor, 1)
        kept: list[tuple[Envelope, int]] = []
        for passed_ms, run, answered, late_ms in steps:
            governor.clock.unix_ms += passed_ms
            ran_ms = passed_ms + passed_ms * drift_ppm // 1_000_000
            host.now_ms = 5 if run == "reboot" else host.now_ms + ran_ms
            host.running_ms += ran_ms // 2 if run == "reboot" else ran_ms
            if run != "same":
                host.run_nonce = hashlib.sha256(host.run_nonce).digest()[:16]
            if run == "reboot":
                host.boot_id = hashlib.sha256(host.boot_id).digest()[:16]
            # A second of the fake gate's clock goes into each report.
            made_ms = governor.clock.unix_ms = governor.clock.unix_ms + 1_000
            quoted_ms = 0 if host.last is None else host.last.answer.governor_unix_ms
            kept.append((host.report(), made_ms))
            governor.clock.unix_ms += late_ms
            host.now_ms += late_ms + late_ms * drift_ppm // 1_000_000
            host.running_ms += late_ms + late_ms * drift_ppm // 1_000_000
            if not answered:
                continue
            for envelope, then_ms in kept:
                down = governor.send(envelope)
                heard_ms = governor.state.chains[host.host_id].facts.heard_unix_ms
                assert heard_ms <= then_ms
                assert envelope is not kept[-1][0] or heard_ms >= quoted_ms
                host.accept(down)
            kept.clear()
