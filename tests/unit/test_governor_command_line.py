"""Files and arguments that a person gets wrong."""

import re
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.files import read_secret, write_secret
from flopgate_governor.policies.form import DEFAULT_POLICY, parse_scope, policy_text, read_policy
from flopgate_proto.amounts import SPAN_MS_MAX, parse_span_ms, parse_tflop_per_s
from flopgate_proto.errors import ConfigError
from flopgate_proto.values import Budget, Scope, ScopeKind


def form(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


def test_an_unknown_key_is_refused_with_the_nearest_known(tmp_path: Path) -> None:
    path = form(tmp_path, DEFAULT_POLICY.format(authority="a") + "\nlifetme_ms = 1\n")
    with pytest.raises(ConfigError, match=r"unknown key 'lifetme_ms'.*Did you mean 'lifetime_ms'"):
        read_policy(path, "a", 1)


def test_an_unknown_key_of_a_budget_is_refused(tmp_path: Path) -> None:
    text = (
        DEFAULT_POLICY.format(authority="a") + '\n[[budgets]]\nscope = "everything"\ncap_tfop = 1'
    )
    with pytest.raises(ConfigError, match=r"unknown key 'cap_tfop'.*cap_tflop"):
        read_policy(form(tmp_path, text), "a", 1)


def test_a_missing_figure_is_refused(tmp_path: Path) -> None:
    text = DEFAULT_POLICY.format(authority="a").replace("drain_ms = 5_000", "")
    with pytest.raises(ConfigError, match="drain_ms is missing"):
        read_policy(form(tmp_path, text), "a", 1)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000], ids=["digits", "brackets"])
def test_what_the_parser_itself_cannot_take_is_refused(tmp_path: Path, value: str) -> None:
    text = DEFAULT_POLICY.format(authority="a").replace("5_000", value)
    with pytest.raises(ConfigError, match=r"config\.malformed"):
        read_policy(form(tmp_path, text), "a", 1)


def test_a_scope_that_is_none_is_told_with_its_file(tmp_path: Path) -> None:
    text = DEFAULT_POLICY.format(authority="a") + '[[budgets]]\nscope = "x:y"\ncap_tflop = 1\n'
    with pytest.raises(ConfigError, match=r"policy\.toml: no scope 'x:y'"):
        read_policy(form(tmp_path, text), "a", 1)


@pytest.mark.parametrize(
    "value", ["-1", "1.5", "true", '"x"', "9223372036854775808", "0x" + "f" * 6000, "[1]"]
)
def test_a_figure_out_of_range_is_refused(tmp_path: Path, value: str) -> None:
    text = DEFAULT_POLICY.format(authority="a").replace("5_000", value)
    with pytest.raises(ConfigError, match=r"config\.count"):
        read_policy(form(tmp_path, text), "a", 1)


@pytest.mark.parametrize(
    ("key", "value", "mend"),
    [
        ("drift_ppm", 2_000_000, "Write 0 to 100000."),
        ("lifetime_ms", 0, "Write 1 to 604800000."),
        ("lifetime_ms", 604_800_001, "Write 1 to 604800000."),
        ("exempt_lifetime_ms", 2_592_000_001, "Write 1 to 2592000000."),
        ("exempt_lifetime_ms", 599_999, "Write 600000 or more."),
        ("renew_after_ms", 0, "Write 100 or more."),
        ("renew_after_ms", 600_001, "Write less than 473000"),
        ("renew_after_ms", 473_000, "Write less than 473000"),
        ("wind_down_ms", 600_001, "Write less than 586000"),
        ("wind_down_ms", 586_000, "Write less than 586000"),
        ("drain_ms", 600_000, "or a shorter drain_ms."),
        ("watchdog_ms", 14_999, "Write 15000 or more."),
        ("pause_lapse_ms", 599_999, "Write lifetime_ms 600000 or more."),
        ("headroom_max_tflop", 0, "Write 1 or more."),
    ],
)
def test_a_policy_that_no_host_could_live_by_is_refused_with_its_line(
    tmp_path: Path, key: str, value: int, mend: str
) -> None:
    lines = DEFAULT_POLICY.format(authority="a").splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith(f"{key} ="))
    lines[number] = f"{key} = {value}"
    path = form(tmp_path, "\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        read_policy(path, "a", 1)
    # A drain that leaves nothing of it is told where the lifetime stands.
    told = "lifetime_ms" if key == "drain_ms" else key
    line = next(n for n, text in enumerate(lines, 1) if text.startswith(f"{told} ="))
    assert caught.value.code == "policy.bounds"
    shown = 600_000 if key == "drain_ms" else value
    assert caught.value.detail.startswith(f"{path}:{line}: {told} is {shown}: ")
    assert mend in caught.value.remedy


@pytest.mark.parametrize("span", ["", "closures_span_ms = 0\n"])
def test_closures_within_no_time_would_be_any_number(tmp_path: Path, span: str) -> None:
    text = f"closures_max = 1\n{span}{DEFAULT_POLICY.format(authority='a')}"
    with pytest.raises(ConfigError, match=r":1: closures_max is 1 within no time"):
        read_policy(form(tmp_path, text), "a", 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("drift_ppm", 100_000),
        ("renew_after_ms", 472_999),
        ("wind_down_ms", 472_999),
        ("wind_down_ms", 0),
        ("drain_ms", 0),
        ("exempt_lifetime_ms", 600_000),
        ("pause_lapse_ms", 600_000),
        ("watchdog_ms", 15_000),
        ("headroom_max_tflop", 1),
        ("threshold_tflop_per_s", 0),
    ],
)
def test_a_strict_policy_is_taken(tmp_path: Path, key: str, value: int) -> None:
    text = re.sub(
        rf"^{key} = \S+",
        f"{key} = {value}",
        DEFAULT_POLICY.format(authority="a"),
        flags=re.MULTILINE,
    )
    assert getattr(read_policy(form(tmp_path, text), "a", 1), key) == value


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('[[budgets]]\nscope = "cluster:a"\ncap_tflop = 1\n', "budgets has 'cluster:a' twice"),
        (
            '[[phases]]\nscope = "site:s"\nphase = "warn"\nfrom_unix_ms = 3\n',
            "phases has 'site:s from 3' twice",
        ),
    ],
)
def test_two_rules_of_a_policy_for_one_scope_are_refused(
    tmp_path: Path, entry: str, told: str
) -> None:
    path = form(tmp_path, DEFAULT_POLICY.format(authority="a") + entry + entry)
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        read_policy(path, "a", 1)
    lines = path.read_text().splitlines()
    line = len(lines) - lines[::-1].index(entry.splitlines()[0])
    assert caught.value.detail.startswith(f"{path}:{line}: ")


def test_a_phase_for_a_workload_is_refused(tmp_path: Path) -> None:
    entry = '[[phases]]\nscope = "workload:w"\nphase = "observe"\nfrom_unix_ms = 3\n'
    with pytest.raises(ConfigError, match="phases names workload:w"):
        read_policy(form(tmp_path, DEFAULT_POLICY.format(authority="a") + entry), "a", 1)


def test_the_default_policy_is_the_designs(tmp_path: Path) -> None:
    policy = read_policy(form(tmp_path, DEFAULT_POLICY.format(authority="a")), "a", 1)
    assert policy.threshold_tflop_per_s * 10**12 == 10**18
    assert (policy.lifetime_ms, policy.wind_down_ms, policy.renew_after_ms) == (
        600_000,
        120_000,
        120_000,
    )
    assert policy.pause_lapse_ms == 72 * 3_600_000


def test_a_policy_reads_back_what_it_shows(tmp_path: Path) -> None:
    text = DEFAULT_POLICY.format(authority="a") + "\ncluster_link_mbit_per_s = 400_000\n"
    text += '\n[[budgets]]\nscope = "cluster:a \\"b\\""\ncap_tflop = 7\n'
    text += '\n[[phases]]\nscope = "site:s"\nphase = "observe"\nfrom_unix_ms = 3\n'
    policy = read_policy(form(tmp_path, text), "a", 4)
    assert policy.cluster_link_mbit_per_s == 400_000
    assert policy.budgets == (Budget(scope=Scope(ScopeKind.CLUSTER, 'a "b"'), cap_tflop=7),)
    assert read_policy(form(tmp_path, policy_text(policy)), "a", 4) == policy


@pytest.mark.parametrize("text", ["", "planet:x", "cluster", "cluster:", "everything:x"])
def test_a_scope_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.scope"):
        parse_scope(text)


def test_scopes_and_spans_and_rates() -> None:
    assert parse_scope("everything") == Scope(ScopeKind.EVERYTHING)
    assert parse_scope("workload:a:b") == Scope(ScopeKind.WORKLOAD, "a:b")
    assert [parse_span_ms(text) for text in ("90s", "1m30s", "36500d")] == [
        90_000,
        90_000,
        SPAN_MS_MAX,
    ]
    assert parse_tflop_per_s("1e18") == 1_000_000
    assert parse_tflop_per_s("1") == 1, "rounded up: a declared capacity is never made smaller"


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1w", "1m1h", "1h1h", "1h 1m", "40000d1ms"])
def test_a_span_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.span"):
        parse_span_ms(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "1e31"])
def test_a_capacity_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.capacity"):
        parse_tflop_per_s(text)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    write_secret(path, b"secret")
    assert read_secret(path) == b"secret"
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        read_secret(path)


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_secret(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match=r"file\.exists"):
        write_secret(path, b"second")
    assert path.read_bytes() == b"first"


def test_init_refuses_odd_quorums_and_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(tmp_path / "g")
    assert main(["init", new, "--authority", "a", "--officers", "2", "--quorum", "3"]) == 2
    assert "Take 1 <= quorum <= officers" in capsys.readouterr().err
    assert main(["init", new, "--authority", "Not A Name"]) == 2
    assert not (tmp_path / "g").exists()


def test_commands_without_a_governor_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--dir", str(tmp_path)]) == 2
    assert f"There is no {tmp_path}/governor.toml" in capsys.readouterr().err
    assert main(["serve", "--dir", str(tmp_path)]) == 2
    assert "flopgate-governor init" in capsys.readouterr().err


def test_init_makes_a_directory_that_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "g"
    assert main(["init", str(root), "--authority", "a.example"]) == 0
    for path in (*root.glob("officers/*"), *root.glob("keys/*"), *root.glob("tls/*")):
        assert path.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert main(["status", "--dir", str(root)]) == 2
    assert f"Start `flopgate-governor serve --dir {root}` first." in capsys.readouterr().err
    assert main(["policy", "show", "--dir", str(root)]) == 0
    assert "lifetime_ms = 600000" in capsys.readouterr().out
    assert main(["init", str(root), "--authority", "a.example"]) == 2


@pytest.mark.parametrize(
    "order",
    [
        ("reconcile", "--batch", "-5", "--reason", "x"),
        ("reconcile", "--batch", str(2**70), "--reason", "x"),
        ("pause", "--scope", "everything", "--reason", "\udcff"),
        ("pause", "--scope", "everything", "--reason", "x", "--lapse", "99999999999999999999d"),
        ("pause", "--scope", "cluster:c", "--reason", "x", "--lapse", "0s"),
    ],
)
def test_an_order_that_nothing_can_say_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: tuple[str, ...]
) -> None:
    root = tmp_path / "g"
    assert main(["init", str(root), "--authority", "a.example"]) == 0
    capsys.readouterr()
    key = root / "officers" / "officer-1.pem"
    assert main([*order, "--dir", str(root), "--key", str(key)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_init_fills_no_directory_that_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert main(["init", str(tmp_path), "--authority", "a"]) == 2
    assert "directory.exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_shown_policy_can_be_edited_and_applied(tmp_path: Path) -> None:
    policy = read_policy(form(tmp_path, DEFAULT_POLICY.format(authority="a")), "a", 4)
    shown = policy_text(policy)
    assert "Version 4 is in force" in shown
    assert read_policy(form(tmp_path, shown), "a", 5).version == 5
