"""What the enforcement reads: any bytes give a value, nothing, or our error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.enforcement.lanes import JournalError, decode
from flopgate_agent.enforcement.processes import parse_stat


@given(st.binary(max_size=300))
def test_any_bytes_are_a_process_or_none(data: bytes) -> None:
    found = parse_stat(data)
    assert found is None or found.id.start_ticks == int(data.rpartition(b")")[2].split()[19])


@given(st.binary() | st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    with pytest.raises(JournalError):
        decode(data, "lane", "boot")
