"""A real network within this machine: the governor and every rack in a namespace of its own.

    namespace of the governor                 namespace of rack N
    bridge `racks` 10.77.0.1/24 -- `rackN` ======= `uplink` 10.77.0.(10+N)/24

Nothing of it is seen outside: bridge, cables and filter tables live and end with the namespaces. A
cut takes `rackN` down. Loss is a rule of nftables where packets come in, so that their sender is
not told: in the governor's namespace for what a rack sends, in the rack's for what it is sent.
Names carry the process that made them: what a killed run left behind is recognised and removed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flopgate_proto.errors import EnvironmentFault
from flopgate_sim.live.network import LOSS_PERCENT, Addresses, Trouble

PREFIX = "flopgate-live"
TABLE = "flopgate"
PORTS = (7440, 7441)
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-(?:governor|rack\d+)")
_ADDRESS = "10.77.0.{}"
_FIRST_RACK = 10
_START_TICKS_AT = 19
"""Of ``/proc/PID/stat``, counted behind the command's closing bracket (proc(5), field 22)."""
_DROP = "counter drop"
_DROP_SOME = f"numgen random mod 100 < {LOSS_PERCENT} counter drop"
_DROPPED = re.compile(r"counter packets (\d+)")
_RULES = {
    Trouble.UP: (_DROP, None),
    Trouble.DOWN: (None, _DROP),
    Trouble.LOSS: (_DROP_SOME, _DROP_SOME),
}
"""What a rack sends, and what it is sent."""


class NamespaceError(EnvironmentFault):
    """This machine cannot make network namespaces, or filter packets in them."""

    default_code = "sim.network.namespaces"


class Namespaces:
    """See the module.

    Raises:
        NamespaceError: no root, a tool is missing, or the kernel refuses; nothing is left behind.
    """

    words = "network namespaces: links that go down, packets that nftables drops"
    troubles = frozenset(Trouble)

    def __init__(self, racks: int) -> None:
        lacking = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
        if os.geteuid() or lacking:
            why = f"{' and '.join(lacking)} not found" if lacking else "needs root"
            raise NamespaceError(why, remedy="Install iproute2 and nftables, and run as root.")
        remove_stale()
        self._run = f"{PREFIX}-{os.getpid()}-{_start_ticks(os.getpid())}"
        self._names = [f"{self._run}-governor", *map(self._rack, range(racks))]
        try:
            self._make_bridge()
            for rack in range(racks):
                self._make_rack(rack)
        except BaseException:  # an interrupt, too, leaves nothing behind
            self.close()
            raise

    @property
    def governor(self) -> Addresses:
        """On the bridge."""
        return Addresses.on(_ADDRESS.format(1), PORTS)

    @property
    def governor_prefix(self) -> Sequence[str]:
        """Into the governor's namespace."""
        return ("ip", "netns", "exec", self._names[0])

    def reached(self, rack: int) -> Addresses:
        """The same for every rack."""
        del rack
        return self.governor

    def prefix(self, rack: int) -> Sequence[str]:
        """Into the rack's namespace."""
        return ("ip", "netns", "exec", self._rack(rack))

    def trouble(self, rack: int, trouble: Trouble) -> None:
        """Holds when this returns.

        Raises:
            NamespaceError: the kernel refuses.
        """
        if trouble is Trouble.CUT:
            _ip("-n", self._names[0], "link", "set", f"rack{rack}", "down")
            return
        for chain, rule in zip(self._chains(rack), _RULES[trouble], strict=True):
            if rule is not None:
                chain.call("add rule", f"{chain.match}{rule}")

    def heal(self, rack: int) -> int:
        """Links up, rules gone: what TCP still holds in flight goes on. Packets that rules dropped.

        Raises:
            NamespaceError: the kernel refuses.
        """
        _ip("-n", self._names[0], "link", "set", f"rack{rack}", "up")
        dropped = 0
        for chain in self._chains(rack):
            dropped += sum(map(int, _DROPPED.findall(chain.call("list chain"))))
            chain.call("flush chain")
        return dropped

    def close(self) -> None:
        """Remove the namespaces, and all that is in them."""
        for name in self._names:
            with suppress(NamespaceError):
                _ip("netns", "delete", name)

    def _rack(self, rack: int) -> str:
        return f"{self._run}-rack{rack}"

    def _make_bridge(self) -> None:
        name = self._names[0]
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "add", "racks", "type", "bridge")
        _ip("-n", name, "addr", "add", f"{_ADDRESS.format(1)}/24", "dev", "racks")
        _ip("-n", name, "link", "set", "racks", "up")

    def _make_rack(self, rack: int) -> None:
        governor, name, cable = self._names[0], self._rack(rack), f"rack{rack}"
        address = _ADDRESS.format(_FIRST_RACK + rack)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", "uplink", "netns", name)
        _ip("-n", governor, "link", "add", cable, "type", "veth", *peer)
        _ip("-n", governor, "link", "set", cable, "master", "racks", "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "uplink")
        _ip("-n", name, "link", "set", "uplink", "up")
        for chain in self._chains(rack):
            _call([*chain.prefix, "nft", f"add table inet {TABLE}"])
            chain.call("add chain", "{ type filter hook input priority 0; }")

    def _chains(self, rack: int) -> tuple[_Chain, _Chain]:
        address = _ADDRESS.format(_FIRST_RACK + rack)
        sent = _Chain(self.governor_prefix, f"rack{rack}", f"ip saddr {address} ")
        return sent, _Chain(self.prefix(rack), "uplink")


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain of nftables: where it is, and which packets it is about."""

    prefix: Sequence[str]
    name: str
    match: str = ""

    def call(self, command: str, rest: str = "") -> str:
        """Run a command on it; what it printed."""
        return _call([*self.prefix, "nft", f"{command} inet {TABLE} {self.name} {rest}"])


def remove_stale() -> list[str]:
    """Remove what runs left behind that did not end in order; the names.

    Processes that still run in such a namespace are its own, and are killed.

    Raises:
        NamespaceError: ``ip`` fails.
    """
    stale = list(_stale())
    for name in stale:
        for pid in _ip("netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _ip("netns", "delete", name)
    return stale


def _stale() -> Iterator[str]:
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0] if line.split() else ""
        made = _NAME.fullmatch(name)
        if made and _start_ticks(int(made[1])) != int(made[2]):
            yield name


def _start_ticks(pid: int) -> int | None:
    """When a process started: its id alone comes round again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_START_TICKS_AT])


def _ip(*arguments: str) -> str:
    return _call(["ip", *arguments])


def _call(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise NamespaceError(
            f"{' '.join(command)}: {done.stderr.strip()}",
            remedy="Run with --network forwarder where the kernel has no network namespaces.",
        )
    return done.stdout
