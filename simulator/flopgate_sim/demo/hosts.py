"""What the demonstration knows of its hosts, real and simulated alike: the hardware's own truth."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flopgate_proto.joining import JoinToken
from flopgate_sim.demo.processes import Child
from flopgate_sim.fleet.process import FleetPlan


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


class FleetProcess:
    """One process of simulated hosts, and the last it said of each."""

    def __init__(
        self,
        directory: Path,
        token: JoinToken,
        relay: Path,
        *,
        first_host: int,
        workloads: Sequence[str],
        chips: int,
    ) -> None:
        self.workloads = list(workloads)
        ledgers = directory / f"fleet-{first_host}"
        ledgers.mkdir()
        plan = FleetPlan(
            token=token.text(),
            certificate=str(relay / "certificate.pem"),
            key=str(relay / "key.pem"),
            ca=str(relay / "ca.pem"),
            ledger_dir=str(ledgers),
            first_host=first_host,
            workloads=self.workloads,
            chips=chips,
            share_percent=50,
            drain_ms=50,
            sample_interval_ms=1000,
        )
        path = directory / f"fleet-{first_host}.json"
        path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
        log = directory / f"fleet-{first_host}.log"
        self.child = Child("flopgate_sim.fleet.process", [str(path)], log, talks=True)
        self.ready = False
        self.refused: list[str] = []
        self._first = first_host
        self._states: dict[str, dict[str, Any]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.child.lines:
            said = json.loads(line)
            if said["kind"] == "ready":
                self.ready = True
            elif said["kind"] == "state":
                self._states = said["hosts"]
            elif said["kind"] == "refused":
                self.refused.append(f"{said['host']}: {said['code']}: {said['detail']}")

    def views(self) -> list[HostView]:
        """Every host as it was last told, half a second ago at most."""
        workload_of = {
            f"sim{self._first + offset:04d}": workload
            for offset, workload in enumerate(self.workloads)
        }
        return [
            HostView(
                name=name,
                workload=workload_of[name],
                state=state["state"],
                reason=state["reason"],
                last_work_ms=state["last_work_ms"],
                expires_ms=state["made_ms"] + state["lifetime_ms"]
                if state["made_ms"] is not None
                else None,
                sequence=state["sequence"],
                acknowledged=state["acknowledged"],
                truth_tflop=state["truth_tflop"],
                metered_tflop=state["measured_tflop"],
                allotted_tflop=state["allotted_tflop"],
                unaccounted_tflop=state["unaccounted_tflop"],
                host_id=state["host_id"],
            )
            for name, state in self._states.items()
        ]
