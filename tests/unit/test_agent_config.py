"""Configuration files: what is read, and how each fault is told."""

from pathlib import Path

import pytest

from flopgate_agent.config import (
    CourierConfig,
    GateConfig,
    LaneConfig,
    load_authorities,
    load_courier,
    load_gate,
    load_gate_tokens,
)
from flopgate_proto.errors import ConfigError
from flopgate_proto.values import Phase

GATE = 'state_dir = "/var/lib/gate"\ndoor_path = "/run/door"\ncourier_uids = [990]\n'
COURIER = 'state_dir = "/var/lib/courier"\ndoor_path = "/run/door"\n'


def _gate(folder: Path, text: str) -> GateConfig:
    path = folder / "gate.toml"
    path.write_text(text, encoding="utf-8")
    return load_gate(path)


def _courier(folder: Path, text: str) -> CourierConfig:
    path = folder / "courier.toml"
    path.write_text(text, encoding="utf-8")
    return load_courier(path)


def test_a_short_gate_file_gets_the_defaults(tmp_path: Path) -> None:
    assert _gate(tmp_path, GATE) == GateConfig(
        state_dir=Path("/var/lib/gate"), door_path=Path("/run/door"), courier_uids=(990,)
    )


def test_a_full_gate_file(tmp_path: Path) -> None:
    config = _gate(
        tmp_path,
        GATE
        + 'device_globs = ["/dev/fake*"]\nsample_interval_ms = 500\nreport_interval_ms = 5000\n'
        + "cgroup = false\ndoor_gid = 7\n"
        + '[[lane]]\nworkload = "run-1"\nchips = ["GPU-a", "GPU-b"]\n'
        + '[[lane]]\nchips = ["GPU-c"]\n',
    )
    assert config == GateConfig(
        state_dir=Path("/var/lib/gate"),
        door_path=Path("/run/door"),
        courier_uids=(990,),
        door_gid=7,
        device_globs=("/dev/fake*",),
        sample_interval_ms=500,
        report_interval_ms=5000,
        cgroup=False,
        lanes=(
            LaneConfig(workload="run-1", chips=("GPU-a", "GPU-b")),
            LaneConfig(workload="undeclared", chips=("GPU-c",)),
        ),
    )


def test_how_far_rules_bite_at_least(tmp_path: Path) -> None:
    assert _gate(tmp_path, GATE).phase_at_least is Phase.OBSERVE
    assert _gate(tmp_path, GATE + 'phase_at_least = "warn"\n').phase_at_least is Phase.WARN
    with pytest.raises(ConfigError, match="is 'off'; it takes observe, warn, enforce"):
        _gate(tmp_path, GATE + 'phase_at_least = "off"\n')


def test_all_chips_in_one_lane(tmp_path: Path) -> None:
    config = _gate(tmp_path, GATE + '[[lane]]\nworkload = "w"\nchips = "all"\n')
    assert config.lanes == (LaneConfig(workload="w", chips=None),)


def test_a_short_courier_file_gets_the_defaults(tmp_path: Path) -> None:
    assert _courier(tmp_path, COURIER) == CourierConfig(
        state_dir=Path("/var/lib/courier"), door_path=Path("/run/door")
    )


def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _gate(tmp_path, GATE + "sample_intervall_ms = 5\n")
    assert caught.value.code == "config.key.unknown"
    assert "'sample_intervall_ms'" in caught.value.detail
    assert "'sample_interval_ms'" in caught.value.remedy
    with pytest.raises(ConfigError, match=r"lane 1.*'chip'.*'chips'"):
        _gate(tmp_path, GATE + '[[lane]]\nchip = "all"\n')


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("sample_interval_ms = 99", "sample_interval_ms"),
        ("sample_interval_ms = true", "sample_interval_ms"),
        ('report_interval_ms = "1000"', "report_interval_ms"),
        ("report_interval_ms = 3600001", "report_interval_ms"),
        ("cgroup = 1", "cgroup"),
        ("device_globs = []", "device_globs"),
        ("device_globs = [1]", "device_globs"),
        ("door_gid = -1", "door_gid"),
        ("lane = 3", "lane"),
        ('[[lane]]\nchips = "some"', "chips"),
        ("[[lane]]\nchips = []", "chips"),
        ('[[lane]]\nchips = ["a", "a"]', "chips"),
        ('[[lane]]\nworkload = ""\nchips = "all"', "workload"),
        ('[[lane]]\nworkload = "w"', "chips"),
        ('[[lane]]\nworkload = "v"\nchips = ["a"]\n[[lane]]\nchips = ["a"]', "lane"),
        ('[[lane]]\nchips = ["b"]\n[[lane]]\nchips = ["a"]', "lane"),
        ('[[lane]]\nworkload = "v"\nchips = "all"\n[[lane]]\nchips = ["a"]', "lane"),
    ],
)
def test_a_bad_value_names_its_key(tmp_path: Path, line: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _gate(tmp_path, GATE + line + "\n")
    assert key in caught.value.detail
    assert "gate.toml" in caught.value.detail
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["state_dir", "door_path", "courier_uids"])
def test_what_is_needed_is_missed_by_name(tmp_path: Path, key: str) -> None:
    lines = [line for line in GATE.splitlines() if not line.startswith(key)]
    with pytest.raises(ConfigError) as caught:
        _gate(tmp_path, "\n".join(lines))
    assert caught.value.code == "config.key.missing"
    assert key in caught.value.detail


@pytest.mark.parametrize("uids", ["[]", "[-1]", "[1, 1]", "[true]", '["root"]', "0"])
def test_uids_are_a_list_of_users(tmp_path: Path, uids: str) -> None:
    text = GATE.replace("[990]", uids)
    with pytest.raises(ConfigError, match="courier_uids"):
        _gate(tmp_path, text)


def test_relative_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absolute"):
        _courier(tmp_path, COURIER.replace("/var/lib/courier", "courier"))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_courier(tmp_path / "absent.toml")
    assert caught.value.code == "config.file.unreadable"
    with pytest.raises(ConfigError) as caught:
        _courier(tmp_path, "state_dir = \n")
    assert caught.value.code == "config.syntax"
    with pytest.raises(ConfigError) as caught:
        _courier(tmp_path, f"state_dir = {'9' * 5000}\n")
    assert caught.value.code == "config.syntax"
    (tmp_path / "courier.toml").write_bytes(b'state_dir = "\xff"')
    with pytest.raises(ConfigError) as caught:
        load_courier(tmp_path / "courier.toml")
    assert caught.value.code == "config.syntax"
    with pytest.raises(ConfigError) as caught:
        _courier(tmp_path, "#" * 1_100_000)
    assert caught.value.code == "config.file.oversized"


def test_without_authorities_the_courier_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_authorities(tmp_path)
    assert caught.value.code == "courier.authorities.count"
    assert "join" in caught.value.remedy


def test_an_authority_without_its_certificate_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "home.toml").write_text('address = "a:1"\nenroll_address = "a:2"\n')
    with pytest.raises(ConfigError, match=r"home\.ca\.pem"):
        load_authorities(tmp_path)


def test_no_token_is_fine_a_broken_one_is_not(tmp_path: Path) -> None:
    assert load_gate_tokens(tmp_path) == ()
    (tmp_path / "join").mkdir()
    token = tmp_path / "join" / "home.token"
    token.touch(0o600)
    token.write_text('secret = "abc"\n')
    with pytest.raises(ConfigError, match=r"home\.token: trust_root_digest is missing"):
        load_gate_tokens(tmp_path)


TOKEN = f"""trust_root_digest = "{"00" * 32}"
cluster = "hall-1"
custodian = "operator.example"
site = ""
jurisdiction = "XX"
token_id = "{"00" * 16}"
secret = "{"00" * 32}"
"""


@pytest.mark.parametrize("name", ["a" * 257, "run\u200b1", "run\\n1", "\u00e9" * 129])
def test_names_are_such_as_statements_carry(tmp_path: Path, name: str) -> None:
    """Signed and kept, another one would be the end of the chain: nobody could read it back."""
    for line in (f'[[lane]]\nworkload = "{name}"\nchips = "all"\n', f'declarable = ["{name}"]\n'):
        with pytest.raises(ConfigError, match=r"gate\.toml.*(longer than|control characters)"):
            _gate(tmp_path, GATE + line)
    (tmp_path / "join").mkdir()
    token = tmp_path / "join" / "home.token"
    token.touch(0o600)
    token.write_text(TOKEN, encoding="utf-8")
    assert load_gate_tokens(tmp_path)[0].cluster == "hall-1"
    for key in ("cluster", "custodian", "site", "jurisdiction"):
        lines = [line for line in TOKEN.splitlines() if not line.startswith(key)]
        token.write_text("\n".join([*lines, f'{key} = "{name}"']), encoding="utf-8")
        with pytest.raises(ConfigError, match=rf"home\.token: {key} is"):
            load_gate_tokens(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_token_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "join").mkdir()
    token = tmp_path / "join" / "home.token"
    token.touch()
    token.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load_gate_tokens(tmp_path)
    assert caught.value.code == "config.file.permissions"
    assert f"{mode:04o}" in caught.value.detail
    assert f"chmod 600 {token}" in caught.value.remedy
