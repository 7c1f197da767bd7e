"""cgroup v2: the mount, the lanes' own cgroups, freeze and kill.

Lane cgroups live at ``<mount>/<base>/<lane>``, at the root of the hierarchy and not below the
gate's own unit: stopping or upgrading the gate must neither kill nor release what it froze.
Source: ``Documentation/admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from flopgate_agent.enforcement.processes import read_bytes

_OCTAL = re.compile(r"\\([0-7]{3})")
_MIN_MOUNT_FIELDS = 5


def find_mount(mountinfo: str) -> str | None:
    """Mount point of the whole cgroup v2 hierarchy in a ``mountinfo`` text, if there is one.

    Handles the unified layout (``/sys/fs/cgroup``) and the hybrid one (``.../unified``).
    """
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < _MIN_MOUNT_FIELDS or right.split(" ")[0] != "cgroup2":
            continue
        # A bind mount of a part would resolve the paths of /proc/<pid>/cgroup wrongly.
        if fields[3] == "/":
            return _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
    return None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One directory of the hierarchy. Methods that write raise ``OSError`` as the kernel does.

    Attributes:
        path: absolute path of the directory.
    """

    path: str

    def exists(self) -> bool:
        """Whether the directory is there."""
        return os.path.isdir(self.path)  # noqa: PTH112

    def create(self) -> None:
        """Make it and the folder above it; fine when they exist."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)  # noqa: PTH103

    def remove(self) -> bool:
        """Remove it if empty; whether it is gone now."""
        try:
            os.rmdir(self.path)  # noqa: PTH106
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def pids(self) -> tuple[int, ...]:
        """Processes in it, sub-cgroups excluded; 0 stands for one of a hidden pid namespace."""
        data = read_bytes(f"{self.path}/cgroup.procs")
        return () if data is None else tuple(int(pid) for pid in data.split())

    def is_leaf(self) -> bool:
        """Whether it has no sub-cgroup; unreadable counts as ``False``."""
        try:
            with os.scandir(self.path) as entries:
                return not any(entry.is_dir(follow_symlinks=False) for entry in entries)
        except OSError:
            return False

    def add(self, pid: int) -> None:
        """Move a process, with all its threads, into it."""
        _write(f"{self.path}/cgroup.procs", str(pid))

    def set_frozen(self, *, frozen: bool) -> None:
        """Ask the kernel to freeze or thaw; ``frozen()`` tells when it came true."""
        _write(f"{self.path}/cgroup.freeze", "1" if frozen else "0")

    def freeze_asked(self) -> bool:
        """Whether ``cgroup.freeze`` is set here."""
        return (read_bytes(f"{self.path}/cgroup.freeze") or b"").strip() == b"1"

    def frozen(self) -> bool:
        """Whether everything in it stands still, as the kernel says."""
        events = read_bytes(f"{self.path}/cgroup.events") or b""
        return b"frozen 1" in events.splitlines()

    def can_kill(self) -> bool:
        """Whether ``cgroup.kill`` exists here (not at the root, nor before Linux 5.14)."""
        return os.path.exists(f"{self.path}/cgroup.kill")  # noqa: PTH110

    def kill(self) -> None:
        """SIGKILL everything in it at once, forks included, frozen or not."""
        _write(f"{self.path}/cgroup.kill", "1")


class Hierarchy:
    """The cgroup v2 hierarchy and this gate's corner of it."""

    def __init__(self, mount: str, base: str) -> None:
        """``mount``: mount point; ``base``: name of the folder for the lanes, at its root."""
        self.mount = mount
        self.base = Cgroup(f"{mount}/{base}")

    def lane(self, lane_id: str) -> Cgroup:
        """The lane's own cgroup, made or not."""
        return Cgroup(f"{self.base.path}/{lane_id}")

    def at(self, path: str) -> Cgroup:
        """The cgroup for a path as ``/proc/<pid>/cgroup`` gives it."""
        return Cgroup(self.mount + path.rstrip("/"))

    def owns(self, path: str) -> bool:
        """Whether a path as in ``at`` lies in this gate's corner."""
        return f"{self.at(path).path}/".startswith(f"{self.base.path}/")

    def lane_ids(self) -> tuple[str, ...]:
        """Lanes that have a cgroup of their own now."""
        try:
            with os.scandir(self.base.path) as entries:
                found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return ()
        return tuple(sorted(found))

    def tidy(self) -> bool:
        """Remove lanes' cgroups that nobody is in, then the folder; whether it is gone."""
        for lane_id in self.lane_ids():
            self.lane(lane_id).remove()
        return self.base.remove()


def probe(hierarchy: Hierarchy) -> str | None:
    """Try freezing for real in a throw-away cgroup; the reason why it does not work, if so."""
    trial = hierarchy.lane(f".probe-{os.getpid()}")
    try:
        trial.create()
        trial.set_frozen(frozen=True)
        if not trial.frozen():
            return "cgroup.freeze was written but cgroup.events does not read 'frozen 1'"
        trial.set_frozen(frozen=False)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "error")
        return f"{name} on {error.filename or trial.path}: is /sys/fs/cgroup writable for the gate?"
    finally:
        trial.remove()
    return None
