"""What a rehearsal knows of its hosts, real and simulated alike: the hardware's own truth."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flopgate_proto.joining import JoinToken
from flopgate_sim.fleet.process import FleetPlan
from flopgate_sim.live.processes import Child, undisturbed

HOSTS_MAX = 512
"""Of one rehearsal on one machine. Renewed every 3 s they ask 171 times a second; a governor and
two processes of 255 hosts got through about 160 on four tenths of a slow core, with 0.6 GB."""
CHIPS = 8
SHARE_PERCENT = 50
DRAIN_MS = 50
SAMPLE_INTERVAL_MS = 1000
ANSWER_TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One host at one moment.

    Attributes:
        state: of its lane, as the gate tells it.
        last_work_ms: host time of the last instant in which a kernel ran, by the hardware.
        expires_ms: end of the lifetime of the permit held last, where it is known.
        truth_tflop, metered_tflop: executed by the hardware; counted by the gate.
    """

    name: str
    workload: str
    state: str
    reason: str
    last_work_ms: int
    expires_ms: int | None
    sequence: int
    acknowledged: int
    truth_tflop: int
    metered_tflop: int
    allotted_tflop: int
    unaccounted_tflop: int
    host_id: str

    @property
    def runs(self) -> bool:
        """Whether its gate lets the job run."""
        return self.state in {"RUNNING", "EXEMPT", "WINDING_DOWN"}

    @property
    def halted(self) -> bool:
        """Whether its gate has verified that it stands still."""
        return self.state == "HALTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What a gate did not believe; ``error`` is the class of the error."""

    host: str
    error: str
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.host}: {self.code}: {self.detail}"


class FleetProcess:
    """One process of simulated hosts, and the last it said of each.

    Args:
        directory: for its files.
        token: with the addresses under which this process reaches the governor.
        first_host: number of its first host.
        workloads: of each host.
        relay: directory of a relay's key and certificates; a courier for each host without it.
        busy: whether jobs compute before anything was permitted.
        prefix: see ``Child``.
    """

    def __init__(
        self,
        directory: Path,
        token: JoinToken,
        *,
        first_host: int,
        workloads: Sequence[str],
        relay: Path | None = None,
        busy: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        self.workloads = list(workloads)
        self.name = f"fleet-{first_host}"
        self._directory = directory
        self._prefix = prefix
        plan = FleetPlan(
            token=token.text(),
            relay="" if relay is None else str(relay),
            directory=str(directory / self.name),
            first_host=first_host,
            workloads=self.workloads,
            chips=CHIPS,
            share_percent=SHARE_PERCENT,
            drain_ms=DRAIN_MS,
            sample_interval_ms=SAMPLE_INTERVAL_MS,
            answer_timeout_ms=ANSWER_TIMEOUT_MS,
            busy=busy,
        )
        self._plan = directory / f"{self.name}.json"
        self._plan.write_text(json.dumps(asdict(plan)), encoding="utf-8")
        self.refused: list[Refused] = []
        self._views: list[HostView] = []
        self.ready = False
        self._child, self._listener = self._start()

    @property
    def size(self) -> int:
        """Hosts of this process."""
        return len(self.workloads)

    def _start(self) -> tuple[Child, threading.Thread]:
        child = Child(
            "flopgate_sim.fleet.process",
            [str(self._plan)],
            self._directory / f"{self.name}.log",
            talks=True,
            prefix=self._prefix,
        )
        listener = threading.Thread(target=self._listen, args=(child,), daemon=True)
        listener.start()
        return child, listener

    def _listen(self, child: Child) -> None:
        for line in child.lines:
            if not line.endswith(b"\n"):  # killed in mid-word
                return
            said = json.loads(line)
            match said.pop("kind"):
                case "ready":
                    self.ready = True
                case "state":
                    self._views = [HostView(**state) for state in said["hosts"]]
                case "refused":
                    self.refused.append(Refused(**said))

    def kill(self) -> None:
        """``kill -9`` of gates and couriers; nothing is known of the hosts until they are back."""
        self._child.kill()
        self.stop()
        self.ready = False
        self._views = []

    def restart(self) -> None:
        """Start again what was killed, on what it left."""
        with undisturbed():
            self._child, self._listener = self._start()

    def views(self) -> list[HostView]:
        """Every host as it was last told, half a second ago at most; none after ``kill``."""
        return list(self._views)

    def check(self) -> None:
        """Raise if the process has ended by itself.

        Raises:
            RehearsalError: with the end of its log.
        """
        self._child.check()

    def stop(self) -> None:
        """End the process."""
        self._child.end()
        self._listener.join()
        self._child.stop()
