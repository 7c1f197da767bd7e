"""`[limits]` of governor.toml."""

import tomllib
from pathlib import Path

import pytest

from flopgate_governor.core.allowance import INTERVAL_MS_MAX, ROW_BYTES, Allowance
from flopgate_governor.files import Layout
from flopgate_governor.limits import Limits, limits_in
from flopgate_governor.service.hub import StreamLimits
from flopgate_governor.serving import load_limits
from flopgate_governor.wiring import load_authority
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import PAYLOAD_BYTES_MAX
from tests.unit.test_docs import documented, toml_block

MEASURED_BYTES = 738
"""Of a report as tests make them and its answer, where what its rows take was measured."""


def test_every_key_is_documented_with_its_default() -> None:
    document = tomllib.loads(toml_block("governor.toml"))
    assert limits_in(document, "governor.toml") == Limits()
    keys = {"authority", *(f"limits.{key}" for key in document["limits"])}
    assert documented("governor.toml") == keys
    for key in document["limits"]:
        changed = {"limits": {key: document["limits"][key] + 1}}
        assert limits_in(changed, "governor.toml") != Limits()


def test_what_is_not_named_is_as_by_default(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.config.write_text('authority = "a"\n')
    assert (load_authority(layout), load_limits(layout)) == ("a", Limits())
    layout.config.write_text('authority = "a"\n[limits]\nstreams_max = 99\n')
    wanted = Limits(streams=StreamLimits(in_all=99))
    assert (load_authority(layout), load_limits(layout)) == ("a", wanted)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (7, "limits is no table"),
        ({"stream_max": 99}, "unknown key 'stream_max'"),
        ({"streams_max": 1}, "not a number from 16 to 1000000"),
        ({"streams_max": 10**7}, "not a number from 16 to 1000000"),
        ({"streams_max": True}, "not a number"),
        ({"host_burst_bytes": "1 GiB"}, "not a number"),
        ({"host_interval_bytes": PAYLOAD_BYTES_MAX - 1}, "not a number from 262144"),
    ],
)
def test_what_nobody_could_mean_is_refused(limits: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limits_in({"limits": limits}, "governor.toml")
    assert reason in caught.value.detail


def test_the_default_lets_a_gate_report_each_second_for_ever() -> None:
    """As often as gate.toml takes, and twice of what a report of one lane takes with its answer."""
    per_report_bytes = Allowance().interval_bytes * 1_000 // INTERVAL_MS_MAX
    assert per_report_bytes > 2 * (MEASURED_BYTES + ROW_BYTES)
