"""Law 4: what a report quotes of our own answers, and what that proves.

known, not older than quoted before            current
known, older than quoted before                stale: no permission, no accusation
unknown, of a batch that stands in our store   conflicting: evidence
unknown, of a number further than can be lost  conflicting: evidence
unknown, in a reconciled range                 current: our own loss, settled by officers
unknown otherwise                              our store lost it: we were rolled back, halt

Each number is at least the time at which it was signed, and after a reconciliation so far above it
as the reconciled ones were. So whatever store is put back, a number that it does not hold was lost,
however far we have gone on since. Only a clock that was set back too, or a second loss of what was
signed within the moment of a reconciliation, makes us use lost numbers a second time: while halted,
nobody is accused of holding the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_governor.core.facts import NO_ANSWER, HostFacts, IssuedAnswer
from flopgate_proto.errors import HistoryError
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.licenses import LicenseQuote
from flopgate_proto.values.reports import Quote, Report

AHEAD_MAX: Final = 366 * 86_400_000
"""How far above the time a lost number can lie: a year, by which the clock may have been ahead, or
an earlier lie have moved them. Beyond that a quote is a lie: believed, it would move all numbers
further. Never measured from numbers that a lie has moved already: a restored store has not seen it.
"""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRead:
    """What a quote says.

    Attributes:
        answer: the answer quoted.
        grant: digest of the request whose grant was accepted last, or empty.
        stale: an older answer than an earlier report quoted.
        rolled_back: it is an answer of ours that our store lost.
        license, reserve: where the gate stands with our licenses of either kind.
    """

    answer: IssuedAnswer
    grant: bytes
    stale: bool = False
    rolled_back: bool = False
    license: LicenseQuote | None = None
    reserve: LicenseQuote | None = None


make_quote_read = maker(QuoteRead)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Our own batches.

    Attributes:
        reach: highest number that a loss can have taken.
        lost: ranges (above, up to) lost and reconciled.
        ours: of the numbers that were asked about, those that stand in our store.
        sure: while halted, the highest number that is certainly ours; ``None`` while not.
    """

    reach: int
    lost: tuple[tuple[int, int], ...] = ()
    ours: frozenset[int] = frozenset()
    sure: int | None = None

    def was_lost(self, number: int) -> bool:
        """Whether officers signed that batches around this number were lost."""
        return any(above < number <= upto for above, upto in self.lost)

    def is_losing(self, number: int) -> bool:
        """Whether an unknown answer of this batch shows a rollback that is not reconciled."""
        if not 0 < number <= self.reach or self.was_lost(number):
            return False
        return number not in self.ours or (self.sure is not None and number > self.sure)


def next_number(highest: int, unix_ms: int, ahead: int) -> int:
    """Number of the next batch: above all that were signed, and of no time that a loss can hide.

    ``ahead``: how far reconciled numbers lay above the time. Numbers go on with the time there.
    """
    return max(highest + 1, unix_ms + ahead)


def own_quote(report: Report, authority: str) -> Quote | None:
    """What the report quotes of this authority."""
    for quote in report.quotes:
        if quote.authority == authority:
            return quote
    return None


def shows_rollback(quote: Quote, known: IssuedAnswer | None, numbering: Numbering) -> bool:
    """Whether it quotes an answer that was ours and that our store lost, not yet reconciled."""
    unknown = bool(quote.answer_digest) and known is None
    return unknown and numbering.is_losing(quote.batch_number)


def read_quote(
    quote: Quote | None, facts: HostFacts, known: IssuedAnswer | None, numbering: Numbering
) -> QuoteRead:
    """Judge a quote; ``known`` is our own record of the quoted digest, ``None`` if there is none.

    Raises:
        HistoryError: it quotes an answer that this authority never gave.
    """
    if quote is None:
        return make_quote_read(answer=NO_ANSWER, grant=b"", stale=bool(facts.quoted.digest))
    if not quote.answer_digest:
        return _read(quote, NO_ANSWER, stale=bool(facts.quoted.digest))
    if known is None and numbering.was_lost(quote.batch_number):
        return _read(quote, _unknown(quote))
    if shows_rollback(quote, known, numbering):
        return _read(quote, _unknown(quote), rolled_back=True)
    if known is None or known.batch_number != quote.batch_number:
        raise HistoryError(
            f"quotes answer {quote.answer_digest.hex()[:16]} of batch {quote.batch_number}, "
            "which this authority never gave to this host",
            code="quote.conflicting",
            remedy="Officers compare the answer that the host holds with the log.",
        )
    return _read(quote, known, stale=known.batch_number < facts.quoted.batch_number)


def _read(
    quote: Quote, answer: IssuedAnswer, *, stale: bool = False, rolled_back: bool = False
) -> QuoteRead:
    return make_quote_read(
        answer=answer,
        grant=quote.grant,
        stale=stale,
        rolled_back=rolled_back,
        license=quote.license,
        reserve=quote.reserve,
    )


def _unknown(quote: Quote) -> IssuedAnswer:
    return IssuedAnswer(digest=quote.answer_digest, batch_number=quote.batch_number)
