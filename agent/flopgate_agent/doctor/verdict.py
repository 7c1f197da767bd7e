"""What one check found."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flopgate_proto.errors import FlopgateError


class State(enum.Enum):
    """How well it stands."""

    GOOD = "good"
    NOTE = "note"
    """It works, and somebody should know."""
    MEND = "mend"
    """Something will not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the doctor.

    Attributes:
        subject: what was looked at, one word.
        found: what there is, one sentence without its stop.
        mend: what to do; empty where nothing need be done.
    """

    subject: str
    state: State
    found: str
    mend: str = ""


Verdicts = Iterator[Verdict]


def good(subject: str, found: str) -> Verdict:
    """All is well."""
    return Verdict(subject=subject, state=State.GOOD, found=found)


def note(subject: str, found: str, mend: str = "") -> Verdict:
    """It works, and somebody should know."""
    return Verdict(subject=subject, state=State.NOTE, found=found, mend=mend)


def mend(subject: str, found: str, how: str) -> Verdict:
    """It will not work."""
    return Verdict(subject=subject, state=State.MEND, found=found, mend=how)


def told(subject: str, check: Callable[[], Verdicts]) -> Verdicts:
    """What a check says; an error of ours or of the system's that ends it is a verdict, too."""
    try:
        yield from check()
    except FlopgateError as error:
        yield mend(subject, f"{error.code}: {error.detail}", error.remedy)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        yield mend(subject, f"{name}{error.strerror or error}", "Mend this on the system.")
