"""Which authorities have a say on this host (DESIGN section 4). Pure.

1. An authority that admitted the host rules until every one that did, itself included, says by an
   order of its own officers that it only receives. So nobody is demoted by another.
2. Its own word is not waited for once it fell silent for as long as the fallback that its officers
   signed beforehand says, in gate running time. A pause of it that stands keeps its say.
3. It rules again with its next signed answer, so the gate keeps what it lacks of the chain.
4. If nobody ruled, nobody could stop the host: then it is as if nobody had said anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flopgate_agent.gate.actions import Tell
from flopgate_agent.gate.authorities.authority import Authority


def entitled(authorities: Iterable[Authority]) -> list[Authority]:
    """Those that rule wherever they speak: joined and not answered yet, or admitted and seated."""
    known = list(authorities)
    if len(known) == 1:
        # If it lets itself have no say, nobody has one.
        return known
    admitted = [one for one in known if one.admitted]
    if all(one.seats is None for one in admitted):
        return known
    seated = [one for one in admitted if any(by.keeps_say_of(one.name) for by in admitted)]
    if not seated:
        return known
    return [one for one in known if not one.admitted or one in seated]


def ruling(authorities: Iterable[Authority], running_ms: int) -> list[Authority]:
    """Those whose permission is needed now."""
    known = list(authorities)
    if len(known) == 1 or all(one.seats is None for one in known):
        # Nobody can take the say of one alone, and nobody has said who has one: all have.
        return known
    seated = entitled(known)
    left = [one for one in seated if not fell(one, known, running_ms)]
    return left if any(one.admitted for one in left) else seated


def fell(authority: Authority, known: Sequence[Authority], running_ms: int) -> bool:
    """Whether its fallback took its say: silent for long enough, and all others agree."""
    if not authority.gave_way(running_ms):
        return False
    others = [by for by in known if by.admitted and by is not authority]
    return bool(others) and not any(by.keeps_say_of(authority.name) for by in others)


def changes(known: Sequence[Authority], running_ms: int) -> list[Tell]:
    """Who lost its say by its fallback, or has it again, since this was asked last."""
    told = []
    for authority in known:
        lost = fell(authority, known, running_ms)
        if lost is not authority.lost_say:
            authority.lost_say = lost
            event = "authority.fallback" if lost else "authority.rules-again"
            told.append(Tell(event=event, subject=authority.name, detail=""))
    return told
