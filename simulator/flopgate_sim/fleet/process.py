"""A process of the fleet: ``python -m flopgate_sim.fleet.process PLAN.json``.

Speaks JSON lines. Out: ``ready``; ``event`` for what cores tell; ``state`` once a second. In (on
standard input): ``stop``. Times are host elapsed milliseconds of this machine, so that events of
all processes compare.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from flopgate_agent.courier.channels import enroll_channel, link_channel
from flopgate_agent.gate.settings import GateToken
from flopgate_agent.gate_process.host import read_boot_id, read_clocks
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.v1.flopgate_pb2_grpc import RegistrationServiceStub
from flopgate_proto.values import Software
from flopgate_sim.fleet.host import HostPlan, SimulatedHost
from flopgate_sim.fleet.relay import Relay

TURN_S = 0.02
STATE_S = 0.5
KEEPALIVE_MS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What one process of the fleet runs; written as JSON by whoever starts it.

    ``workloads``: of each host; ``certificate``, ``key`` and ``ca`` are the relay's PEM files.
    """

    token: str
    certificate: str
    key: str
    ca: str
    ledger_dir: str
    first_host: int
    workloads: list[str]
    chips: int
    share_percent: int
    drain_ms: int
    sample_interval_ms: int


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
    )


def _say(kind: str, **fields: object) -> None:
    print(json.dumps({"kind": kind, **fields}), flush=True)


def _make_hosts(plan: FleetPlan, token: JoinToken) -> dict[bytes, SimulatedHost]:
    now = read_clocks()
    hosts = {}
    for offset, workload in enumerate(plan.workloads):
        name = f"sim{plan.first_host + offset:04d}"
        host = SimulatedHost(
            HostPlan(
                name=name,
                workload=workload,
                chips=plan.chips,
                share_percent=plan.share_percent,
                drain_ms=plan.drain_ms,
                sample_interval_ms=plan.sample_interval_ms,
                boot_id=read_boot_id(),
                software=Software(name="flopgate-sim", version="0", digest=bytes(32)),
            ),
            gate_token(token),
            Path(plan.ledger_dir) / f"{name}.sqlite",
            secrets.token_bytes,
            now,
        )
        hosts[host.host_id] = host
    return hosts


async def _enrol(hosts: dict[bytes, SimulatedHost], token: JoinToken) -> None:
    spki = SigningKey.generate().spki
    async with enroll_channel(token.enroll_address, ca_pem=token.tls_ca_pem.encode()) as channel:
        stub = RegistrationServiceStub(channel)
        for host in hosts.values():
            envelope = envelope_to_wire(host.enrolment(spki, read_clocks()))
            reply = await stub.Enroll(pb.EnrollRequest(enrolment=envelope), wait_for_ready=True)
            host.admitted(reply, read_clocks())


def _tell(hosts: dict[bytes, SimulatedHost]) -> None:
    for host in hosts.values():
        for at_ms, told in host.told:
            _say("event", host=host.plan.name, at_ms=at_ms, event=told.event, detail=told.detail)
        for error in host.errors:
            _say("refused", host=host.plan.name, code=error.code, detail=error.detail)
        host.told.clear()
        host.errors.clear()


def _state(host: SimulatedHost) -> dict[str, object]:
    core = host.core
    lane = core.lanes[host.plan.workload]
    (authority,) = core.authorities.values()
    permit = authority.permit
    return {
        "host_id": host.host_id.hex(),
        "state": host.state.name,
        "reason": lane.why.reason if lane.why else "",
        "sequence": core.chain.sequence,
        "acknowledged": authority.acknowledged_sequence,
        "last_work_ms": max((gpu.last_work_ms or 0 for gpu in host.gpus), default=0),
        "made_ms": permit.made_ms if permit else None,
        "lifetime_ms": permit.lifetime_ms if permit else None,
        "truth_tflop": sum(gpu.truth_flop for gpu in host.gpus) // 10**12,
        "measured_tflop": lane.book.measured.nominal // 10**12,
        "allotted_tflop": lane.book.allotted_tflop,
        "unaccounted_tflop": lane.book.unaccounted_tflop,
    }


async def _turn(hosts: dict[bytes, SimulatedHost]) -> None:
    next_state_s = 0.0
    loop = asyncio.get_running_loop()
    while True:
        for host in hosts.values():
            now = read_clocks()
            if now.elapsed_ms >= host.wake_ms():
                host.step(now)
        _tell(hosts)
        if loop.time() >= next_state_s:
            next_state_s = loop.time() + STATE_S
            _say("state", hosts={h.plan.name: _state(h) for h in hosts.values()})
        await asyncio.sleep(TURN_S)


async def _serve(plan: FleetPlan, open_channel: Callable[[str], grpc.aio.Channel]) -> None:
    token = JoinToken.parse(plan.token)
    hosts = _make_hosts(plan, token)
    turning = asyncio.create_task(_turn(hosts))
    await _enrol(hosts, token)
    relay = asyncio.create_task(Relay(hosts, lambda: open_channel(token.link_address)).run())
    _say("ready", hosts=[host.plan.name for host in hosts.values()])
    stopped = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    done, _ = await asyncio.wait({turning, relay, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (turning, relay):
        if task in done:
            task.result()
        task.cancel()


def main() -> int:
    """Run until standard input ends or says stop."""
    plan = FleetPlan(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    pems = {
        "ca_pem": Path(plan.ca).read_bytes(),
        "key_pem": Path(plan.key).read_bytes(),
        "chain_pem": Path(plan.certificate).read_bytes(),
    }
    asyncio.run(
        _serve(plan, lambda address: link_channel(address, **pems, keepalive_ms=KEEPALIVE_MS))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
