"""A host and its governor as processes, each of this checkout or of the version before it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from flopgate_governor.policies.form import DEFAULT_POLICY
from flopgate_sim.nvml import FakeDriver
from tests.support.governor_cli import cli
from tests.support.waiting import WAIT_S, until

ROOT: Final = Path(__file__).parents[2]
PREVIOUS: Final = ROOT / "tests" / "data" / "previous.tar.xz"
"""The version before this one; `scripts/previous.sh` renews it with each release."""
AUTHORITY: Final = "agency.example"
PARTS: Final = ("governor", "gate", "courier")


def unpack_previous(folder: Path) -> Path:
    """The sources of `PREVIOUS`."""
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Versions:
    """Governor, gate and courier of one host, in ``with``.

    Args:
        folder: an empty one.
        previous: sources of the version before.
        old: which parts are of that version at first.
        tpm: where the host's TPM is, for one that has its key in it.
    """

    def __init__(
        self, folder: Path, previous: Path, old: frozenset[str], tpm: str | None = None
    ) -> None:
        self.old = old
        self._tpm = "" if tpm is None else f'[tpm]\ntcti = "{tpm}"\n'
        self._folder = folder
        self._previous = previous
        self._agency = folder / "agency"
        self.driver = FakeDriver(folder / "driver", gpus=1)
        self._addresses = ("127.0.0.1:0", "127.0.0.1:0")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.driver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for part in tuple(self._running):
            self.stop(part, signal.SIGKILL)
        self.driver.__exit__(None, None, None)

    def found(self) -> None:
        """An authority with a budget for the cluster of one host, which joins it."""
        policy = self._folder / "policy.toml"
        budget = '\n[[budgets]]\nscope = "cluster:c1"\ncap_tflop = 1_000_000_000_000\n'
        text = DEFAULT_POLICY.format(authority=AUTHORITY) + budget
        # Soon and often: a test sees renewals.
        for old, new in (
            ("lifetime_ms = 600_000", "lifetime_ms = 30_000"),
            ("wind_down_ms = 120_000", "wind_down_ms = 2_000"),
            ("renew_after_ms = 120_000", "renew_after_ms = 2_000"),
        ):
            text = text.replace(old, new, 1)
        policy.write_text(text)
        self.govern("init", self._agency, "--authority", AUTHORITY, "--policy", policy)
        self.start("governor")
        token = self.govern(
            *("token", "create", "--dir", self._agency, "--cluster", "c1", "--custodian", "cu"),
            *("--hosts", "1", "--capacity", "2e18"),
        )
        (self._folder / "token").touch(0o600)
        (self._folder / "token").write_text(token)
        for name in ("gate", "courier"):
            (self._folder / name).mkdir(mode=0o700)
        door = f'door_path = "{self._folder}/door"\n'
        (self._folder / "gate.toml").write_text(
            f'state_dir = "{self._folder}/gate"\n{door}courier_uids = [{os.getuid()}]\n'
            f'device_globs = ["{self.driver.device_dir}/nvidia[0-9]*"]\n'
            "sample_interval_ms = 200\nreport_interval_ms = 1000\ncgroup = false\n" + self._tpm
        )
        (self._folder / "courier.toml").write_text(
            f'state_dir = "{self._folder}/courier"\n{door}backoff_ms_max = 200\n'
            "keepalive_ms = 1000\n"
        )
        join: list[str | Path] = ["join", "--token-file", self._folder / "token", "--no-doctor"]
        for part in ("gate", "courier"):
            join += (f"--{part}-config", self._folder / f"{part}.toml")
        self._run(self._program("gate"), *join, part="gate")

    def start(self, part: str) -> None:
        """Start the process of one part, as it is installed now."""
        arguments: tuple[str | Path, ...] = (part, "--config", self._folder / f"{part}.toml")
        if part == "governor":
            link, enroll = self._addresses
            ports = ("--listen", link, "--enroll-listen", enroll)
            arguments = ("serve", "--dir", self._agency, *ports)
        with self._log(part).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self._program(part), *map(str, arguments)],
                env=self._environment(part),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running[part] = process
        if part == "governor":
            until(
                lambda: self._announced(process.pid), lambda: f"the governor: {self.logged(part)}"
            )

    def stop(self, part: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process of one part."""
        process = self._running.pop(part)
        process.send_signal(number)
        process.wait(WAIT_S)

    def upgrade(self, part: str) -> None:
        """Stop it, and start what this checkout has in its place."""
        self.stop(part)
        self.old -= {part}
        self.start(part)

    def govern(self, *arguments: str | Path) -> str:
        """A command of the governor; what it printed."""
        if "governor" in self.old:
            return self._run(self._program("governor"), *arguments, part="governor")
        done = cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def order(self, *arguments: str) -> None:
        """A command that two officers sign."""
        keys = [self._agency / "officers" / f"officer-{n}.pem" for n in (1, 2)]
        signed = [part for key in keys for part in ("--key", key)]
        self.govern(*arguments, "--dir", self._agency, *signed)

    def ask(self, part: str, program: str) -> str:
        """What a program prints in the place of one part."""
        command = [sys.executable, "-P", "-c", program]
        env = self._environment(part)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    def sequence(self) -> int:
        """The newest report that the governor has."""
        return int(self.host()["sequence"])

    def host(self) -> dict[str, Any]:
        """The one host, as the governor shows it."""
        (host,) = json.loads(self.govern("status", "--dir", self._agency, "--json"))["hosts"]
        return dict(host)

    def count(self, event: str) -> int:
        """How often the gate told of something."""
        return self.logged("gate").count(f'"{event}"')

    def until_told(self, event: str, more_than: int = 0) -> None:
        """Wait for the gate to tell of it."""
        until(
            lambda: self.count(event) > more_than,
            lambda: f"{event}; {self.logged('gate')[-1500:]} {self.logged('courier')[-1500:]}",
        )

    def logged(self, part: str) -> str:
        """Everything that it said."""
        return self._log(part).read_text() if self._log(part).exists() else ""

    def _log(self, part: str) -> Path:
        return self._folder / f"{part}.log"

    def _announced(self, pid: int) -> bool:
        with suppress(OSError, ValueError):
            found = json.loads((self._agency / "run" / "addresses.json").read_text())
            # The next one serves on the same ports: hosts know no others.
            self._addresses = (found["link"], found["enroll"])
            return bool(found["pid"] == pid)
        return False

    def _program(self, part: str) -> str:
        return "flopgate_governor.cli" if part == "governor" else "flopgate_agent.cli"

    def _environment(self, part: str) -> dict[str, str]:
        env = {**os.environ, **self.driver.env()}
        if part in self.old:
            folders = [str(self._previous / name) for name in ("agent", "governor", "proto")]
            env["PYTHONPATH"] = ":".join(folders)
        return env

    def _run(self, module: str, *arguments: str | Path, part: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=self._environment(part),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
