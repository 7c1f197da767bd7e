"""Any bytes give a trace or our error, and any trace a scenario or our error."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.errors import ConfigError
from flopgate_sim.scenario import fleet
from flopgate_sim.traces import to_scenario
from tests.support.recorded import NODES, PODS, trace_of

NODE_TEXT, POD_TEXT = NODES.read_text(), PODS.read_text()
CELLS = st.one_of(
    st.integers(-5, 2_000).map(str),
    st.integers().map(str),
    st.text(max_size=8),
    st.sampled_from(["", "0", "1000", "T4|", "nan", "1e3", '"', "\r", "\0", "7.0", "G2|G3"]),
)


def value_or_our_error(nodes: bytes, pods: bytes) -> None:
    refused = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            trace = trace_of(Path(folder), nodes, pods)
            scenario = to_scenario(trace)
        except ConfigError as error:
            refused = error
        else:
            sizes = [host.cluster.chips_per_host for host in fleet(scenario)]
            for job in scenario.jobs:
                assert 0 <= job.start_s < job.end_s <= scenario.duration_s
                assert max(job.chips) < sizes[job.host]
                assert 0 <= job.utilisation_percent <= 100
    if refused:
        assert refused.remedy
        assert str(refused).encode()


@settings(max_examples=100)
@given(nodes=st.binary(max_size=200), pods=st.binary(max_size=200))
def test_any_bytes(nodes: bytes, pods: bytes) -> None:
    value_or_our_error(nodes, POD_TEXT.encode())
    value_or_our_error(NODE_TEXT.encode(), pods)


@settings(max_examples=300)
@given(data=st.data())
def test_any_value_in_any_cell(data: st.DataObject) -> None:
    texts = [NODE_TEXT, POD_TEXT]
    for _ in range(data.draw(st.integers(1, 3))):
        which = data.draw(st.sampled_from([0, 1]))
        rows = [line.split(",") for line in texts[which].split("\n")]
        row = data.draw(st.sampled_from(rows))
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(CELLS)
        texts[which] = "\n".join(",".join(cells) for cells in rows)
    nodes, pods = texts
    value_or_our_error(nodes.encode(), pods.encode())
