"""What the gate says of its host to everybody on it: one JSON file on a tmpfs, anew each second.

A job's prolog reads it before each job: nothing here imports what takes long to load.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, Final

from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_proto.errors import EnvironmentFault

DEFAULT_PATH: Final = "/run/flopgate/gate.status"
VERSION: Final = 1
STALE_MS: Final = 10_000
"""A gate renews it each second; one that has not for so long is gone or stuck."""
BYTES_MAX: Final = 4 * 1024 * 1024
_REMEDY: Final = (
    "Start the gate, or see its log for why it does not come up. Where it writes elsewhere, name "
    "its file."
)

Status = dict[str, Any]
"""Fields of `Snapshot` in flopgate.proto, with ``version``, ``boot_id`` and ``written_ms``."""


def add_file_argument(parser: ArgumentParser) -> None:
    """Where the status lies."""
    parser.add_argument(
        "--file",
        default=DEFAULT_PATH,
        metavar="FILE",
        help=f"the gate's status: its door_path with the suffix .status ({DEFAULT_PATH})",
    )


def read_status(path: str = DEFAULT_PATH) -> Status:
    """What the gate says now.

    Raises:
        EnvironmentFault: there is no such file, it cannot be read, is of another version, or no
            living gate keeps it up.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to load
            status: Status = json.loads(file.read(BYTES_MAX))
        if status["version"] != VERSION:
            raise EnvironmentFault(
                f"{path} is of version {status['version']}, this command reads {VERSION}",
                code="status.version",
                remedy="Use the command of the gate's own installation.",
            )
        age_ms = elapsed_ms() - int(status["written_ms"])
        same_boot = status["boot_id"] == read_boot_id().hex()
    except OSError as error:
        raise EnvironmentFault(
            f"cannot read what the gate writes, {path}: {error.strerror}",
            code="status.none",
            remedy=_REMEDY,
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EnvironmentFault(
            f"{path} is no status of a gate", code="status.malformed", remedy=_REMEDY
        ) from error
    if not same_boot:
        raise EnvironmentFault(
            "no gate has spoken since this host was started", code="status.boot", remedy=_REMEDY
        )
    if abs(age_ms) > STALE_MS:
        away = "ago" if age_ms > 0 else "ahead of this host's clock"
        raise EnvironmentFault(
            f"the gate last spoke {abs(age_ms) // 1000} s {away}",
            code="status.stale",
            remedy=_REMEDY,
        )
    return status


def is_ruled(status: Status) -> bool:
    """Whether an authority has a say in what this host does; else it is only metered."""
    return status["host_state"] in {"enrolled", "retiring"}


def lanes_of(status: Status, workload: str | None) -> list[Status]:
    """Every lane, or the one that is asked for.

    Raises:
        EnvironmentFault: this host has no such lane.
    """
    lanes: list[Status] = status["lanes"]
    if workload is None:
        return lanes
    found = [lane for lane in lanes if lane["workload"] == workload]
    if not found:
        known = ", ".join(lane["workload"] for lane in lanes)
        raise EnvironmentFault(
            f"no lane of this host is for {workload!r}; there are {known}",
            code="status.lane",
            remedy="Name one of these, or put the workload into gate.toml.",
        )
    return found


def why_not(lane: Status) -> str:
    """Why a job may not start in this lane, and the way back."""
    if lane["stop_reason"]:
        return f"{lane['stop_reason']}: {lane['stop_detail']}. {lane['way_back']}"
    return "its chips are being opened; ask again in a moment"
