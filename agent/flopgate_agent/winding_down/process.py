"""Takes the gate's notices at a Unix socket, and runs a command for each user of a job.

What runs when the wind-down ends is killed, with its process group: the job is frozen then.
"""

from __future__ import annotations

import logging
import os
import pwd
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from flopgate_agent.logs import FIELDS
from flopgate_agent.winding_down.event import BYTES_MAX, EventError, WindDown, by_user, parse
from flopgate_proto.errors import ConfigError

COMMANDS_MAX: Final = 64
"""At work at once; more are left out, and logged."""
LOOK_S, IDLE_S = 0.1, 1.0
"""Between two looks at commands at work; how long a signal may wait where there is none."""
_LOG: Final = logging.getLogger("flopgate.winding-down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A command at work."""

    event: WindDown
    uid: int
    process: subprocess.Popen[bytes]


class Commands:
    """The commands at work, one for each lane and user.

    Args:
        command: program and arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._running: list[Running] = []

    @property
    def running(self) -> tuple[Running, ...]:
        """Those at work, oldest first."""
        return tuple(self._running)

    @property
    def idle(self) -> bool:
        """Whether none is at work."""
        return not self._running

    def begin(self, event: WindDown) -> None:
        """Run it for each user who has a process on the lane's chips."""
        users = by_user(event, _owner_of)
        if not users:
            _LOG.warning("nobody to tell", extra={FIELDS: {"workload": event.workload}})
        for uid, pids in users.items():
            if any((one.event.workload, one.uid) == (event.workload, uid) for one in self._running):
                continue
            if len(self._running) >= COMMANDS_MAX:
                _LOG.error("more than %d commands at once", COMMANDS_MAX)
                return
            self._start(event, uid, pids)

    def turn(self) -> None:
        """Kill those whose time is over; forget those that are done."""
        now_ms = boottime_ms()
        for one in tuple(self._running):
            status = one.process.poll()
            if status is None and now_ms < one.event.deadline_ms:
                continue
            if status is None:
                # Waited for by later turns: whom another process traces, nobody else sees end.
                _kill(one.process)
                continue
            fields = {"workload": one.event.workload, "uid": one.uid, "status": status}
            level = logging.WARNING if status else logging.INFO
            _LOG.log(level, "the command has ended", extra={FIELDS: fields})
            self._running.remove(one)

    def close(self) -> None:
        """Whoever is at work goes on: their time is not over."""
        self._running = []

    def _start(self, event: WindDown, uid: int, pids: tuple[int, ...]) -> None:
        fields = {"workload": event.workload, "uid": uid, "pids": pids}
        try:
            process = self._spawn(event, uid, pids)
        except (OSError, subprocess.SubprocessError) as error:
            _LOG.error("cannot run the command: %s", error, extra={FIELDS: fields})
            return
        _LOG.info("the command runs", extra={FIELDS: fields})
        self._running.append(Running(event=event, uid=uid, process=process))

    def _spawn(self, event: WindDown, uid: int, pids: tuple[int, ...]) -> subprocess.Popen[bytes]:
        name, home, gid, groups = _account(uid, pids[0])
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "USER": name,
            **event.environment(pids, boottime_ms()),
        }
        # To become oneself needs no right, to become anybody else needs root.
        other = uid != os.geteuid()
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            env=env,
            cwd="/",
            user=uid if other else None,
            group=gid if other else None,
            extra_groups=groups if other else None,
            start_new_session=True,
        )


def boottime_ms() -> int:
    """The clock of notices."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def run(path: Path, command: Sequence[str]) -> int:
    """Serve until a signal says stop; exit status.

    Raises:
        ConfigError: there can be no socket at this path.
    """
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    commands = Commands(command)
    with _bound(path) as sock:
        while not stopping:
            sock.settimeout(IDLE_S if commands.idle else LOOK_S)
            with suppress(TimeoutError):
                _take(sock.recv(BYTES_MAX), commands)
            commands.turn()
        commands.close()
    path.unlink(missing_ok=True)
    return 0


def _take(data: bytes, commands: Commands) -> None:
    try:
        event = parse(data)
    except EventError as error:
        _LOG.warning("no notice: %s", error)
        return
    if event is not None:
        commands.begin(event)


def _bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        # Root and the user of this service may tell it something, nobody else.
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot make the socket {path}: {error.strerror}",
            code="winding-down.socket",
            remedy="Name a path in a folder that is there and that this user may write to.",
        ) from error
    return sock


def _owner_of(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
    except OSError:
        return None


def _account(uid: int, pid: int) -> tuple[str, str, int, list[int]]:
    """Name, home, group and all groups; of a user whom only a container knows, its process's."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        gid = os.stat(f"/proc/{pid}").st_gid  # noqa: PTH116
        return str(uid), "/", gid, [gid]
    return user.pw_name, user.pw_dir, user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # It leads a session of its own, and what it started is in its group unless it left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
