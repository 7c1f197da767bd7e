"""Any text gives a scenario or our error, never any other exception."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.errors import ConfigError
from flopgate_sim.scenario import fleet, load_scenario, shipped

TEXTS = tuple(path.read_text() for path in shipped().values())
LINES = tuple(sorted({line for text in TEXTS for line in text.splitlines() if "=" in line}))
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["true", '""', "[]", "{}", "[1, 2]", "[[]]", "1979-05-27", "0x" + "f" * 5000, "9" * 5000,
         "[{}]", "{a.b = 1}", "-0.0", "1e400", '"\\u0000"', '"everything:"', '"cluster:"']
    ),
)  # fmt: skip


def value_or_our_error(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        refused = None
        try:
            scenario = load_scenario(Path(file.name))
        except ConfigError as error:
            refused = error
        else:
            assert len(fleet(scenario)) == scenario.hosts
    if refused:
        assert file.name in refused.detail
        assert str(refused).encode()


@settings(max_examples=150)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes(data: bytes) -> None:
    value_or_our_error(data)


@settings(max_examples=400)
@given(data=st.data())
def test_any_value_in_any_place(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(TEXTS)).splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[at].partition(" = ")
    if equals:
        lines[at] = f"{key} = {data.draw(VALUES)}"
    else:
        lines.insert(at, data.draw(st.sampled_from(LINES)))
    value_or_our_error("\n".join(lines).encode())


@settings(max_examples=200)
@given(data=st.data())
def test_any_part_gone_or_doubled(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 120)))
    times = data.draw(st.sampled_from([0, 2]))
    value_or_our_error((text[:start] + text[start:end] * times + text[end:]).encode())
