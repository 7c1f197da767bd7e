"""Results of campaigns in a file, a line of JSON each, so that they add up over many runs.

A line is written whole and at once. One that was torn by a crash is counted as unreadable, never
guessed at.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_sim.campaign.outcome import Breach, Job, Outcome
from flopgate_sim.campaign.ranges import NUMBER_MAX
from flopgate_sim.campaign.totals import Totals
from flopgate_sim.campaign.worker import Done, Failure, Result

LINE_BYTES_MAX: Final = 1_000_000
VERSION: Final = 1
_NOT_OURS: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What `_parse` meets in lines that `Log` did not write."""


@dataclass(slots=True)
class Logged:
    """What a log adds up to.

    Attributes:
        by_code: totals, by digest of the code that ran.
        next_seeds: by scenario: the first above all seeds in it, whatever code ran them.
        unreadable: lines that are none of ours.
    """

    by_code: dict[str, Totals] = field(default_factory=dict)
    next_seeds: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


class Log:
    """A log that one campaign at a time adds to."""

    def __init__(self, path: Path, code: str) -> None:
        """Open it, made if absent.

        Raises:
            ConfigError: it cannot be written, is something else, or another campaign writes it.
        """
        self._code = code
        self._path = path
        try:
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise _wrong(path, f"cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end_torn_line()
        except BlockingIOError as error:
            self._file.close()
            raise _wrong(path, "is written by another campaign") from error
        except OSError as error:
            self._file.close()
            raise _wrong(path, f"cannot be written: {error.strerror}") from error

    def _end_torn_line(self) -> None:
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(0)
            if self._file.read(1) != b"{":
                self._file.close()
                raise _wrong(self._path, "is something else, and no campaign's log")
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, result: Result) -> None:
        """Write one result; one that was cut off is none.

        Raises:
            EnvironmentFault: it cannot be written, or not all of it.
        """
        if isinstance(result, Failure) and result.cut:
            return
        line: dict[str, Any] = {
            "version": VERSION,
            "code": self._code,
            "python": platform.python_version(),
            "job": asdict(result.job),
        }
        if isinstance(result, Failure):
            line["failure"] = result.reason
        else:
            outcome = asdict(result.outcome)
            # Where all went well nobody will read the timeline; a replay brings it back.
            del outcome["recording"]
            if result.outcome.breach is None:
                del outcome["timeline"]
            line["outcome"] = outcome
        rest = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            while rest:
                # A disk that fills up takes a part of it first.
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise EnvironmentFault(
                f"--log: {self._path} cannot be written: {error.strerror}",
                code="campaign.log.unwritable",
                remedy="Make room, and go on with the same command: what stands in it is kept.",
            ) from error


def read(path: Path) -> Logged:
    """Add up everything in a log; an absent one is empty.

    Raises:
        ConfigError: it cannot be read.
    """
    logged = Logged()
    try:
        if path.exists() and not path.is_file():
            raise _wrong(path, "is no file")
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(LINE_BYTES_MAX), b""):
                try:
                    code, result = _parse(line)
                except _NOT_OURS:
                    logged.unreadable += 1
                    continue
                logged.by_code.setdefault(code, Totals()).add(result)
                job = result.job
                logged.next_seeds[job.scenario] = max(logged.next_seeds[job.scenario], job.seed + 1)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from error
    return logged


def _parse(line: bytes) -> tuple[str, Result]:
    """One line; raises what wrong data raises."""
    found = json.loads(line)
    if found["version"] != VERSION:
        raise ValueError("another version")
    job = _job(found["job"])
    if "failure" in found:
        return str(found["code"]), Failure(job=job, reason=str(found["failure"]))
    return str(found["code"]), Done(job=job, outcome=_outcome(found["outcome"], job))


def _job(found: Mapping[str, Any]) -> Job:
    indices = found["fault_indices"]
    if not 0 <= found["seed"] <= NUMBER_MAX:
        raise ValueError("no seed")
    return Job(
        scenario=str(found["scenario"]),
        seed=int(found["seed"]),
        fault_indices=None if indices is None else tuple(map(int, indices)),
        signatures=str(found["signatures"]),
    )


def _outcome(found: Mapping[str, Any], job: Job) -> Outcome:
    breach = found["breach"]
    return Outcome(
        scenario=job.scenario,
        seed=job.seed,
        trace_digest=str(found["trace_digest"]),
        steps=int(found["steps"]),
        host_hours=_finite(found["host_hours"]),
        cpu_s=_finite(found["cpu_s"]),
        faults=int(found["faults"]),
        breach=None if breach is None else _breach(breach),
        counts={str(name): int(number) for name, number in found["counts"].items()},
        timeline=tuple(map(str, found.get("timeline", ()))),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def _breach(found: Mapping[str, Any]) -> Breach:
    return Breach(
        law=int(found["law"]),
        law_name=str(found["law_name"]),
        detail=str(found["detail"]),
        at_ms=int(found["at_ms"]),
        step=int(found["step"]),
    )


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"--log: {path} {what}",
        code="campaign.log",
        remedy="Name a file of your own, one for each campaign that runs at the same time.",
    )
