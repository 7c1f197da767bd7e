"""The doctor on a host with a fake driver and a real governor, whole and then broken."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from flopgate_agent.cli import main
from flopgate_proto.joining import JoinToken
from flopgate_sim.nvml import FakeDriver
from tests.support.connect_proxy import ConnectProxy
from tests.support.governor_process import GovernorProcess

GONE: Final = "governor gone"
governor_is_gone = pytest.mark.parametrize("joined", [GONE], indirect=True)
Examined = Callable[[], tuple[int, dict[str, Any]]]


class Joined:
    """A host that joined, before its first start."""

    def __init__(self, folder: Path, token: str) -> None:
        self.gate, self.courier = folder / "gate", folder / "courier"
        for one in (self.gate, self.courier):
            one.mkdir(mode=0o700)
        self._token = folder / "token"
        self._token.touch(mode=0o600)
        self._token.write_text(token)
        self.configs = (folder / "gate.toml", folder / "courier.toml")
        self.configs[0].write_text(
            f'state_dir = "{self.gate}"\ndoor_path = "{folder}/door"\ncourier_uids = [0]\n'
            f'device_globs = ["{folder}/nvidia*"]\n'
        )
        (folder / "nvidia0").touch()
        self.configs[1].write_text(f'state_dir = "{self.courier}"\ndoor_path = "{folder}/door"\n')
        # A driver of the host's own is none of the test's business.
        assert self.join("--no-doctor") == 0

    def join(self, *more: str) -> int:
        """Join, once more; the exit status."""
        gate, courier = map(str, self.configs)
        files = ("--token-file", str(self._token))
        configs = ("--gate-config", gate, "--courier-config", courier)
        return main(["join", *files, *configs, *more])


@pytest.fixture(scope="module")
def token(governor: GovernorProcess) -> JoinToken:
    return governor.token()


@pytest.fixture
def joined(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: JoinToken,
    request: pytest.FixtureRequest,
) -> Iterator[Joined]:
    """With the parameter `GONE` the governor's port is one that refuses connections."""
    with ExitStack() as stack:
        driver = stack.enter_context(FakeDriver(tmp_path / "gpus", gpus=2))
        for name, value in driver.env().items():
            monkeypatch.setenv(name, value)
        if getattr(request, "param", None) == GONE:
            # Bound, so that nobody else gets it, and without a listener.
            kept = stack.enter_context(socket.socket())
            kept.bind(("127.0.0.1", 0))
            nowhere = f"127.0.0.1:{kept.getsockname()[1]}"
            token = replace(token, enroll_address=nowhere, link_address=nowhere)
        yield Joined(tmp_path, token.text())


@pytest.fixture
def examined(joined: Joined, capsys: pytest.CaptureFixture[str]) -> Examined:
    """The exit status, and what was found by subject."""

    def run() -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        gate, courier = map(str, joined.configs)
        status = main(["doctor", "--json", "--gate-config", gate, "--courier-config", courier])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return status, {line["subject"]: line for line in lines}

    return run


def test_a_host_that_is_whole_needs_no_mending(joined: Joined, examined: Examined) -> None:
    status, found = examined()
    assert status == 0, found
    assert found["driver"]["found"].startswith("2 chips (NVIDIA H100")
    assert found["device nodes"]["state"] == "good"
    assert found["trust"]["state"] == "good"
    authority = found["trust"]["found"].removeprefix("joined: ")
    assert found[f"network {authority}"]["found"].endswith("answers with TLSv1.3")
    assert found[f"certificate {authority}"]["state"] == "note"
    assert found["gate"]["state"] == "note"
    assert not list(joined.gate.glob("tmp*"))


@governor_is_gone
def test_what_is_broken_is_named_with_its_mend(
    joined: Joined, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.gate.chmod(0o755)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(joined.gate))
    status, found = examined()
    assert status == 1
    mended = {name for name, one in found.items() if one["state"] == "mend"}
    authority = found["trust"]["found"].removeprefix("joined: ")
    assert mended == {"state_dir", "driver", f"network {authority}"}
    assert f"chmod 700 {joined.gate}" in found["state_dir"]["mend"]
    assert "nvidia-smi" in found["driver"]["mend"]
    assert "Connection refused" in found[f"network {authority}"]["found"]


def test_jobs_that_only_the_driver_lists_are_a_note(joined: Joined, examined: Examined) -> None:
    (joined.gate.parent / "nvidia0").unlink()
    status, found = examined()
    assert (status, found["device nodes"]["state"]) == (0, "note")


def test_somebody_else_at_the_address_is_told(
    joined: Joined, examined: Examined, tmp_path: Path
) -> None:
    other = GovernorProcess.make(tmp_path / "other")
    (authority,) = (joined.courier / "authorities").glob("*.toml")
    wrong = (tmp_path / "other" / "tls" / "ca.pem").read_bytes()
    authority.with_suffix(".ca.pem").write_bytes(wrong)
    _, found = examined()
    assert "is somebody else" in found[f"network {authority.stem}"]["found"]
    assert other.process is None


def test_without_configuration_it_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--gate-config", "/none", "--courier-config", "/none"]) == 1
    told = capsys.readouterr()
    assert "MEND  gate.toml: config.file.unreadable" in told.out
    assert told.err.count("\n") == 1


def test_a_proxy_is_used_as_the_courier_uses_it(
    joined: Joined, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        status, found = examined()
        assert status == 0, found
        assert len(proxy.asked) == 2
    _, found = examined()
    (authority,) = joined.courier.glob("authorities/*.toml")
    assert found[f"network {authority.stem}"]["state"] == "mend"


def test_a_host_that_is_whole_joins_after_a_look(
    joined: Joined, capsys: pytest.CaptureFixture[str]
) -> None:
    assert joined.join() == 0
    told = capsys.readouterr()
    assert "ok    driver: 2 chips" in told.out
    assert told.out.count("answers with TLSv1.3") == 2
    assert "joined" in told.out.splitlines()[-1]


@governor_is_gone
def test_a_host_that_must_be_mended_does_not_join_by_itself(
    joined: Joined, capsys: pytest.CaptureFixture[str]
) -> None:
    for half in ("gate/join", "courier/authorities"):
        for path in (joined.gate.parent / half).iterdir():
            path.unlink()
    capsys.readouterr()
    assert joined.join() == 1
    told = capsys.readouterr()
    assert told.out.count("MEND  network") == 2
    assert told.err.startswith("flopgate-agent: join.doctor: ")
    assert "--no-doctor" in told.err
    assert not [*joined.gate.glob("join/*"), *joined.courier.glob("authorities/*")]
    assert joined.join("--no-doctor") == 0
    assert [*joined.gate.glob("join/*")]
