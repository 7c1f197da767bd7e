"""The site of `offline_scene` on hosts with TPMs: power, disk and TPM can be taken from them."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from flopgate_agent.lockdown.lease import boot_lease_path, lease_path
from flopgate_sim.demo.booted import reboot
from tests.support.offline_scene import QUICK, Node, OfflineScene
from tests.support.swtpm import Swtpm
from tests.support.waiting import WAIT_S, until

STEP_MS: Final = 20_000
"""The least that a policy may say with these times."""
_REFUSED: Final = 3
"""Exit status of a job that got no context."""


class TpmNode(Node):
    """One host whose key and counters are in a software TPM, with its lock-down beside the gate.

    Attributes:
        tpm: what its board holds.
    """

    def __init__(self, folder: Path, name: str, stack: ExitStack) -> None:
        self.tpm = stack.enter_context(Swtpm(folder / f"{name}-tpm"))
        self._boots = 0
        self._executed_tflop = 0
        super().__init__(folder, name, stack, f'[tpm]\ntcti = "{self.tpm.tcti}"\n')

    @property
    def state(self) -> Path:
        """What an image of its disk holds."""
        return self.folder / "gate"

    @property
    def status(self) -> dict[str, Any]:
        """What this boot's gate says, whatever boot it is played to be; empty where it is mute."""
        with suppress(OSError):
            told: dict[str, Any] = json.loads((self.folder / "gate.status").read_bytes())
            return told
        return {}

    @property
    def held(self) -> dict[str, Any] | None:
        """The license that its gate holds."""
        held: list[dict[str, Any]] = self.status.get("licenses", [])
        return held[0] if held else None

    @property
    def executed_tflop(self) -> int:
        """What its chip really did, in all boots."""
        return self._executed_tflop + self.driver.truth(0).total_flop // 10**12

    def guard(self) -> None:
        """Start its lock-down, which a boot starts before the gate."""
        door = self.folder / "gate.sock"
        leases = ("--lease", lease_path(door), "--boot-lease", boot_lease_path(self.state))
        self._processes["lockdown"] = self._run("lockdown", *leases)

    def lose_power(self) -> None:
        """No process, nothing on a tmpfs, a TPM without a word; and power again, before any gate.

        A boot id of its own and clocks from zero, for each process from here on.
        """
        self._off()
        self.tpm.cut()
        self._on()

    def shut_down(self) -> None:
        """The same, as an orderly reboot."""
        self._off()
        self.tpm.shut_down()
        self._on()

    def _off(self) -> None:
        for part in [*self._processes]:
            self.end(part, kill=True)
        self._executed_tflop = self.executed_tflop
        self.driver.stop()
        for path in self.folder.glob("gate.*"):
            if path.suffix not in {".toml", ".log"}:
                path.unlink()

    def _on(self) -> None:
        self._boots += 1
        self._env = reboot(self.folder / f"boot-{self._boots}")
        (self.folder / "booted").write_text(self._env["PYTHONPATH"])
        self.driver.start()
        self.driver.set_compute_mode(0, 0)
        (self.driver.device_dir / "nvidia0").chmod(0o666)
        self.tpm.on()
        self.guard()

    def image(self, name: str) -> Path:
        """A copy of its disk, while no gate runs."""
        return Path(shutil.copytree(self.state, self.folder / name))

    def put_back(self, image: Path) -> None:
        """The disk is as it was then."""
        shutil.rmtree(self.state)
        shutil.copytree(image, self.state)

    def with_tpm(self, tpm: Swtpm) -> None:
        """Let its gate find another TPM, or its own again."""
        text = self.config.read_text()
        before = next(line for line in text.splitlines() if line.startswith("tcti"))
        self.config.write_text(text.replace(before, f'tcti = "{tpm.tcti}"'))

    def runs_licensed(self) -> None:
        """Wait until its lane runs by a license."""
        until(lambda: self.lane.get("state") == "running" and self.lane["licensed"], self.told)

    def stands(self) -> None:
        """Wait until its lane stands."""
        until(lambda: self.lane.get("state") == "halted", self.told)
        self.driver.wait_idle(0, WAIT_S)

    def compute(self) -> subprocess.Popen[bytes]:
        """A job that computes, begun again where the driver takes nobody at that moment."""
        job = self._job()

        def computes() -> bool:
            nonlocal job
            if job.poll() == _REFUSED:
                job = self._job()
            return bool(self.driver.running(0))

        until(computes, self.told)
        return job

    def start_refused(self) -> str:
        """A gate that does not start, and a job that gets nothing; what the gate said."""
        log = self.folder / "gate.log"
        before = log.stat().st_size
        self.start("gate")
        assert self._processes.pop("gate").wait(WAIT_S) == 1, log.read_text()[before:]
        until(lambda: self.driver.compute_mode(0), "the chip to be closed")
        assert self._job().wait(WAIT_S) == _REFUSED
        assert not self.driver.running(0)
        return log.read_text()[before:]

    def _job(self) -> subprocess.Popen[bytes]:
        return self.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)


class TpmSite(OfflineScene):
    """Two such hosts and a governor in ``agency``. Use it in a ``with`` statement."""

    rules = QUICK | {"license_step_ms": STEP_MS}
    nodes: list[TpmNode]  # type: ignore[assignment]

    def __enter__(self) -> Self:
        super().__enter__()
        for node in self.nodes:
            node.guard()
        return self

    def _node(self, name: str, stack: ExitStack) -> TpmNode:
        return TpmNode(self.folder, name, stack)

    def request(self, node: TpmNode, span: str) -> None:
        """Its request, in a file of its name."""
        self.run(f"ssh {node.name} flopgate-agent license request --span {span} "
                 f"--name {node.name} > {node.name}.request")  # fmt: skip

    def issue(self, request: str, to: str, *more: str, hosts: int = 1) -> str:
        """Two officers license what asks; what they were told."""
        keys = " ".join(f"--key agency/officers/officer-{number}.pem" for number in (1, 2))
        return self.run(
            f"flopgate-governor license issue {request} --dir agency --reason 'No line.' "
            f"--yes-i-mean {hosts} {keys} --out {to} {' '.join(more)}"
        )

    def install(self, node: TpmNode, license_: str) -> str:
        """What the command says, whether the gate takes it or not."""
        install = f"flopgate-agent license install {license_}"
        return self.run(f"ssh {node.name} {install} 2>&1 || echo not taken")

    def booked(self, node: TpmNode) -> tuple[int, int]:
        """Sequence of a host's last report on record, and all TFLOP that it was charged."""
        told = json.loads(self.run("flopgate-governor status --dir agency --json"))
        host_id = bytes.fromhex(node.status["host_id"])
        host = next(one for one in told["hosts"] if b64decode(one["host_id"]) == host_id)
        books = ("allotted_tflop", "unaccounted_tflop")
        tflop = sum(int(lane.get(book, 0)) for lane in host["lanes"] for book in books)
        return int(host["sequence"]), tflop

    def out(self) -> list[dict[str, Any]]:
        """Licenses that no report has settled yet."""
        listed = self.run("flopgate-governor license list --dir agency --json")
        return [json.loads(line) for line in listed.splitlines()]
