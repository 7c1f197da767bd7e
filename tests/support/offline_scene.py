"""Hosts of a site without a link, real processes all, and a folder in which docs/offline.md runs.

``ssh NODE`` leads to the node of that name, and `flopgate-agent` knows its node's configuration, as
it does on a real host by the default paths. The link is cut by ending the courier.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from flopgate_agent.host_status import read_status
from flopgate_governor.policies.form import DEFAULT_POLICY
from flopgate_proto.errors import FlopgateError
from flopgate_sim.nvml import FakeDriver
from tests.support.governor import AUTHORITY
from tests.support.governor_process import GovernorProcess
from tests.support.sampler_host import LONG_LOADED
from tests.support.waiting import WAIT_S, until

QUICK: Final = {
    "lifetime_ms": 20_000,
    "wind_down_ms": 1_000,
    "renew_after_ms": 1_000,
    "drain_ms": 1_000,
    "exempt_lifetime_ms": 20_000,
    "watchdog_ms": 11_000,
    "reserve_after_ms": 15_000,
}
"""Permits that end soon, so that what runs on does so by its license; nobody waits for days."""
_AGENT: Final = """\
#!/bin/sh
node={folder}/${{FLOPGATE_NODE:-node-1}}
if test -e "$node/booted"; then export PYTHONPATH="$(cat "$node/booted")"; fi
case "$*" in *" --hosts "*) exec {python} -m flopgate_agent.cli "$@" ;; esac
case "$1 $2" in
"license gather"|"license installed"|"license opening") exec {python} -m flopgate_agent.cli "$@" ;;
license*|retire*) exec {python} -m flopgate_agent.cli "$@" --config "$node/gate.toml" ;;
esac
exec {python} -m flopgate_agent.cli "$@" --file "$node/gate.status"
"""
_SSH: Final = """\
#!/bin/sh
export FLOPGATE_NODE=$1
shift
exec "$@"
"""


class Node:
    """One host: a chip, a gate, and a courier while there is a link.

    ``gate``: more lines of its gate's configuration.
    """

    def __init__(self, folder: Path, name: str, stack: ExitStack, gate: str = "") -> None:
        self.name = name
        self.folder = folder / name
        self._stack = stack
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._env: dict[str, str] = {}
        for part in ("gate", "courier"):
            (self.folder / part).mkdir(parents=True, mode=0o700)
        self.driver = stack.enter_context(
            FakeDriver(self.folder / "driver", gpus=1, counted_cycles=LONG_LOADED)
        )
        stack.callback(self._end_all)
        door = self.folder / "gate.sock"
        self.config = self.folder / "gate.toml"
        self.config.write_text(
            f'state_dir = "{self.folder / "gate"}"\ndoor_path = "{door}"\n'
            f'device_globs = ["{self.driver.device_dir}/nvidia[0-9]*"]\n'
            f"courier_uids = [{os.getuid()}]\nsample_interval_ms = 200\n"
            f"report_interval_ms = 1000\ncgroup = false\n{gate}"
            '[[lane]]\nworkload = "run-7"\nchips = "all"\n'
        )
        (self.folder / "courier.toml").write_text(
            f'state_dir = "{self.folder / "courier"}"\ndoor_path = "{door}"\n'
        )

    def join(self, token: Path) -> None:
        """Enrol, and wait until it runs by a permit."""
        more = ["--gate-config", self.config, "--courier-config", self.folder / "courier.toml"]
        command = ["join", "--no-doctor", "--token-file", token, *more]
        subprocess.run(self._agent(*command), check=True, capture_output=True)
        self.start("gate")
        self.start("courier")
        until(lambda: self.lane.get("state") == "running", self.told)

    def start(self, part: str) -> None:
        """Gate or courier; a gate's status is a new one's from here on."""
        if part == "gate":
            (self.folder / "gate.status").unlink(missing_ok=True)
        self._processes[part] = self._run(part, "--config", self.folder / f"{part}.toml")

    def end(self, part: str, *, kill: bool = False) -> None:
        """End it, as a service manager would, or a loss of power."""
        process = self._processes.pop(part)
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait(WAIT_S)

    @property
    def status(self) -> dict[str, Any]:
        """What the gate says now; empty where it says nothing."""
        with suppress(FlopgateError):
            return read_status(str(self.folder / "gate.status"))
        return {}

    @property
    def lane(self) -> dict[str, Any]:
        """Its one lane."""
        lanes: list[dict[str, Any]] = self.status.get("lanes", [])
        return lanes[0] if lanes else {}

    @property
    def license(self) -> dict[str, Any]:
        """What it holds, of its one authority."""
        held: list[dict[str, Any]] = self.status.get("licenses", [])
        return held[0] if held else {}

    def runs_by_license(self) -> bool:
        """Whether its lane computes, and by a license."""
        lane = self.lane
        return lane.get("state") == "running" and bool(lane["licensed"])

    def told(self) -> str:
        """Why a wait was in vain."""
        log = (self.folder / "gate.log").read_text()[-3000:]
        return f"{self.name}: {json.dumps(self.lane)}\n{log}"

    def _run(self, part: str, *arguments: object) -> subprocess.Popen[bytes]:
        with (self.folder / f"{part}.log").open("ab") as log:
            return subprocess.Popen(
                self._agent(part, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.driver.env(), **self._env},
            )

    def _agent(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "flopgate_agent.cli", *map(str, arguments)]

    def _end_all(self) -> None:
        for part in [*self._processes]:
            self.end(part, kill=True)


class OfflineScene:
    """A governor in ``agency``, two nodes, and ``nodes.txt``. Use it in a ``with`` statement."""

    rules: Mapping[str, int] = QUICK

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.governor = self._governor(stack)
            token = self.folder / "token.txt"
            token.touch(mode=0o600)
            token.write_text(self.governor.token().text())
            (self.folder / "nodes.txt").write_text("node-1\nnode-2\n")
            self.nodes = [self._node(name, stack) for name in ("node-1", "node-2")]
            self._programs()
            for node in self.nodes:
                node.join(token)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, block: str) -> str:
        """Paste a block; what it printed."""
        # The authority of the pages is the tests' own.
        block = block.replace("agency.example", AUTHORITY)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=WAIT_S,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def cut(self) -> None:
        """There is no link any more."""
        for node in self.nodes:
            node.end("courier")

    def _node(self, name: str, stack: ExitStack) -> Node:
        return Node(self.folder, name, stack)

    def _governor(self, stack: ExitStack) -> GovernorProcess:
        form = self.folder / "agency.toml"
        lines = []
        for line in DEFAULT_POLICY.format(authority=AUTHORITY).splitlines():
            key = line.split(" = ")[0]
            lines.append(f"{key} = {self.rules[key]}" if key in self.rules else line)
        budget = '[[budgets]]\nscope = "cluster:c1"\ncap_tflop = 1_000_000_000_000_000\n'
        form.write_text("\n".join([*lines, budget]))
        governor = GovernorProcess.make(self.folder / "agency", policy=form)
        stack.callback(governor.stop)
        governor.start()
        return governor

    def _programs(self) -> None:
        (self.folder / "bin").mkdir()
        governor = f'#!/bin/sh\nexec {sys.executable} -m flopgate_governor.cli "$@"\n'
        for name, text in (
            ("flopgate-agent", _AGENT.format(folder=self.folder, python=sys.executable)),
            ("flopgate-governor", governor),
            ("ssh", _SSH),
        ):
            path = self.folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)
