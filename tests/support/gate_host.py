"""A gate as a real process on fake GPUs, and a courier in the test that speaks its door."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.door import FrameDecoder, encode_frame, parse_from_gate
from flopgate_agent.lockdown.lease import boot_lease_path, lease_path
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import decode_report, envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Report
from flopgate_sim.nvml import FakeDriver
from tests.support.fixed import COURIER_KEY
from tests.support.gate_authority import GateAuthority
from tests.support.sampler_host import LONG_LOADED
from tests.support.service_manager import ServiceManager
from tests.support.waiting import WAIT_S, until

REFUSED = 3
"""Exit status of a job that got no context."""
LIFETIME_MS = 9_000
WIND_DOWN_MS = 1_000
DRAIN_MS = 3_000
"""Enough for a gate to see, on any machine, that what drains at once stands still."""
WATCHDOG_MS = 7_000


class Courier:
    """Carries between the door and an authority in a thread of its own.

    Attributes:
        mode: ``grant``; ``acknowledge``: answers without verdicts' permission are not sent, only
            acknowledgements of reports that do not ask; ``cut``: nothing is carried.
        reports: every report that came out, by sequence.
        last_grant: end of the last permission that was delivered, on the gate's clock.
    """

    def __init__(self, door: Path, authority: GateAuthority) -> None:
        self.mode = "grant"
        self.reports: dict[int, Envelope] = {}
        self.snapshot = pb.Snapshot()
        self.last_grant_ms = 0
        self._authority = authority
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._carry)
        try:
            self._socket.connect(str(door))
            self._thread.start()
            hello = pb.CourierHello(authority=authority.name, courier_spki=COURIER_KEY.spki)
            self.say(pb.ToGate(hello=hello))
            self.say(pb.ToGate(resend=pb.Resend(authority=authority.name)))
        except OSError:
            # A gate may end at that moment.
            self.close()
            raise

    def say(self, message: pb.ToGate) -> None:
        """To the gate."""
        with self._lock:
            self._socket.sendall(encode_frame(message))

    def order(self, envelope: Envelope) -> None:
        """Push an order."""
        order = pb.SignedOrder(envelope=envelope_to_wire(envelope))
        self.say(pb.ToGate(order=order))

    def close(self) -> None:
        """Leave."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    def chain(self) -> list[Report]:
        """What came out, in the order of its sequence."""
        reports = dict(self.reports)
        return [decode_report(reports[sequence].payload) for sequence in sorted(reports)]

    def _carry(self) -> None:
        decoder = FrameDecoder()
        with suppress(OSError):
            while data := self._socket.recv(65536):
                for frame in decoder.feed(data):
                    self._take(parse_from_gate(frame))

    def _take(self, message: pb.FromGate) -> None:
        match message.WhichOneof("message"):
            case "snapshot":
                self.snapshot = message.snapshot
            case "enrolment" if self.mode != "cut":
                self._enrol(envelope_from_wire(message.enrolment.enrolment))
            case "report":
                self._answer(envelope_from_wire(message.report.envelope))
            case _:
                pass

    def _enrol(self, enrolment: Envelope) -> None:
        authority = self._authority
        orders = [
            pb.SignedOrder(envelope=envelope_to_wire(order)) for order in authority.first_orders()
        ]
        admission = envelope_to_wire(authority.admission(enrolment))
        self.say(pb.ToGate(admission=pb.EnrollReply(admission=admission, orders=orders)))

    def _answer(self, envelope: Envelope) -> None:
        report = decode_report(envelope.payload)
        self.reports[report.sequence] = envelope
        if self.mode == "cut" or (self.mode == "acknowledge" and report.request is not None):
            return
        if report.request is not None:
            until_ms = report.made_ms + self._authority.policy.lifetime_ms
            self.last_grant_ms = max(self.last_grant_ms, until_ms)
        self.deliver(self._authority.answer(envelope))

    def deliver(self, proven: ProvenAnswer) -> None:
        """One answer, to the gate."""
        leaf = pb.AnswerLeaf(payload=proven.payload, index=proven.index, path=proven.path)
        batch = pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), answers=[leaf])
        with suppress(OSError):
            self.say(pb.ToGate(answers=batch))


class GateHost:
    """One host: fake GPUs, a gate process, a courier. Use it in a ``with`` statement.

    Args:
        folder: an empty one.
        lanes: GPUs by workload.
        cgroups: freeze by cgroup, which needs root; else by signal.
        tpm: where the host's TPM is, for one that has its key in it.
        options: of `FakeDriver`.

    Attributes:
        manager: what starts the gate instead of the test, once it is set.
        env: more for the gate's environment.
        said: by the last gate that was ended.
    """

    def __init__(
        self,
        folder: Path,
        lanes: dict[str, list[int]],
        *,
        cgroups: bool = False,
        tpm: str | None = None,
        **options: Any,
    ) -> None:
        self._stack = ExitStack()
        self._cgroups = cgroups
        self._tpm = tpm
        self.folder = folder
        self.state = folder / "gate"
        self.door = folder / "door"
        self.log = folder / "gate.log"
        self.config = folder / "gate.toml"
        self.lanes = lanes
        self.authority = GateAuthority()
        self.authority.policy_order(
            version=1,
            lifetime_ms=LIFETIME_MS,
            wind_down_ms=WIND_DOWN_MS,
            renew_after_ms=1_000,
            drain_ms=DRAIN_MS,
            watchdog_ms=WATCHDOG_MS,
        )
        self.driver = FakeDriver(folder / "driver", counted_cycles=LONG_LOADED, **options)
        self.gate: subprocess.Popen[bytes] | None = None
        self.manager: ServiceManager | None = None
        self.env: dict[str, str] = {}
        self.said = ""
        self.lockdown: subprocess.Popen[bytes] | None = None
        self._courier: Courier | None = None

    def __enter__(self) -> Self:
        self._stack.enter_context(self.driver)
        self._stack.callback(self.kill_lockdown)
        self._stack.callback(self.kill_gate)
        self._stack.callback(self._leave)
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def courier(self) -> Courier:
        """The courier that stands at the door."""
        assert self._courier is not None
        return self._courier

    def _write(self) -> None:
        (self.state / "join").mkdir(parents=True, mode=0o700)
        token = self.authority.token()
        file = self.state / "join" / f"{token.authority}.token"
        file.touch(0o600)
        file.write_text(
            f'trust_root_digest = "{token.trust_root_digest.hex()}"\n'
            f'cluster = "{token.cluster}"\ncustodian = "{token.custodian}"\n'
            f'site = "{token.site}"\njurisdiction = "{token.jurisdiction}"\n'
            f'token_id = "{token.token_id.hex()}"\nsecret = "{token.secret.hex()}"\n',
            encoding="utf-8",
        )
        lanes = "".join(
            f'[[lane]]\nworkload = "{workload}"\n'
            f"chips = {[self.driver.uuid(gpu) for gpu in gpus]}\n"
            for workload, gpus in self.lanes.items()
        )
        tpm = "" if self._tpm is None else f'[tpm]\ntcti = "{self._tpm}"\n'
        self.config.write_text(
            f'state_dir = "{self.state}"\ndoor_path = "{self.door}"\n'
            f"courier_uids = [{os.getuid()}]\n"
            f'device_globs = ["{self.driver.device_dir}/nvidia[0-9]*"]\n'
            f"sample_interval_ms = 200\nreport_interval_ms = 1000\n"
            f"cgroup = {str(self._cgroups).lower()}\n{tpm}{lanes}",
            encoding="utf-8",
        )

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the gate's command and wait for nothing."""
        command = [sys.executable, "-m", "flopgate_agent.cli", "gate"]
        command += ["--config", str(self.config)]
        env = {**os.environ, **self.driver.env(), **self.env}
        if self.manager is not None:
            command, env = self.manager.command(command), env | self.manager.env()
        with self.log.open("ab") as log:
            self.gate = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                pass_fds=self.manager.pass_fds if self.manager else (),
            )
        return self.gate

    def start(self, mode: str = "grant") -> GateHost:
        """Start the gate, and a courier once the door opens and the core is up."""
        self.launch()
        until(self._is_up, lambda: f"the gate to come up: {self.logged()}")
        self.reach(mode)
        return self

    def reach(self, mode: str) -> None:
        """A courier comes to the door."""
        self._courier = Courier(self.door, self.authority)
        self._courier.mode = mode

    def watch(self) -> None:
        """Start the lock-down outside the gate."""
        command = [sys.executable, "-m", "flopgate_agent.cli", "lockdown"]
        command += ["--lease", str(lease_path(self.door))]
        command += ["--boot-lease", str(boot_lease_path(self.state))]
        env = {**os.environ, **self.driver.env()}
        with (self.folder / "lockdown.log").open("ab") as log:
            self.lockdown = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )

    def kill_lockdown(self) -> None:
        """Kill -9 of the lock-down."""
        if self.lockdown is not None:
            self.lockdown.kill()
            self.lockdown.wait(WAIT_S)
            self.lockdown = None

    def watched(self) -> str:
        """Everything that the lock-down said; empty before it was started."""
        log = self.folder / "lockdown.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def locked_down(self, pid: int) -> bool:
        """Whether the lock-down killed this process."""
        lines = [json.loads(line) for line in self.watched().splitlines()]
        return any(line["level"] == "error" and line.get("pid") == pid for line in lines)

    def _is_up(self) -> bool:
        return "gate is up" in self.logged()

    def kill_gate(self) -> None:
        """Kill -9."""
        self._end(signal.SIGKILL)

    def stop_gate(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.gate is None:
            return 0
        self.gate.send_signal(number)
        status = self.gate.wait(WAIT_S)
        self.gate = None
        self._leave()
        self.said = self.logged()
        with self.log.open("rb+") as log:
            log.truncate()
        return status

    def _leave(self) -> None:
        if self._courier is not None:
            self._courier.close()
            self._courier = None

    def logged(self) -> str:
        """Everything that this run of the gate said."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def state_of(self, workload: str) -> LaneState | None:
        """As the last snapshot of this enrolled host says; ``None`` before there is one."""
        snapshot = self.courier.snapshot
        for lane in snapshot.lanes:
            if lane.workload == workload and snapshot.host_state == "enrolled":
                return LaneState(lane.state)
        return None

    def reason(self, workload: str) -> str:
        """Why the lane stands, as the last snapshot says."""
        return next(
            (one.stop_reason for one in self.courier.snapshot.lanes if one.workload == workload),
            "",
        )

    def until_state(self, workload: str, state: LaneState) -> None:
        """Wait for a lane."""
        until(
            lambda: self.state_of(workload) is state,
            lambda: f"{workload} to be {state.name}; {self.logged()[-2000:]}",
        )

    def compute(self, gpu: int = 0, **options: Any) -> subprocess.Popen[bytes]:
        """A job that computes, on a lane that runs.

        Begun again, as a scheduler would, where the driver takes nobody at that moment: on a
        starved machine a renewal can come late, and the lane winds down meanwhile.
        """
        job = self.driver.start_workload(gpus=[gpu], **options)

        def computes() -> bool:
            nonlocal job
            if job.poll() == REFUSED:
                time.sleep(0.1)
                job = self.driver.start_workload(gpus=[gpu], **options)
            return bool(self.driver.running(gpu))

        until(computes, lambda: f"the job ({job.poll()}) to compute; {self.logged()[-2000:]}")
        return job

    def settle(self) -> None:
        """Wait for two more reports: of what is going on now the gate has looked at everything.

        One may be under way; the next one begins after this call.
        """
        newest = max(self.courier.snapshot.sequence, *self.courier.reports, 0)
        until(
            lambda: max(self.courier.reports, default=0) >= newest + 2,
            lambda: f"two reports after {newest}; {self.logged()[-2000:]}",
        )

    def last_math_ms(self, gpu: int) -> float:
        """Last instant of work on compute pipes, on the gate's clock."""
        boot_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        last_ms = self.driver.truth(gpu).last_math_ms
        return 0.0 if last_ms is None else last_ms + max(0.0, elapsed_ms() - boot_ms)
