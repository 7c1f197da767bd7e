"""What watches a live cluster finds each breach that it is there for, and no other."""

from dataclasses import replace

import pytest

from flopgate_sim.live.governor import Budget
from flopgate_sim.live.hosts import HostView, Refused
from flopgate_sim.live.watch import SLACK_TFLOP, Watch

LIFETIME_MS = 20_000
DRIFT_MS = 10
VIEW = HostView(
    name="sim0000",
    workload="training-run-7",
    state="RUNNING",
    reason="",
    last_work_ms=95_000,
    expires_ms=100_000,
    sequence=10,
    acknowledged=9,
    truth_tflop=5_000,
    metered_tflop=5_000,
    allotted_tflop=4_000,
    unaccounted_tflop=1_000,
    host_id="aa",
)
BUDGET = Budget(cap_tflop=100, settled_tflop=60, outstanding_tflop=40, unaccounted_tflop=7)


def laws(watch: Watch) -> list[str]:
    return [law for law, _ in watch.broken]


def after(**changes: object) -> Watch:
    """A host that was well, and then was like this."""
    watch = Watch(LIFETIME_MS)
    watch.look([VIEW])
    assert laws(watch) == []
    watch.look([replace(VIEW, **changes)])  # type: ignore[arg-type]
    return watch


@pytest.mark.parametrize(
    ("law", "changes"),
    [
        ("1", {"last_work_ms": 100_000 + DRIFT_MS + 1}),
        ("1", {"last_work_ms": 100_000 + DRIFT_MS + 1, "expires_ms": None}),
        ("3", {"truth_tflop": 5_000 + SLACK_TFLOP + 1}),
        ("3", {"allotted_tflop": 0, "truth_tflop": 1_000 + SLACK_TFLOP + 1}),
        ("4", {"sequence": 9}),
        ("4", {"host_id": "bb"}),
        ("8", {"state": "HALTED"}),
        ("9", {"acknowledged": 8}),
    ],
)
def test_a_breach_is_found_and_told_once(law: str, changes: dict[str, object]) -> None:
    watch = after(**changes)
    assert laws(watch) == [law]
    (text,) = watch.broken.values()
    assert text.startswith(f"law {law}: sim0000 ")
    watch.look(watch.views)
    assert laws(watch) == [law]


@pytest.mark.parametrize(
    "changes",
    [
        {"last_work_ms": 100_000 + DRIFT_MS},
        {"last_work_ms": 118_000, "expires_ms": 120_000},
        {"truth_tflop": 5_000 + SLACK_TFLOP},
        {"state": "HALTED", "reason": "permit.expiring"},
        {"sequence": 11, "acknowledged": 11},
        {"expires_ms": None},
    ],
)
def test_what_is_well_is_not_told(changes: dict[str, object]) -> None:
    assert laws(after(**changes)) == []


def test_permits_are_counted_as_they_come() -> None:
    watch = Watch(LIFETIME_MS)
    for expires_ms in (None, 100_000, 100_000, 104_000, None, 108_000):
        watch.look([replace(VIEW, expires_ms=expires_ms, last_work_ms=0)])
    assert watch.permits == 3


def test_law_1_work_without_a_gate_counts_only_while_there_is_none() -> None:
    watch = Watch(LIFETIME_MS)
    watch.look([VIEW])
    watch.gates_killed([VIEW.name])
    watch.look([replace(VIEW, last_work_ms=130_000)])
    watch.gates_back(131_000)
    watch.look([replace(VIEW, last_work_ms=131_000)])
    assert laws(watch) == []
    watch.look([replace(VIEW, last_work_ms=131_000 + DRIFT_MS + 1)])
    assert laws(watch) == ["1"]


def test_law_2_the_store_may_reach_the_cap_and_not_pass_it() -> None:
    watch = Watch(LIFETIME_MS)
    watch.books(BUDGET)
    assert laws(watch) == []
    watch.books(replace(BUDGET, outstanding_tflop=41))
    assert laws(watch) == ["2"]


def test_law_7_forged_words_are_a_breach_and_misdirected_ones_are_counted() -> None:
    watch = Watch(LIFETIME_MS)
    watch.refusals(
        Refused(host="sim0000", error=error, code=code, detail="")
        for error, code in (
            ("MisdirectedError", "answer.run"),
            ("MisdirectedError", "answer.run"),
            ("ForgedError", "answer.signature"),
            ("HistoryError", "answer.equivocation"),
        )
    )
    assert laws(watch) == ["7", "4"]
    assert watch.refused == {"answer.run": 2, "answer.signature": 1, "answer.equivocation": 1}
