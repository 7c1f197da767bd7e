"""A process of the fleet: ``python -m flopgate_sim.fleet.process PLAN.json``.

Speaks JSON lines. Out: ``ready`` once every host is admitted; ``event`` for what cores tell;
``refused`` for what did not hold; ``state`` twice a second. In (on standard input): ``stop``. Times
are host elapsed milliseconds of this machine, so that events of all processes compare.

Killed and started again with the same plan, its hosts go on as after a crash of their gates: keys,
ledgers and certificates are still there, and their GPUs worked on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.courier.channels import enroll_channel, link_channel
from flopgate_agent.gate.settings import GateToken
from flopgate_agent.gate_process.host import load_or_make_key, read_clocks
from flopgate_agent.logs import log_json
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1.flopgate_pb2_grpc import RegistrationServiceStub
from flopgate_proto.values import Software
from flopgate_sim.fleet.couriers import KEEPALIVE_MS, Doors, make_carrier
from flopgate_sim.fleet.hardware import Hardware
from flopgate_sim.fleet.host import HostPlan, SimulatedHost, make_gpus
from flopgate_sim.fleet.relay import Relay

TURN_S = 0.02
STATE_S = 0.5
SHOW_MS = 1000
"""Couriers are told where their host stands, as the gate's process does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What one process of the fleet runs; written as JSON by whoever starts it.

    Attributes:
        directory: keys, ledgers and all else of its hosts.
        workloads: of each host.
        relay: directory with a relay's key and certificates, which then carries for all hosts;
            empty where each host has a courier.
        busy: whether jobs compute from the start; else they wait for the first permission.
    """

    token: str
    relay: str
    directory: str
    first_host: int
    workloads: list[str]
    chips: int
    share_percent: int
    drain_ms: int
    sample_interval_ms: int
    answer_timeout_ms: int
    busy: bool


def gate_token(token: JoinToken) -> GateToken:
    """The gate's half of a join token."""
    return GateToken(
        authority=token.authority,
        trust_root_digest=token.trust_root_digest,
        cluster=token.cluster,
        custodian=token.custodian,
        site=token.site,
        jurisdiction=token.jurisdiction,
        token_id=token.token_id,
        secret=token.secret,
        later_trust_roots=token.later_roots,
    )


def _say(kind: str, **fields: object) -> None:
    print(json.dumps({"kind": kind, **fields}), flush=True)


class Fleet:
    """Hosts of this process, and what carries for them."""

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan
        self._token = JoinToken.parse(plan.token)
        self._doors = Doors()
        self._hosts: dict[bytes, SimulatedHost] = {}
        self._carriers: list[Coroutine[None, None, None]] = []
        for offset, workload in enumerate(plan.workloads):
            self._add(f"sim{plan.first_host + offset:04d}", workload)

    def _add(self, name: str, workload: str) -> None:
        plan, now = self._plan, read_clocks()
        home = Path(plan.directory) / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        host_plan = HostPlan(
            name=name,
            workload=workload,
            chips=plan.chips,
            share_percent=plan.share_percent,
            drain_ms=plan.drain_ms,
            sample_interval_ms=plan.sample_interval_ms,
            boot_id=read_boot_id(),
            software=Software(name="flopgate-sim", version="0", digest=bytes(32)),
        )
        gpus = home / "gpus.json"
        door = None if plan.relay else self._doors.open(home / "gate.sock")
        host = SimulatedHost(
            host_plan,
            gate_token(self._token),
            home / "ledger.sqlite",
            secrets.token_bytes,
            now,
            key=load_or_make_key(home / "host-key.pem"),
            hardware=Hardware.found(gpus)
            or Hardware(make_gpus(host_plan, now.elapsed_ms, busy=plan.busy), gpus),
            door=door,
        )
        self._hosts[host.host_id] = host
        if door is not None:
            self._doors.attach(door, host)
            carrier = make_carrier(
                self._token,
                home / "courier",
                home / "gate.sock",
                answer_timeout_ms=plan.answer_timeout_ms,
            )
            self._carriers.append(carrier.run())

    async def serve(self) -> None:
        """Run until standard input ends or says stop."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), stop.set)
        self._doors.watch(loop)
        work = [self._turn(), *self._carriers]
        if self._plan.relay:
            work.append(self._relay(Path(self._plan.relay)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        next_state_s, next_show_ms, ready = 0.0, 0, False
        while True:
            for host in self._hosts.values():
                now = read_clocks()
                if now.elapsed_ms >= host.wake_ms():
                    host.step(now)
            _tell(self._hosts)
            if not ready and all(host.core.enrolled for host in self._hosts.values()):
                ready = True
                _say("ready", hosts=[host.plan.name for host in self._hosts.values()])
            if loop.time() >= next_state_s:
                next_state_s = loop.time() + STATE_S
                _say("state", hosts=[_state(host) for host in self._hosts.values()])
            if read_clocks().elapsed_ms >= next_show_ms:
                next_show_ms = read_clocks().elapsed_ms + SHOW_MS
                for host in self._hosts.values():
                    host.show()
            await asyncio.sleep(TURN_S)

    async def _relay(self, pems: Path) -> None:
        token = self._token
        spki = SigningKey.generate().spki
        async with enroll_channel(token.enroll_address, ca_pem=token.tls_ca_pem.encode()) as out:
            stub = RegistrationServiceStub(out)
            for host in self._hosts.values():
                envelope = envelope_to_wire(host.enrolment(spki, read_clocks()))
                reply = await stub.Enroll(pb.EnrollRequest(enrolment=envelope), wait_for_ready=True)
                host.admitted(reply, read_clocks())
        ca_pem, key_pem, chain_pem = (
            (pems / name).read_bytes() for name in ("ca.pem", "key.pem", "certificate.pem")
        )
        relay = Relay(
            self._hosts,
            lambda: link_channel(
                token.link_address,
                ca_pem=ca_pem,
                key_pem=key_pem,
                chain_pem=chain_pem,
                keepalive_ms=KEEPALIVE_MS,
            ),
        )
        await relay.run()


def _tell(hosts: Mapping[bytes, SimulatedHost]) -> None:
    for host in hosts.values():
        for at_ms, told in host.told:
            _say("event", host=host.plan.name, at_ms=at_ms, event=told.event, detail=told.detail)
        for error in host.errors:
            _say(
                "refused",
                host=host.plan.name,
                error=type(error).__name__,
                code=error.code,
                detail=error.detail,
            )
        host.told.clear()
        host.errors.clear()


def _state(host: SimulatedHost) -> dict[str, object]:
    core = host.core
    lane = core.lanes[host.plan.workload]
    (authority,) = core.authorities.values()
    permit = authority.permit
    return {
        "name": host.plan.name,
        "workload": host.plan.workload,
        "host_id": host.host_id.hex(),
        "state": host.state.name,
        "reason": lane.why.reason if lane.why else "",
        "sequence": core.chain.sequence,
        "acknowledged": authority.acknowledged_sequence,
        "last_work_ms": max((gpu.last_work_ms or 0 for gpu in host.gpus), default=0),
        "expires_ms": permit.made_ms + permit.lifetime_ms if permit else None,
        "truth_tflop": sum(gpu.truth_flop for gpu in host.gpus) // 10**12,
        "metered_tflop": lane.book.total.nominal // 10**12,
        "allotted_tflop": lane.book.allotted_tflop,
        "unaccounted_tflop": lane.book.unaccounted_tflop,
    }


def main() -> int:
    """Run until standard input ends or says stop."""
    log_json()
    plan = FleetPlan(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    asyncio.run(Fleet(plan).serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
