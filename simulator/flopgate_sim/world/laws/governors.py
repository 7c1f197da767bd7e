"""Laws over one governor: what it signed, wrote and told, and its books; see `table`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flopgate_sim.world.governors.governor import Governor

_LAST_ENTRY = "SELECT max(position) FROM log_entry"
_ON_RECORD = "SELECT host_id, sequence FROM host"
_BOOKED = "SELECT scope, settled_tflop, outstanding_tflop, unaccounted_tflop FROM budget"
_BESIDE = f"{_BOOKED} WHERE unaccounted_tflop <> '0'"
Booked = dict[str, tuple[int, int, int]]
"""The books of a store, by scope: settled, outstanding, and without a grant."""


def _ask(governor: Governor, question: str, *values: str) -> list[Any]:
    """Rows of the store of a governor that runs."""
    database = governor.database
    return [] if database is None else database.execute(question, values).fetchall()


def books_of(governor: Governor) -> Booked:
    """Read once for all laws of one look.

    Where nobody is owed anything without a grant, only what is capped, or stands without one
    nevertheless, can be wrong: no more is read.
    """
    truth = governor.truth
    if truth.rulings.charged_tflop or any(truth.unaccounted_tflop.values()):
        return all_books_of(governor)
    marks = ",".join("?" * len(truth.caps_tflop))
    return _booked(_ask(governor, f"{_BESIDE} OR scope IN ({marks})", *truth.caps_tflop))


def all_books_of(governor: Governor) -> Booked:
    """All of them."""
    return _booked(_ask(governor, _BOOKED))


def _booked(rows: list[Any]) -> Booked:
    return {row[0]: (row[1], row[2], int(row[3])) for row in rows}


def noticed(law: int) -> Callable[[Governor, int, Booked], Iterable[str]]:
    """What was found when it happened, and nothing else."""
    return lambda governor, _now_us, _booked: _found(governor, law)


def _found(governor: Governor, law: int) -> Iterable[str]:
    faults = governor.truth.faults
    return [text for number, text in faults if number == law] if faults else ()


def says_why(governor: Governor, _now_us: int, _booked: Booked) -> Iterable[str]:
    """8: what stops is told with its reason, and nothing fails that is told beside answers."""
    found = _found(governor, 8)
    if found or governor.state is None or not governor.state.untold:
        return found
    return [f"{governor.name}: untold beside the answers: {governor.state.untold}"]


def one_history(governor: Governor, _now_us: int, _booked: Booked) -> Iterable[str]:
    """4: what was told differently is found when it happens; no lie halts who lost nothing."""
    found = _found(governor, 4)
    if found or governor.truth.restores or governor.halt() is None:
        return found
    return [f"{governor.name}: halts, and its store lost nothing"]


def escrow(governor: Governor, now_us: int, booked: Booked) -> Iterable[str]:
    """2: settled and outstanding stay within the cap, in the books and in what gates may use."""
    found = [*_found(governor, 2)]
    truth = governor.truth
    if found or governor.state is None or truth.losses.lost:
        return found
    found += _over_the_cap(governor, now_us, booked)
    if not truth.forgetful:
        return found
    if not found and not any(_forgotten(governor)):
        # Reconciled, and it has again all that it once acknowledged: judged as ever from here on.
        truth.forgetful = False
    return ()


def _over_the_cap(governor: Governor, now_us: int, booked: Booked) -> Iterator[str]:
    truth = governor.truth
    truth.pass_time(governor.unix_ms)
    truth.count_usable(now_us, anew=False)
    if any(truth.usable_tflop.get(scope, 0) > cap for scope, cap in truth.caps_tflop.items()):
        # Grants that ran out meanwhile are still in the sums.
        truth.count_usable(now_us, anew=True)
    for scope, cap in truth.caps_tflop.items():
        done, outstanding, beside = booked.get(scope, (0, 0, 0))
        if done + outstanding > cap:
            yield f"{scope}: {done} settled and {outstanding} outstanding, cap {cap} TFLOP"
        if truth.usable_tflop.get(scope, 0) > cap:
            yield f"{scope}: gates may use {truth.usable_tflop[scope]} TFLOP, cap {cap}"
        # A report can be on record although its answer never left; not one that never came.
        ended = truth.rulings.spent_tflop.get(scope, 0)
        least, most = truth.settled_tflop.get(scope, 0) + ended, truth.offered_tflop.get(scope, 0)
        # What was spent of grants that a restored store lost stands beside.
        most += truth.spent_tflop.get(scope, 0)
        if not least - (beside if truth.restores else 0) <= done <= most:
            yield f"{scope}: {done} settled in the books, {least} acknowledged, {most} reported"


def silence_counted(governor: Governor, _now_us: int, booked: Booked) -> Iterator[str]:
    """3: what has no grant is in the books, and nothing is granted from what silence may hide."""
    yield from _found(governor, 3)
    if governor.state is not None and not governor.truth.restores:
        yield from governor.truth.rulings.unbooked(governor.truth, booked)


def logged(governor: Governor, _now_us: int, _booked: Booked) -> Iterable[str]:
    """7: what leaves is durable with its log entry; the log lacks nothing that was signed."""
    found = [*_found(governor, 7)]
    if governor.state is None:
        return found
    ((last,),) = _ask(governor, _LAST_ENTRY)
    wanted = governor.state.frontier.size
    if wanted != (0 if last is None else last + 1):
        found.append(f"{governor.name}: the log holds {last} entries, {wanted} were signed for")
    return found


def remembered(governor: Governor, _now_us: int, _booked: Booked) -> Iterable[str]:
    """9: what a governor acknowledged is on record when it comes back."""
    truth = governor.truth
    if not truth.just_started or governor.state is None:
        return ()
    truth.just_started = False
    return [*_found(governor, 9), *(() if truth.forgetful else _forgotten(governor))]


def plain_time(governor: Governor, _now_us: int, _booked: Booked) -> Iterable[str]:
    """10: no governor signs a time because its wall clock alone, and just now, says so."""
    state, found = governor.state, _found(governor, 10)
    if state is None:
        return found
    told_unix_ms = governor.truth.silence.unix_ms
    unfit = governor.times.unfit(told_unix_ms, state.batch_digest, state.unix_ms)
    return [*found, *(f"{governor.name}: {text}" for text in unfit)] if unfit else found


def _forgotten(governor: Governor) -> Iterator[str]:
    """Reports that it acknowledged and does not have."""
    found = dict(_ask(governor, _ON_RECORD))
    for host_id, one in governor.truth.hosts.items():
        acknowledged = one.truth.acknowledged.get(governor.name, 0)
        if found.get(host_id, 0) < acknowledged:
            yield (
                f"{governor.name}: knows {one.name} up to report {found.get(host_id, 0)}, "
                f"acknowledged {acknowledged}"
            )
