"""What is held of each lane, written down so that a restarted gate can let it go.

One file a lane in a directory that should lie on ``/run``: like cgroups and stopped processes
it then dies with the boot; a file of another boot is ignored in any case. Written before each
act; no fsync, for power loss also ends what is written about.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.replacing import replace_file

_LANE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX = ".lane.json"
_PATH = re.compile(r"/[^\0\n]*")
_VERSION = 1
_MAX_PID = 2**22  # include/linux/threads.h, PID_MAX_LIMIT
_MAX_BYTES = 16 * 1024 * 1024


class JournalError(Exception):
    """A record of this boot exists and cannot be understood."""


@dataclass(slots=True, kw_only=True)
class LaneRecord:
    """What is held of a lane. The one mutable value here; owned by the enforcer.

    Attributes:
        lane_id: the lane.
        held: all processes taken so far that may still live.
        origins: for processes moved into the lane's own cgroup, the path they came from.
        in_place: paths of job cgroups frozen where they are; whether somebody else had
            frozen them before, so that thawing is not ours to do.
        stopped: processes sent SIGSTOP; whether they stood stopped before, likewise.
    """

    lane_id: str
    held: set[ProcessId] = field(default_factory=set)
    origins: dict[ProcessId, str] = field(default_factory=dict)
    in_place: dict[str, bool] = field(default_factory=dict)
    stopped: dict[ProcessId, bool] = field(default_factory=dict)

    def prune(self, living: frozenset[ProcessId]) -> None:
        """Forget processes that are gone; origins stay, for their orphans inherit them."""
        self.held &= living
        self.stopped = {who: was for who, was in self.stopped.items() if who in living}


def check_lane_id(lane_id: str) -> str:
    """Return ``lane_id``; it names a file and a cgroup.

    Raises:
        ValueError: it is not 1 to 64 letters, digits, ``-`` or ``_``.
    """
    if not _LANE_ID.fullmatch(lane_id):
        msg = f"lane id {lane_id!r} must be 1 to 64 of A-Z a-z 0-9 - _"
        raise ValueError(msg)
    return lane_id


def is_lane_id(name: str) -> bool:
    """Whether ``name`` could be a lane's."""
    return _LANE_ID.fullmatch(name) is not None


def encode(lane: LaneRecord, boot_id: str) -> bytes:
    """The record as JSON, in a stable order."""
    document = {
        "version": _VERSION,
        "boot_id": boot_id,
        "held": [[w.pid, w.start_ticks] for w in sorted(lane.held)],
        "origins": [[w.pid, w.start_ticks, path] for w, path in sorted(lane.origins.items())],
        "in_place": [[path, was] for path, was in sorted(lane.in_place.items())],
        "stopped": [[w.pid, w.start_ticks, was] for w, was in sorted(lane.stopped.items())],
    }
    return json.dumps(document).encode()


def decode(data: bytes, lane_id: str, boot_id: str) -> LaneRecord | None:
    """Parse a record; ``None`` when it is of another boot.

    Raises:
        JournalError: it is malformed; never any other error.
    """
    try:
        document = json.loads(data)
        if document["boot_id"] != boot_id:
            return None
        if document["version"] != _VERSION:
            msg = f"version {document['version']!r} is not {_VERSION}"
            raise JournalError(msg)
        return LaneRecord(
            lane_id=lane_id,
            held={_who(pid, start) for pid, start in document["held"]},
            origins={_who(pid, start): _path(path) for pid, start, path in document["origins"]},
            in_place={_path(path): was is True for path, was in document["in_place"]},
            stopped={_who(pid, start): was is True for pid, start, was in document["stopped"]},
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"malformed record: {error}"
        raise JournalError(msg) from error


def _who(pid: object, start: object) -> ProcessId:
    # `type` and not `isinstance`: JSON's true is no pid.
    if type(pid) is int and type(start) is int and 1 <= pid <= _MAX_PID and start >= 0:
        return ProcessId(pid=pid, start_ticks=start)
    msg = f"not a process: {pid!r} {start!r}"
    raise ValueError(msg)


def _path(path: object) -> str:
    if not isinstance(path, str) or not _PATH.fullmatch(path) or ".." in path.split("/"):
        msg = f"not a cgroup path: {path!r}"
        raise ValueError(msg)
    return path


class Journal:
    """The directory with one record a lane, and the notices to workloads."""

    def __init__(self, folder: Path, boot_id: str, notices: Path | None = None) -> None:
        """Folders are made at the first write.

        Args:
            folder: of the records.
            boot_id: names this boot.
            notices: of the notices; ``None``: beside the records.
        """
        self._folder = folder
        self._boot_id = boot_id
        self._notices = folder if notices is None else notices
        self._written: dict[str, bytes] = {}

    def save(self, lane: LaneRecord) -> None:
        """Write the record if it changed; ``OSError`` where it cannot be written."""
        data = encode(lane, self._boot_id)
        if self._written.get(lane.lane_id) != data:
            self._replace(self._folder / f"{lane.lane_id}{_SUFFIX}", data, mode=0o600)
            self._written[lane.lane_id] = data

    def load(self, lane_id: str) -> LaneRecord | None:
        """The record of this boot, ``None`` when there is none.

        Raises:
            JournalError: there is one and it cannot be read or understood.
        """
        path = self._folder / f"{lane_id}{_SUFFIX}"
        try:
            if path.stat().st_size > _MAX_BYTES:
                msg = f"{path} is larger than {_MAX_BYTES} bytes"
                raise JournalError(msg)
            return decode(path.read_bytes(), lane_id, self._boot_id)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            msg = f"cannot read {path}: {error.strerror}"
            raise JournalError(msg) from error

    def has(self, lane_id: str) -> bool:
        """Whether there is a record, of whatever boot."""
        return (self._folder / f"{lane_id}{_SUFFIX}").exists()

    def forget(self, lane_id: str) -> None:
        """Remove record and notice; a file that cannot be removed names no living process."""
        self._written.pop(lane_id, None)
        for path in (self._folder / f"{lane_id}{_SUFFIX}", self.notice_path(lane_id)):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue

    def lane_ids(self) -> tuple[str, ...]:
        """Lanes with a record, of whatever boot."""
        names = [path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}")]
        return tuple(sorted(name for name in names if is_lane_id(name)))

    def notice_path(self, lane_id: str) -> Path:
        """Where a workload may read how long it has."""
        return self._notices / f"{lane_id}.notice.json"

    def write_notice(self, lane_id: str, deadline_boottime_ms: int) -> None:
        """Tell workloads until when (CLOCK_BOOTTIME) they run; readable by everyone."""
        data = json.dumps({"lane_id": lane_id, "deadline_boottime_ms": deadline_boottime_ms})
        self._replace(self.notice_path(lane_id), data.encode(), mode=0o644)

    def _replace(self, path: Path, data: bytes, *, mode: int) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(path, data, mode=mode)
