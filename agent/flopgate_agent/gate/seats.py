"""Which authorities have a say on this host (DESIGN section 4). Pure.

An authority that admitted the host rules until every one that did, itself included, says by an
order of its own officers that it only receives. So nobody is demoted by another.
"""

from __future__ import annotations

from collections.abc import Iterable

from flopgate_agent.gate.authority import Authority


def ruling(authorities: Iterable[Authority]) -> list[Authority]:
    """Those whose permission is needed: joined and not answered yet, or admitted and seated."""
    known = list(authorities)
    admitted = [one for one in known if one.admitted]
    if all(one.seats is None for one in admitted):
        return known
    seated = [one for one in admitted if any(by.keeps_say_of(one.name) for by in admitted)]
    if not seated:
        # If nobody ruled, nobody could stop the host: then it is as if nobody had said anything.
        return known
    return [one for one in known if not one.admitted or one in seated]
