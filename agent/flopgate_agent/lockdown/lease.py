"""The lease: a gate's terms, and how its lanes are reached. A file on a tmpfs, and a lock.

The file is replaced as a whole, so a gate that dies while it writes leaves the one before. A lock
is held by whoever may act upon processes, the gate or the lock-down; the kernel lets go of it when
its holder dies, however that came.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from flopgate_agent.enforcement.devices import DEFAULT_GLOBS
from flopgate_agent.enforcement.lanes import is_lane_id
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.gate.terms import LaneTerm, Terms
from flopgate_agent.private import PRIVATE_MODE
from flopgate_agent.replacing import replace_file
from flopgate_proto.limits import COUNT_MAX, LANES_MAX

ANY_BOOT: Final = "any"
EVERY_CHIP: Final = ("*",)
"""In the place of a lane's chips: all that the driver names."""
BYTES_MAX: Final = 4 * 1024 * 1024
_VERSION: Final = 1
_TEXT_MAX: Final = 4096
_TEXTS_MAX: Final = 4096


class LeaseError(Exception):
    """There is a lease, and it cannot be read or understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one lane is reached.

    Attributes:
        lane_id: of its records and its cgroup.
        globs: device nodes of its chips.
        chips: UUIDs.
    """

    workload: str
    lane_id: str
    globs: tuple[str, ...]
    chips: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a lock-down needs to know.

    Attributes:
        boot_id: hexadecimal; a lease of another boot is none.
        gate: the process that wrote it.
        records: folder in which enforcement keeps what it holds.
        cgroup_base, use_cgroups: as the gate freezes.
        device_filter, nodes: as the gate closes chips; nothing in a lease of an older gate.
    """

    boot_id: str
    gate: ProcessId
    terms: Terms
    records: str
    cgroup_base: str
    use_cgroups: bool
    reach: tuple[Reach, ...]
    device_filter: bool = False
    nodes: tuple[str, ...] = ()


def encode(lease: Lease) -> bytes:
    """As JSON."""
    return json.dumps({"version": _VERSION, **asdict(lease)}).encode()


def decode(data: bytes) -> Lease:
    """Parse a lease.

    Raises:
        LeaseError: it is malformed; never any other error.
    """
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise LeaseError(f"version {found['version']!r} is not {_VERSION}")
        terms = found["terms"]
        return Lease(
            boot_id=_text(found["boot_id"]),
            gate=ProcessId(
                pid=_count(found["gate"]["pid"]), start_ticks=_count(found["gate"]["start_ticks"])
            ),
            terms=Terms(
                renewed_ms=_count(terms["renewed_ms"]),
                silent_ms=_count(terms["silent_ms"]),
                lanes=tuple(_term(one) for one in _some(terms["lanes"], LANES_MAX)),
                running_ms=_count(terms.get("running_ms", 0)),
            ),
            records=_text(found["records"]),
            cgroup_base=_text(found["cgroup_base"]),
            use_cgroups=found["use_cgroups"] is True,
            reach=tuple(_reach(one) for one in _some(found["reach"], LANES_MAX)),
            device_filter=found.get("device_filter") is True,
            nodes=tuple(_text(one) for one in _some(found.get("nodes", []), _TEXTS_MAX)),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LeaseError(f"malformed: {error}") from error


def _term(found: Any) -> LaneTerm:
    return LaneTerm(
        workload=_text(found["workload"]),
        freeze_at_ms=_count(found["freeze_at_ms"]),
        kill_at_ms=_count(found["kill_at_ms"]),
        still=found["still"] is True,
    )


def _reach(found: Any) -> Reach:
    lane_id = _text(found["lane_id"])
    if not is_lane_id(lane_id):
        raise ValueError(f"no lane id: {lane_id!r}")
    return Reach(
        workload=_text(found["workload"]),
        lane_id=lane_id,
        globs=tuple(_text(one) for one in _some(found["globs"], _TEXTS_MAX)),
        chips=tuple(_text(one) for one in _some(found["chips"], _TEXTS_MAX)),
    )


def _text(found: Any) -> str:
    if isinstance(found, str) and 0 < len(found) <= _TEXT_MAX and "\0" not in found:
        return found
    raise ValueError(f"no text: {found!r:.80}")


def _count(found: Any) -> int:
    # `type` and not `isinstance`: JSON's true is no number.
    if type(found) is int and 0 <= found <= COUNT_MAX:
        return found
    raise ValueError(f"no count: {found!r:.80}")


def _some(found: Any, most: int) -> list[Any]:
    if isinstance(found, list) and len(found) <= most:
        return found
    raise ValueError(f"no list of at most {most}")


def lease_path(door_path: Path) -> Path:
    """Where the lease of the gate with this door lies; its lock lies beside it."""
    return door_path.with_suffix(".lease")


def boot_lease_path(state_dir: Path) -> Path:
    """Where it is written what a lock-down denies from a boot on until a gate is there."""
    return state_dir / "boot.lease"


def from_boot_on(lease: Lease) -> Lease:
    """The same reach with nothing permitted and nobody held, whatever the boot."""
    lanes = tuple(
        LaneTerm(workload=one.workload, freeze_at_ms=0, kill_at_ms=0, still=True)
        for one in lease.reach
    )
    gate = ProcessId(pid=0, start_ticks=0)
    terms = Terms(renewed_ms=0, running_ms=0, silent_ms=0, lanes=lanes)
    return replace(lease, boot_id=ANY_BOOT, gate=gate, terms=terms)


def of_unknown_lanes(state_dir: Path) -> Lease:
    """What is denied from a boot on where rules bit, and nobody can tell on which lanes.

    All of it, by what gates do where nothing else is configured. No lane of a gate has this name:
    what is held of those is left to the next gate.
    """
    everything = Reach(
        workload="unknown", lane_id="lockdown", globs=DEFAULT_GLOBS, chips=EVERY_CHIP
    )
    lease = Lease(
        boot_id=ANY_BOOT,
        gate=ProcessId(pid=0, start_ticks=0),
        terms=Terms(renewed_ms=0, running_ms=0, silent_ms=0, lanes=()),
        records=str(state_dir / "enforcement"),
        cgroup_base="flopgate-lockdown",
        use_cgroups=True,
        reach=(everything,),
        device_filter=True,
        nodes=DEFAULT_GLOBS,
    )
    return from_boot_on(lease)


def read_lease(path: Path, boot_id: str) -> Lease | None:
    """The lease of this boot, or `ANY_BOOT`; ``None`` where there is none.

    Raises:
        LeaseError: there is one that cannot be read or understood.
    """
    try:
        # A link that somebody else laid is not followed; nor does it wait where a pipe lies.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LeaseError(f"{error.strerror}") from error
    if len(data) > BYTES_MAX:
        raise LeaseError(f"more than {BYTES_MAX} bytes")
    lease = decode(data)
    return lease if lease.boot_id == boot_id else None


def write_lease(path: Path, lease: Lease, *, durable: bool = False) -> None:
    """Replace the lease; ``OSError`` where that cannot be done.

    ``durable``: it is on the disk when this returns (file, name).
    """
    replace_file(path, encode(lease), durable=durable)


def acting_lock(lease: Path) -> FileLock:
    """Held by whoever may act upon the lanes' processes."""
    return FileLock(lease.with_suffix(".lock"))


def watching_lock(lease: Path) -> FileLock:
    """Held by a lock-down as long as it lives."""
    return FileLock(lease.with_suffix(".watch"))


def is_watched(lease: Path) -> bool:
    """Whether a lock-down lives that would stop what is left without a gate."""
    lock = watching_lock(lease)
    try:
        # Shared: who asks at the same moment is no lock-down.
        return not lock.take(shared=True)
    finally:
        lock.close()


class FileLock:
    """A lock that ends with its holder. The file is made where there is none."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, PRIVATE_MODE)

    def take(self, *, shared: bool = False) -> bool:
        """Take it if nobody has it, or nobody but others who share it; whether it is held now."""
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go of it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of it for good."""
        os.close(self._fd)
