"""The command line: dispatch, exit statuses, and the splitting of a join token."""

import dataclasses
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flopgate_agent.cli import COMMANDS, main
from flopgate_agent.config import load_authorities, load_gate_tokens
from flopgate_agent.gate.settings import GateToken
from flopgate_agent.logs import FIELDS, JsonFormatter
from flopgate_proto.joining import JoinToken

TOKEN = JoinToken(
    authority="home",
    trust_root_digest=bytes(range(32)),
    enroll_address="10.0.0.1:7001",
    link_address="10.0.0.1:7000",
    tls_ca_pem="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    cluster='c "1"\\',
    custodian="Würzburg Compute",
    site="s",
    jurisdiction="DE",
    token_id=b"t" * 16,
    secret=b"s" * 32,
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("gate", "courier"):
        (tmp_path / name).mkdir()
    return tmp_path


def _configs(host: Path) -> list[str]:
    """Where both parts of this host are configured."""
    door = f'door_path = "{host / "door"}"\n'
    more = {"gate": "courier_uids = [0]\n", "courier": ""}
    arguments = []
    for part, keys in more.items():
        config = host / f"{part}.toml"
        config.write_text(f'state_dir = "{host / part}"\n{door}{keys}')
        arguments += [f"--{part}-config", str(config)]
    return arguments


def _join(host: Path, token_file: str) -> int:
    return main(
        [
            *("join", "--no-doctor", "--token-file", token_file),
            *_configs(host),
        ]
    )


def _token_file(host: Path, token: JoinToken = TOKEN, mode: int = 0o600) -> str:
    path = host / "token"
    path.write_text(token.text(), encoding="utf-8")
    path.chmod(mode)
    return str(path)


def test_every_command_has_a_module() -> None:
    for name in COMMANDS:
        assert importlib.util.find_spec(f"flopgate_agent.commands.{name.replace('-', '_')}"), name


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("flopgate 0.")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["courier"], ["courier", "--conf"], ["join"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: flopgate-agent" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gate", "courier"])
def test_a_configuration_fault_is_one_line_and_exits_2(tmp_path: Path, command: str) -> None:
    # In a process of its own: both commands set up logging for theirs.
    result = subprocess.run(
        [
            *(sys.executable, "-m", "flopgate_agent.cli", command),
            *("--config", str(tmp_path / "absent.toml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("flopgate-agent: config.file.unreadable: ")


def test_any_other_fault_exits_1(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _join(host, _token_file(host))
    (host / "courier" / "certificates").write_text("in the way")
    config = host / "courier.toml"
    config.write_text(f'state_dir = "{host / "courier"}"\ndoor_path = "/run/none"\n')
    assert main(["courier", "--config", str(config)]) == 1
    assert "courier.state.unwritable" in capsys.readouterr().err


def test_a_job_whose_declaration_nobody_hears_is_told_what_opens_that_door(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["declare", "run-8", "--door", str(tmp_path / "gate.sock")]) == 1
    assert "gate.toml has the key declarable" in capsys.readouterr().err


def test_the_command_line_loads_no_network_by_itself() -> None:
    """The gate's process starts here: only the chosen command's module may be loaded."""
    program = (
        "import sys\n"
        "from flopgate_agent import cli\n"
        "import flopgate_agent.commands.gate\n"
        "print(*sorted({'grpc', 'asyncio', 'ssl'} & set(sys.modules)))\n"
        "print(sys.modules['_hashlib'] is None)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # And no second OpenSSL.
    assert result.stdout.split() == ["True"]


def test_join_gives_the_secret_to_the_gate_alone(host: Path) -> None:
    assert _join(host, _token_file(host)) == 0
    assert load_gate_tokens(host / "gate") == (
        GateToken(
            authority="home",
            trust_root_digest=TOKEN.trust_root_digest,
            cluster=TOKEN.cluster,
            custodian=TOKEN.custodian,
            site=TOKEN.site,
            jurisdiction=TOKEN.jurisdiction,
            token_id=TOKEN.token_id,
            secret=TOKEN.secret,
        ),
    )
    (authority,) = load_authorities(host / "courier")
    assert (authority.name, authority.address, authority.enroll_address) == (
        "home", "10.0.0.1:7000", "10.0.0.1:7001"
    )  # fmt: skip
    assert authority.ca_pem.decode() == TOKEN.tls_ca_pem
    token = host / "gate" / "join" / "home.token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    for path in (host / "courier").rglob("*"):
        if path.is_file():
            assert TOKEN.secret.hex() not in path.read_text(encoding="utf-8")
    gate_side = token.read_text(encoding="utf-8")
    assert "10.0.0.1" not in gate_side


def test_join_reads_standard_input(host: Path) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "flopgate_agent.cli", "join", "--token-file", "-"),
            *("--no-doctor", *_configs(host)),
        ],
        input=TOKEN.text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert len(load_gate_tokens(host / "gate")) == 1


def test_join_again_replaces_and_leaves_nothing_behind(host: Path) -> None:
    _join(host, _token_file(host))
    assert _join(host, _token_file(host)) == 0
    names = sorted(path.name for path in host.rglob("*") if path.is_file())
    configs = ["courier.toml", "gate.toml"]
    assert names == sorted([*configs, "home.ca.pem", "home.token", "home.toml", "token"])


def test_join_warns_of_a_token_that_others_can_read(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _join(host, _token_file(host, mode=0o644)) == 0
    assert "join-token.readable" in capsys.readouterr().err
    assert _join(host, _token_file(host, mode=0o600)) == 0
    assert capsys.readouterr().err == ""


def test_join_refuses_what_is_no_token(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = host / "token"
    path.write_text("flopgate-join-v1.AAAA")
    assert _join(host, str(path)) == 2
    assert "join-token.malformed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../gate", "a/b", "", ".hidden", "x" * 129])
def test_join_refuses_names_that_leave_the_directory(
    host: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _join(host, _token_file(host, dataclasses.replace(TOKEN, authority=name))) == 2
    assert "config.authority.name" in capsys.readouterr().err
    assert not list((host / "gate").iterdir())


def test_join_follows_no_planted_link(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = host / "victim"
    victim.mkdir()
    (host / "courier" / "authorities").symlink_to(victim)
    assert _join(host, _token_file(host)) == 2
    assert "join.directory" in capsys.readouterr().err
    assert list(victim.iterdir()) == []
    (host / "courier" / "authorities").unlink()
    (host / "courier" / "authorities").mkdir()
    precious = host / "precious"
    precious.write_text("precious")
    (host / "courier" / "authorities" / "home.toml").symlink_to(precious)
    assert _join(host, _token_file(host)) == 0
    assert precious.read_text() == "precious"
    assert not (host / "courier" / "authorities" / "home.toml").is_symlink()


def test_join_without_directories_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _join(tmp_path, _token_file(tmp_path)) == 2
    assert f"Make {tmp_path / 'courier'} first" in capsys.readouterr().err


def test_log_lines_are_json_one_a_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("flopgate.test.json")
    logger.addHandler(handler)
    logger.propagate = False
    logger.warning("two\nlines %s", 7, extra={FIELDS: {"code": "a.b", "pid": os.getpid()}})
    (line,) = stream.getvalue().splitlines()
    read = json.loads(line)
    assert read["message"] == "two\nlines 7"
    assert (read["level"], read["logger"], read["code"]) == ("warning", logger.name, "a.b")
    assert read["time"].endswith("Z")
