"""A real network within this machine: the governor and every rack in a namespace of its own.

    namespace of the governor                 namespace of rack N
    bridge `racks` 10.77.0.1/24 -- `rackN` ======= `uplink` 10.77.0.(10+N)/24

Nothing of it is seen outside: bridge, cables and filter tables live and end with the namespaces. A
cut takes `rackN` down; loss is a rule of nftables in the rack's namespace. Names carry the process
that made them, so that what a killed run left behind is recognised and removed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
    Trouble.UP: {"up": _DROP},
    Trouble.DOWN: {"down": _DROP},
    Trouble.LOSS: {"up": _DROP_SOME, "down": _DROP_SOME},
}


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
        for chain, rule in _RULES[trouble].items():
            self._nft(rack, f"add rule inet {TABLE} {chain} {rule}")

    def heal(self, rack: int) -> int:
        """Links up, rules gone: what TCP still holds in flight goes on. Packets that rules dropped.

        Raises:
            NamespaceError: the kernel refuses.
        """
        _ip("-n", self._names[0], "link", "set", f"rack{rack}", "up")
        rules = self._nft(rack, f"list table inet {TABLE}")
        self._nft(rack, f"flush table inet {TABLE}")
        return sum(map(int, _DROPPED.findall(rules)))

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
        hooks = (("up", "output"), ("down", "input"))
        self._nft(rack, f"add table inet {TABLE}")
        for chain, hook in hooks:
            self._nft(
                rack, f"add chain inet {TABLE} {chain} {{ type filter hook {hook} priority 0; }}"
            )

    def _nft(self, rack: int, rule: str) -> str:
        return _call([*self.prefix(rack), "nft", rule])


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
