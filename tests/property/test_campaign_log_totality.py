"""Whatever stands in a log of campaigns, reading it ends in totals."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flopgate_sim.campaign.log import Log, Logged, read
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.campaign.worker import attempt
from tests.support import worlds

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def reading(content: bytes) -> Logged:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(content)
        return read(path)


def a_line() -> dict[str, Any]:
    """One with a breach, as it is written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        with Log(path, "aa") as log:
            log.add(attempt(worlds.broken, Job(scenario="small", seed=7, fault_indices=(7, 31))))
        line: dict[str, Any] = json.loads(path.read_bytes())
        return line


LINE = a_line()


def places(table: dict[str, Any], here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The way to every key of nested tables."""
    found: list[tuple[str, ...]] = []
    for key, value in table.items():
        found.append((*here, key))
        if isinstance(value, dict):
            found += places(value, (*here, key))
    return found


@given(st.sampled_from(places(LINE)), VALUES)
def test_any_value_in_any_place_is_read_or_counted(place: tuple[str, ...], value: Any) -> None:
    line = json.loads(json.dumps(LINE))
    table = line
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    logged = reading(json.dumps(line).encode() + b"\n")
    seeds = sum(one.all.seeds + one.all.failures for one in logged.by_code.values())
    assert seeds + logged.unreadable == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_counted(content: bytes) -> None:
    logged = reading(content)
    assert logged.by_code == {}
    assert logged.unreadable == len(content.split(b"\n")) - content.endswith(b"\n") - (not content)
