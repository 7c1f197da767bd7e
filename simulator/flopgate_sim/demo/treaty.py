"""A home and an international authority over the same hosts: the stage of the second act.

Each is the same program with officers, keys, store and policy of its own. A host computes only
while both let it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopgate_sim.demo.real_host import GPUS, RealHost
from flopgate_sim.live.cluster import Cluster
from flopgate_sim.live.governor import Governor, declared_flop_per_s
from flopgate_sim.live.hosts import HostView
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import LOOPBACK, free_ports, wait_until
from flopgate_sim.live.telling import Teller
from flopgate_sim.nvml import FakeDriver

HOME, WORLD = "home.example", "world.example"
WORKLOAD: Final = "training-run-7"
TIMES: Final = {
    "lifetime_ms": 14_000,
    "wind_down_ms": 1_000,
    "renew_after_ms": 2_000,
    "drain_ms": 1_000,
}
HOSTS: Final = ("honest0", "honest1", "two-faced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Treaty:
    """Two authorities and the hosts that joined both.

    Attributes:
        pinned: digest of the home authority's first trust root.
        work: for files.
        stack: owns what scenes start.
    """

    home: Governor
    world: Governor
    pinned: str
    honest: Sequence[RealHost]
    two_faced: RealHost
    work: Path
    stack: ExitStack
    teller: Teller

    @property
    def both(self) -> tuple[Governor, Governor]:
        """Home first."""
        return self.home, self.world

    @property
    def hosts(self) -> list[RealHost]:
        """All of them."""
        return [*self.honest, self.two_faced]

    def wait(self, what: str, *, runs: bool) -> list[HostView]:
        """Wait until every honest host runs, or stands still."""
        cluster = Cluster(self.honest)
        cluster.wait(what, lambda view: view.runs if runs else view.halted)
        return cluster.views()

    def explained(self, holds: Callable[[str], bool]) -> str:
        """What ``explain`` says on an honest host, once it is this."""
        told = ""

        def said() -> bool:
            nonlocal told
            told = self.honest[0].explain()
            return holds(told)

        wait_until("the gate to explain itself", said)
        return told

    def compared(self, *, anew: bool = True) -> list[dict[str, Any]]:
        """``heads compare``: the home authority's heads against the other's records.

        With ``anew`` the heads are of now, else those that were compared before.
        """
        out = self.work / "heads-of-home.json"
        if anew:
            out.unlink(missing_ok=True)
            self.home.cli("heads", "export", "--dir", str(self.home.directory), "--out", str(out))
        done = self.world.attempt(
            *("heads", "compare", str(out), "--dir", str(self.world.directory)),
            *("--trust-root", self.pinned, "--json"),
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def proof(self, host: str, sequence: int) -> str:
        """``heads prove``: what the two signed reports of one number say together."""
        files = []
        for governor in self.both:
            out = self.work / f"report-of-{governor.authority}.json"
            told = ("heads", "report", host, str(sequence), "--dir", str(governor.directory))
            governor.cli(*told, "--out", str(out))
            files.append(str(out))
        return self.home.cli("heads", "prove", *files).replace(f"{self.work}/", "")


def raise_curtain(root: Path, stack: ExitStack, teller: Teller) -> Treaty:
    """Found two authorities, and let three hosts join both."""
    teller.scene(
        "A treaty: a home and an international authority, and three hosts that joined both"
    )
    governors, tokens = [], []
    capacity = f"{declared_flop_per_s(len(HOSTS)):.4e}"
    for authority in (HOME, WORLD):
        work = root / authority.partition(".")[0]
        work.mkdir()
        listen = Addresses.on(LOOPBACK, free_ports(2))
        governor = Governor(work, TIMES, listen, authority=authority)
        governor.make()
        stack.callback(governor.stop)
        governor.start()
        governors.append(governor)
        tokens.append(listen.on_token(governor.token(len(HOSTS), capacity)))
    hosts = []
    for name in HOSTS:
        driver = FakeDriver(root / f"{name}-gpus", profile="H100", gpus=GPUS)
        driver.start()
        stack.callback(driver.stop)
        host = RealHost(root, name, WORKLOAD, driver, acts=True)
        stack.callback(host.stop)
        host.start(*tokens)
        hosts.append(host)
    for host in hosts:
        host.wait_until_enrolled()
    teller.say(f"{HOME} and {WORLD}: the same program, each with its own officers and store;")
    teller.say("real gates and couriers on the fake driver, one chain of reports for both.")
    home, world = governors
    *honest, two_faced = hosts
    return Treaty(
        home=home,
        world=world,
        pinned=tokens[0].trust_root_digest.hex(),
        honest=honest,
        two_faced=two_faced,
        work=root,
        stack=stack,
        teller=teller,
    )
