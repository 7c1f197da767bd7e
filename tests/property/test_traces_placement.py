"""Pods on nodes: first fit by the time at which they were scheduled, and nothing held twice."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_sim.traces import Node, Placed, Pod, Trace, place
from flopgate_sim.traces.placement import ends_at_s, held_milli
from tests.support.recorded import small_trace


def test_the_small_trace_is_placed_as_by_hand() -> None:
    placement = place(small_trace())
    assert [
        (one.pod.name, one.node, one.gpus, one.start_s, one.end_s) for one in placement.placed
    ] == [
        ("pod-long", 0, (0,), 120, 1000),
        ("pod-half", 0, (1,), 130, 700),
        ("pod-other-half", 0, (1,), 141, 900),
        ("pod-pair", 3, (0, 1), 160, 600),
        ("pod-new-model", 4, tuple(range(8)), 300, 1000),
        ("pod-after", 3, (0, 1), 600, 1000),
    ]
    assert placement.unplaced == ("pod-wide",)
    assert (placement.without_gpu, placement.never_scheduled, placement.no_time) == (1, 1, 1)


def node(gpus: int, model: str) -> st.SearchStrategy[Node]:
    return st.text("abcdefgh", min_size=4).map(
        lambda name: Node(name=name, cpu_milli=0, memory_mib=0, gpus=gpus, model=model)
    )


NODES = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 8]), st.sampled_from(["T4", "A10"])).flatmap(
        lambda kind: node(*kind)
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    created_s = draw(st.integers(0, 40))
    return Pod(
        name=draw(st.text("xyz", min_size=5)),
        cpu_milli=0,
        memory_mib=0,
        gpus=draw(st.sampled_from([0, 1, 1, 1, 2, 8])),
        gpu_milli=draw(st.sampled_from([0, 1, 300, 500, 700, 1000])),
        models=draw(st.frozensets(st.sampled_from(["T4", "A10"]))),
        qos="",
        phase="",
        created_s=created_s,
        deleted_s=draw(st.none() | st.integers(created_s, 60)),
        scheduled_s=draw(st.none() | st.integers(0, 60)),
    )


TRACES = st.builds(Trace, nodes=NODES.map(tuple), pods=st.lists(pods(), max_size=30).map(tuple))


def held(trace: Trace, placed: Sequence[Placed], moment_s: int) -> list[list[int]]:
    """Thousandths of each GPU of each node that are held at a moment."""
    milli = [[0] * one.gpus for one in trace.nodes]
    for one in placed:
        if one.start_s <= moment_s < one.end_s:
            for gpu in one.gpus:
                milli[one.node][gpu] += held_milli(one.pod)
    return milli


def as_a_stranger_would(trace: Trace) -> tuple[list[Placed], list[str]]:
    """First fit again, slowly: what is held is counted anew for every pod."""
    placed: list[Placed] = []
    unplaced: list[str] = []
    for pod in sorted(trace.pods, key=lambda pod: max(pod.created_s, pod.scheduled_s or 0)):
        start_s = max(pod.created_s, pod.scheduled_s or 0)
        end_s = ends_at_s(trace) if pod.deleted_s is None else pod.deleted_s
        if not pod.gpus or pod.scheduled_s is None or end_s <= start_s:
            continue
        for number, milli in enumerate(held(trace, placed, start_s)):
            fits = not pod.models or trace.nodes[number].model in pod.models
            free = [gpu for gpu, used in enumerate(milli) if used + held_milli(pod) <= 1000]
            if fits and len(free) >= pod.gpus:
                gpus = tuple(free[: pod.gpus])
                placed.append(Placed(pod=pod, node=number, gpus=gpus, start_s=start_s, end_s=end_s))
                break
        else:
            unplaced.append(pod.name)
    return placed, unplaced


@settings(max_examples=200)
@given(trace=TRACES)
def test_it_is_first_fit_and_nothing_else(trace: Trace) -> None:
    placed, unplaced = as_a_stranger_would(trace)
    assert list(place(trace).placed) == placed
    assert list(place(trace).unplaced) == unplaced


@given(trace=TRACES)
def test_every_pod_is_counted_once_and_no_gpu_is_given_twice(trace: Trace) -> None:
    placement = place(trace)
    left_out = placement.without_gpu + placement.never_scheduled + placement.no_time
    assert len(placement.placed) + len(placement.unplaced) + left_out == len(trace.pods)
    for one in placement.placed:
        assert len(set(one.gpus)) == one.pod.gpus
        assert 0 <= one.start_s < one.end_s <= ends_at_s(trace)
    for moment_s in {one.start_s for one in placement.placed}:
        for gpus in held(trace, placement.placed, moment_s):
            assert all(milli <= 1000 for milli in gpus)
