"""One real host: gate, sampler, courier and a guarded process, on a driver real or fake."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from flopgate_agent.door import FrameDecoder, parse_from_gate
from flopgate_agent.enforcement.cgroups import Hierarchy, find_mount
from flopgate_agent.gate_process.host_settings import cgroup_base
from flopgate_agent.gate_process.identity import KEY_FILE
from flopgate_agent.gate_process.status_file import status_path
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.demo.booted import reboot
from flopgate_sim.live.hosts import HostView
from flopgate_sim.live.processes import WAIT_S, Child, RehearsalError, wait_until
from flopgate_sim.nvml import FakeDriver

GPUS = 8
TFLOP = 10**12
PROHIBITED = 2
"""NVML_COMPUTEMODE_PROHIBITED."""


class RealHost:
    """Owns every process of one host.

    ``driver`` is ``None`` on a machine with NVIDIA's own; ``acts``: whether it may stop anything.
    ``gate`` are more lines of its gate's configuration.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        workload: str,
        driver: FakeDriver | None,
        *,
        acts: bool,
        gate: str = "",
    ) -> None:
        self.name = name
        self.workload = workload
        self.driver = driver
        self._dir = directory / name
        self._dir.mkdir()
        self._door = self._dir / "gate.sock"
        self._gate, self._courier = self._dir / "gate.toml", self._dir / "courier.toml"
        self.acts = acts
        self._more = gate
        self._boot: dict[str, str] = {}
        self._job: subprocess.Popen[bytes] | None = None
        self._children: list[Child] = []
        self._snapshot: pb.Snapshot | None = None

    def start(self, *tokens: JoinToken) -> None:
        """Join every authority, then gate and courier."""
        for folder in (self._dir / "gate", self._dir / "courier"):
            folder.mkdir(mode=0o700)
        self._configure()
        token_file = self._dir / "token"
        token_file.touch(mode=0o600)
        for token in tokens:
            token_file.write_text(token.text(), encoding="ascii")
            self._agent(
                *("join", "--token-file", str(token_file), "--no-doctor"),
                *("--gate-config", str(self._gate), "--courier-config", str(self._courier)),
            )
        self.launch()

    def twin(self, name: str) -> RealHost:
        """A copy of its disk as a host of another name, not launched; this one must be ended."""
        twin = RealHost(self._dir.parent, name, self.workload, self.driver, acts=self.acts)
        for folder in ("gate", "courier"):
            shutil.copytree(self._dir / folder, twin._dir / folder)
        twin._configure()
        return twin

    def forget(self, authority: str) -> None:
        """Its courier, once launched, carries nothing to this authority any more."""
        for path in (self._dir / "courier" / "authorities").glob(f"{authority}.*"):
            path.unlink()

    def launch(self) -> None:
        """Gate and courier, on what is there."""
        env = self.driver.env() if self.driver else {}
        module = "flopgate_agent.cli" if self.acts else "flopgate_sim.demo.watching_gate"
        arguments = ["gate", "--config"] if self.acts else []
        gate = [*arguments, str(self._gate)]
        self._children.append(Child(module, gate, self._dir / "gate.log", {**env, **self._boot}))
        wait_until("the gate's door", self._opened)
        threading.Thread(target=self._watch, args=(self._door,), daemon=True).start()
        wait_until("the gate's first words", self._speaks)
        courier = ["courier", "--config", str(self._courier)]
        log = self._dir / "courier.log"
        self._children.append(Child("flopgate_agent.cli", courier, log, self._boot))

    def end(self) -> None:
        """End courier and gate; ``launch`` starts them again."""
        while self._children:
            self._children.pop().stop()
        self._snapshot = None

    def reboot(self) -> None:
        """A loss of power, as far as processes can play one, then gate and courier again.

        Gate, courier and job are killed, what lies on a tmpfs is gone, boot id, clocks and counters
        are those of a new boot. Once only.
        """
        for child in self._children:
            child.kill()
        self.end()
        if self.driver is not None:
            self.driver.stop()
            self.driver.start()
        for path in self._dir.glob(f"{self._door.stem}.*"):
            if path.suffix not in {".toml", ".log"}:
                path.unlink()
        self._boot = reboot(self._dir / "boot")
        self.launch()

    def license(self, action: str, *arguments: str) -> str:
        """``flopgate-agent license``; what it printed.

        Raises:
            RehearsalError: it failed, with its own sentence.
        """
        return self._agent("license", action, *arguments, "--config", str(self._gate))

    def explain(self) -> str:
        """What ``flopgate-agent explain`` says on this host."""
        return self._agent("explain", "--file", str(status_path(self._door)))

    def _configure(self) -> None:
        state = f'state_dir = "{self._dir}/%s"\ndoor_path = "{self._door}"\n'
        self._gate.write_text(
            state % "gate" + f"courier_uids = [{os.getuid()}]\n{self._more}"
            f'[[lane]]\nworkload = "{self.workload}"\nchips = "all"\n',
            encoding="utf-8",
        )
        self._courier.write_text(
            state % "courier" + "backoff_ms_max = 1000\nkeepalive_ms = 5000\n", encoding="utf-8"
        )

    def _agent(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flopgate_agent.cli", *arguments],
            env={**os.environ, **self._boot},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        if done.returncode:
            raise RehearsalError(f"flopgate-agent {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    @property
    def licensed(self) -> bool:
        """Whether its lane runs by a license now."""
        snapshot = self._snapshot
        return snapshot is not None and snapshot.lanes[0].licensed and self.view().runs

    @property
    def held_license(self) -> pb.LicenseSnapshot | None:
        """The license that its gate holds, as it tells couriers."""
        held = self._snapshot.licenses if self._snapshot is not None else ()
        return held[0] if held else None

    def wait_until_enrolled(self) -> None:
        """From there on its totals count."""
        wait_until("enrolment", self._enrolled)

    def start_job(self) -> bool:
        """Start a job on every GPU of the fake driver; whether it got its contexts."""
        if self.driver is None:
            return False
        self._job = self.driver.start_workload(gpus=list(range(GPUS)), fmt="fp16", share=0.5)
        return self.job_lives

    def refuses_jobs(self) -> bool:
        """Whether every GPU of the fake driver is closed to new contexts."""
        modes = [self.driver.compute_mode(gpu) for gpu in range(GPUS)] if self.driver else []
        return all(mode == PROHIBITED for mode in modes)

    def _opened(self) -> bool:
        self.check()
        return self._door.exists()

    def _speaks(self) -> bool:
        self.check()
        return self._snapshot is not None

    def _enrolled(self) -> bool:
        self.check()
        return self._snapshot is not None and self._snapshot.host_state == "enrolled"

    def _watch(self, door: Path) -> None:
        decoder = FrameDecoder()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock,
            contextlib.suppress(OSError),
        ):
            sock.connect(str(door))
            while data := sock.recv(65536):
                for frame in decoder.feed(data):
                    message = parse_from_gate(frame)
                    if message.HasField("snapshot"):
                        self._snapshot = message.snapshot

    @property
    def size(self) -> int:
        """A gate that only watches cannot make its GPUs stand still: nothing waits for it."""
        return int(self.acts)

    def views(self) -> list[HostView]:
        """This host, if it is waited for."""
        return [self.view()] if self.acts else []

    def view(self) -> HostView:
        """This host now."""
        snapshot = self._snapshot
        if snapshot is None:
            raise RehearsalError(f"{self.name}: nothing heard of the gate")
        lane = snapshot.lanes[0]
        truths = [self.driver.truth(gpu) for gpu in range(GPUS)] if self.driver else []
        last_works = [truth.last_work_ms for truth in truths if truth.last_work_ms is not None]
        return HostView(
            name=self.name,
            workload=self.workload,
            state=pb.LaneState.Name(lane.state).removeprefix("LANE_STATE_"),
            reason=lane.stop_reason,
            last_work_ms=int(max(last_works, default=0)),
            expires_ms=None,
            sequence=snapshot.sequence,
            acknowledged=snapshot.acknowledged_sequence,
            truth_tflop=sum(truth.total_flop for truth in truths) // TFLOP,
            metered_tflop=lane.total.nominal_tflop,
            allotted_tflop=lane.allotted_tflop,
            unaccounted_tflop=lane.unaccounted_tflop,
            host_id=snapshot.host_id.hex(),
        )

    @property
    def job_lives(self) -> bool:
        """Whether the guarded process is still there."""
        return self._job is not None and self._job.poll() is None

    def check(self) -> None:
        """Raise if a process of this host has ended by itself.

        Raises:
            RehearsalError: with the end of its log.
        """
        for child in self._children:
            child.check()

    def stop(self) -> None:
        """End courier and gate, then job and driver."""
        self.end()
        if self._job is not None:
            self._job.kill()
            self._job.wait()
        if self.driver is not None:
            self.driver.stop()
        self._tidy()

    def _tidy(self) -> None:
        """A gate leaves standing what it held; this one's host does not come back."""
        mount = find_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        key = self._dir / "gate" / KEY_FILE
        if mount is not None and key.exists():
            host_id = key_digest(SigningKey(key.read_bytes()).spki)
            Hierarchy(mount, cgroup_base(host_id)).tidy()
