"""Recorded clusters: what is read from their files, and how a bad row is told."""

from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError
from flopgate_sim.scenario.clusters import HOSTS_MAX
from flopgate_sim.traces import Node, Pod, load_trace
from tests.support.recorded import NODES, PODS, small_trace, trace_of

NODE_TEXT = NODES.read_text()
POD_TEXT = PODS.read_text()
POD_HEAD = POD_TEXT.splitlines()[0]


def test_both_files_are_read_in_their_order() -> None:
    trace = small_trace()
    assert [node.name for node in trace.nodes] == ["node-a", "node-b", "node-c", "node-d", "node-e"]
    assert trace.nodes[1] == Node(
        name="node-b", cpu_milli=64_000, memory_mib=262_144, gpus=4, model="T4"
    )
    assert trace.nodes[2].model == ""
    assert trace.pods[1] == Pod(
        name="pod-half",
        cpu_milli=4_000,
        memory_mib=8_192,
        gpus=1,
        gpu_milli=455,
        models=frozenset({"V100M16", "V100M32"}),
        qos="BE",
        phase="Succeeded",
        created_s=130,
        deleted_s=700,
        scheduled_s=130,
    )
    assert trace.pods[0].deleted_s is None
    assert trace.pods[5].scheduled_s is None
    assert trace.pods[0].models == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n\n",
        lambda text: "".join(f"{line},more\n" for line in text.splitlines()),
        lambda text: text.replace("130,700,130", "130.0,700.0,130.0"),
        lambda text: text.replace(",,LS", ",nan,LS").replace("170,\n", "170,nan\n"),
        lambda text: "".join(
            ",".join(reversed(line.split(","))) + "\n" for line in text.splitlines()
        ),
    ],
    ids=["crlf", "byte-order mark", "blank", "more columns", "fractions", "nan", "other order"],
)
def test_what_other_programs_write_is_read_alike(tmp_path: Path, change: object) -> None:
    assert callable(change)
    assert trace_of(tmp_path, change(NODE_TEXT), change(POD_TEXT)) == small_trace()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sn,", "name,", r"nodes.csv:1: column sn is missing"),
        ("cpu_milli", "gpu", r"nodes.csv:1: column cpu_milli is missing"),
        ("sn,cpu_milli", "gpu,cpu_milli", r"nodes.csv:1: column sn is missing"),
        ("memory_mib,gpu", "gpu,memory_mib,gpu", r"nodes.csv:1: column gpu is there twice"),
        ("64000", "many", r"nodes.csv:3: cpu_milli is not a whole number"),
        ("64000", "64000.5", r"nodes.csv:3: cpu_milli is not a whole number"),
        ("64000", "٤", r"nodes.csv:3: cpu_milli is not a whole number"),
        ("64000", "", r"nodes.csv:3: cpu_milli is not a whole number"),
        ("64000", "9" * 16, r"nodes.csv:3: cpu_milli is not a whole number of at most 15"),
        ("64000", "-64000", r"nodes.csv:3: cpu_milli is negative: -64000"),
        (",4,T4", ",17,T4", r"nodes.csv:3: gpu is 17, at most 16 is taken"),
        (",4,T4", ",4", r"nodes.csv:3: has 4 columns, the header has 5"),
        (",4,T4", ",4,T4,T4", r"nodes.csv:3: has 6 columns, the header has 5"),
        ("node-d", "node-b", r"nodes.csv:5: sn 'node-b' is there twice, first in .*nodes.csv:3"),
        ("node-b", " ", r"nodes.csv:3: sn must be 1 to 128 printable characters"),
        ("node-b", "n" * 129, r"nodes.csv:3: sn must be 1 to 128 printable characters"),
        ("node-b", '"node-b', r"nodes.csv:\d+: is no CSV"),
        ("node-b", "node\0b", r"nodes.csv:\d+: (is no CSV|sn must be)"),
        ("node-b", "n" * 200_000, r"nodes.csv:\d+: is no CSV"),
    ],
)
def test_a_bad_node_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in NODE_TEXT
    with pytest.raises(ConfigError, match=told) as refused:
        trace_of(tmp_path, NODE_TEXT.replace(old, new, 1), POD_TEXT)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("num_gpu", "gpus", r"pods.csv:1: column num_gpu is missing"),
        ("1,455", "1,1001", r"pods.csv:3: gpu_milli is 1001, at most 1000 is taken"),
        ("1,455", "20,455", r"pods.csv:3: num_gpu is 20, at most 16 is taken"),
        ("1,455", "x,455", r"pods.csv:3: num_gpu is not a whole number"),
        (
            "130,700,130",
            "130,129,130",
            r"pods.csv:3: deletion_time 129 is before creation_time 130",
        ),
        ("130,700,130", "130,700,-1", r"pods.csv:3: scheduled_time is negative: -1"),
        ("130,700,130", ",700,130", r"pods.csv:3: creation_time is not a whole number"),
        ("pod-cpu", "pod-long", r"pods.csv:4: name 'pod-long' is there twice, first in .*:2"),
    ],
)
def test_a_bad_pod_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in POD_TEXT
    with pytest.raises(ConfigError, match=told):
        trace_of(tmp_path, NODE_TEXT, POD_TEXT.replace(old, new, 1))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pods.csv:1: has no header; it must name name, cpu"):
        trace_of(tmp_path, NODE_TEXT, "\n")
    with pytest.raises(ConfigError, match=r"nodes.csv:2: is no UTF-8 text"):
        trace_of(tmp_path, NODE_TEXT.encode().replace(b"node-a", b"node-\xff"), POD_TEXT)
    with pytest.raises(ConfigError, match="cannot read"):
        load_trace(NODES, tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match="no node has a GPU"):
        trace_of(tmp_path, "".join(NODE_TEXT.splitlines(keepends=True)[:1]), POD_TEXT)


def test_a_file_of_too_many_rows_is_refused(tmp_path: Path) -> None:
    nodes = "".join(f"n{number},1,1,1,T4\n" for number in range(HOSTS_MAX + 1))
    with pytest.raises(ConfigError, match=r"nodes.csv:20002: has row 20001, at most 20000"):
        trace_of(tmp_path, NODE_TEXT.splitlines()[0] + "\n" + nodes, POD_TEXT)


def test_no_pods_at_all_are_read(tmp_path: Path) -> None:
    assert trace_of(tmp_path, NODE_TEXT, POD_HEAD + "\n").pods == ()
