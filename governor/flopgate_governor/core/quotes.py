"""Law 4: what a report quotes of our own answers, and what that proves.

known, not older than quoted before            current
known, older than quoted before                stale: no permission, no accusation
unknown, in a reconciled range                 current: our own loss, settled by officers
unknown, with the root of a batch of that      our store lost it: we were rolled back, halt
number that we signed and do not have
unknown, while halted, of a number that lies   lost as well: the halt is proven already
between what is certainly ours and what was
shown to be lost
unknown, or of another number, with the root   disowned: a thief's, or one of before that our
of a batch of that number under a key that     store lost: recorded, nothing is granted
officers revoked
unknown, of a batch that stands in our store   conflicting: evidence
unknown otherwise                              unproven: nothing is recorded, granted or charged
                                               to anybody else, and nobody is accused

A number alone proves nothing: whoever is enrolled can make one up. A root that our key signed can
only come from us, whoever brings it, so it need not prove the quoted answer as well.

Each number is at least the time at which it was signed, and after a reconciliation so far above it
as the reconciled ones were. So a store that was put back uses no number again, unless its clock was
set back too, or what was signed within the moment of a reconciliation was lost a second time: then
two roots of one number are ours, and while halted nobody is accused of holding the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flopgate_governor.core.facts import NO_ANSWER, HostFacts, IssuedAnswer
from flopgate_proto.codec import PayloadType, decode_batch_root
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import ForgedError, HistoryError, PeerError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.quick import maker, quick
from flopgate_proto.values.licenses import LicenseQuote
from flopgate_proto.values.reports import Quote, Report

AHEAD_MAX: Final = 366 * 86_400_000
"""How far above the time a lost number can lie: a year, by which the clock may have been ahead.
A root beyond that is taken for one of a thief of our key: followed, it would use up all numbers.
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
        disowned: a key signed it that officers have revoked since; it is stale, too.
        license, reserve: where the gate stands with our licenses of either kind.
    """

    answer: IssuedAnswer
    grant: bytes
    stale: bool = False
    rolled_back: bool = False
    disowned: bool = False
    license: LicenseQuote | None = None
    reserve: LicenseQuote | None = None


make_quote_read = maker(QuoteRead)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Our own batches.

    Attributes:
        reach: highest number that a loss can have taken.
        ours: of the numbers that were asked about, those that stand in our store, with the digest
            of the root.
        lost: ranges (above, up to) lost and reconciled.
        halt: while halted, the highest number that is certainly ours, and the highest that was
            shown to be lost.
    """

    reach: int
    ours: Mapping[int, bytes]
    lost: tuple[tuple[int, int], ...] = ()
    halt: tuple[int, int] | None = None

    def was_lost(self, number: int) -> bool:
        """Whether officers signed that batches around this number were lost."""
        return any(above < number <= upto for above, upto in self.lost)

    def is_losing(self, number: int) -> bool:
        """Whether it was lost with what halts us."""
        return self.halt is not None and self.halt[0] < number <= self.halt[1]

    def is_ours(self, number: int) -> bool:
        """Whether that batch stands in our store, and no other one of ours had its number."""
        return number in self.ours and (self.halt is None or number <= self.halt[0])


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


def is_unknown(quote: Quote, known: IssuedAnswer | None) -> bool:
    """Whether it quotes an answer of which we have no record."""
    return bool(quote.answer_digest) and known is None


def proves_loss(
    root: Envelope, quote: Quote, keys: Mapping[str, VerifyingKey], numbering: Numbering
) -> bool:
    """Whether an unknown answer was ours and our store lost its batch, not yet reconciled.

    Args:
        root: came beside the report.
        quote: of ours, an answer of which we have no record.
        keys: that can have signed it.
        numbering: with what stands in our store under the quoted number.
    """
    number = quote.batch_number
    if not 0 < number <= numbering.reach or numbering.was_lost(number):
        return False
    return is_signed(root, quote, keys) and numbering.ours.get(number) != root.digest


def is_signed(root: Envelope, quote: Quote, keys: Mapping[str, VerifyingKey]) -> bool:
    """Whether one of these keys signed this root, for the authority and batch that are quoted."""
    # A root of ours has one signature; more would only be dear to look at.
    if len(root.signatures) != 1:
        return False
    try:
        batch = decode_batch_root(verify(root, PayloadType.BATCH_ROOT, keys).payload)
    except PeerError:
        return False
    return batch.origin == quote.authority and batch.batch_number == quote.batch_number


def read_quote(
    quote: Quote | None,
    facts: HostFacts,
    known: IssuedAnswer | None,
    numbering: Numbering,
    *,
    proven: bool,
    disowned: bool = False,
) -> QuoteRead:
    """Judge a quote; ``known`` is our own record of the quoted digest, ``None`` if there is none.

    ``proven``: what came beside the report `proves_loss`; ``disowned``: a revoked key signed it.

    Raises:
        HistoryError: it quotes an answer that this authority never gave.
        ForgedError: nothing shows that this authority gave it, and nothing that it did not.
    """
    if quote is None:
        return make_quote_read(answer=NO_ANSWER, grant=b"", stale=bool(facts.quoted.digest))
    if not quote.answer_digest:
        return _read(quote, NO_ANSWER, stale=bool(facts.quoted.digest))
    number = quote.batch_number
    if known is None and numbering.was_lost(number):
        return _read(quote, _unknown(quote))
    if known is None and (proven or numbering.is_losing(number)):
        return _read(quote, _unknown(quote), rolled_back=True)
    if disowned and (known is None or known.batch_number != number):
        # Of a grant that a thief gave nothing is settled.
        return make_quote_read(
            answer=NO_ANSWER,
            grant=b"",
            stale=True,
            disowned=True,
            license=quote.license,
            reserve=quote.reserve,
        )
    if known is None and not numbering.is_ours(number):
        raise ForgedError(
            f"quotes answer {quote.answer_digest.hex()[:16]} of batch {number}, of which this "
            "authority has no record, without a root that it signed",
            code="quote.unproven",
            remedy="The host's own courier brings the root, or `flopgate-agent license request` "
            "writes it. If its gate holds none, officers close its chain.",
        )
    if known is None or known.batch_number != number:
        raise HistoryError(
            f"quotes answer {quote.answer_digest.hex()[:16]} of batch {number}, "
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
