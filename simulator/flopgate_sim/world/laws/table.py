"""The laws of DESIGN section 3, as predicates over what really happened.

Each predicate sees hardware, wires and disks (`truths`), and may look at a core only to compare it
with them. It tells what is wrong, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.laws.governors import (
    Booked,
    books_of,
    escrow,
    logged,
    noticed,
    one_history,
    plain_time,
    remembered,
    says_why,
    silence_counted,
)
from flopgate_sim.world.laws.hosts import (
    believed,
    ceilings,
    expiry,
    fails_closed,
    kept,
    metered,
    paused_work,
    plain_words,
    spent_once,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law.

    Attributes:
        host, governor: predicates over one host, or one governor with its books, that moved.
    """

    number: int
    name: str
    host: Callable[[Host, int], Iterable[str]] | None = None
    governor: Callable[[Governor, int, Booked], Iterable[str]] | None = None


LAWS = (
    Law(number=1, name="expiry", host=expiry),
    Law(number=2, name="the cap", host=ceilings, governor=escrow),
    Law(number=3, name="no unmetered time", host=metered, governor=silence_counted),
    Law(number=4, name="one history", governor=one_history),
    Law(number=5, name="a license is spent once", host=spent_once, governor=noticed(5)),
    Law(number=6, name="pause is cheap", host=paused_work, governor=noticed(6)),
    Law(number=7, name="nothing unlogged or unsigned", host=believed, governor=logged),
    Law(number=8, name="fail closed, say why", host=fails_closed, governor=says_why),
    Law(number=9, name="acknowledged is durable", host=kept, governor=remembered),
    Law(
        number=10,
        name="nothing trusts the host's word alone",
        host=plain_words,
        governor=plain_time,
    ),
)


_OF_HOST = [(law, law.host) for law in LAWS if law.host is not None]
_OF_GOVERNOR = [(law, law.governor) for law in LAWS if law.governor is not None]


def broken_by_host(host: Host, now_us: int) -> tuple[Law, str] | None:
    """The first law that one host broke, and how."""
    host.phases.look(now_us)
    for law, broken in _OF_HOST:
        for text in broken(host, now_us):
            return law, text
    return None


def broken_by_governor(governor: Governor, now_us: int) -> tuple[Law, str] | None:
    """The first law that one governor broke, and how."""
    booked = books_of(governor)
    for law, broken in _OF_GOVERNOR:
        for text in broken(governor, now_us, booked):
            return law, text
    return None
