"""One group commit (laws 7 and 9): reports in, one transaction, answers out.

Verification and parsing come first, without the store. Then, in one transaction: facts are read,
each report is exchanged, the answers are sealed under one signed root, the root goes into the log
under a signed checkpoint, all of it is committed with its fsync. Only then do answers leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flopgate_governor.clusters.neighbours import tell_neighbours
from flopgate_governor.clusters.notices import tell_merges
from flopgate_governor.core.orders import Mandate
from flopgate_governor.orders.accepting import ripen
from flopgate_governor.receive import Checked, Submission, receive
from flopgate_governor.replies import Replies, assemble, notice, older_batches
from flopgate_governor.state import State
from flopgate_governor.working_set import Work
from flopgate_proto.errors import HistoryError
from flopgate_proto.quick import maker, quick
from flopgate_proto.v1 import flopgate_pb2 as pb


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of one message: the reply; whether it put something new on record."""

    down: pb.LinkDown
    news: bool


make_judged = maker(Judged)


def commit_batch(state: State, submissions: Sequence[Submission]) -> list[pb.LinkDown]:
    """Check these messages and commit their reports together; one reply for each message.

    Raises:
        StorageError: nothing was committed, nothing may be acknowledged.
    """
    return [judged.down for judged in commit_checked(state, receive(state, submissions))]


def commit_checked(state: State, checked: Sequence[Checked]) -> list[Judged]:
    """Commit the reports of messages that were checked; what became of each message.

    Raises:
        StorageError: nothing was committed, nothing may be acknowledged.
    """
    replies = Replies(
        notices=[list(one.notices) for one in checked],
        fresh=[[] for _ in checked],
        stored=[[] for _ in checked],
    )
    received = [item for one in checked for item in one.reports]
    if received:
        state.keep_time()
        ripen(state)
        _refuse_unsigned(state, checked, replies)
    if not received or state.mandate is Mandate.REVOKED:
        return [
            make_judged(down=pb.LinkDown(notices=notices), news=False)
            for notices in replies.notices
        ]
    # Who was known when it was checked may have made room for others since.
    state.know(item.host_id for item in received)
    try:
        with state.store.transaction() as connection:
            work = Work.load(connection, state, received)
            work.notice_rollback(received)
            for position, one in enumerate(checked):
                for item in one.reports:
                    work.take(position, item, replies)
            sealed = work.seal(connection)
            older = older_batches(connection, replies)
    except BaseException:
        # Whether a failed commit took effect is the store's to say.
        state.forget()
        raise
    work.settle_state(sealed)
    downs = assemble(replies, sealed, older)
    failed = [
        _why_not(work.note_neighbours),
        _why_not(lambda: tell_neighbours(state, checked, downs)),
        _why_not(lambda: tell_merges(state, checked, downs, work.facts)),
    ]
    state.untold = "; ".join(filter(None, failed))
    return [
        make_judged(down=down, news=bool(fresh))
        for down, fresh in zip(downs, replies.fresh, strict=True)
    ]


def _why_not(tell: Callable[[], None]) -> str:
    """Tell hosts what goes beside the answers: why it failed, empty where it did not.

    The answers are on record: they leave, whatever fails here.
    """
    try:
        tell()
    except Exception as error:  # noqa: BLE001  # also one that is a mistake of ours
        return f"{type(error).__name__}: {error}"
    return ""


def _refuse_unsigned(state: State, checked: Sequence[Checked], replies: Replies) -> None:
    """Whose key was revoked answers nothing: reports stay with their hosts, for the next key."""
    try:
        state.book.check_signs(state.permit_id)
    except HistoryError as error:
        for one, notices in zip(checked, replies.notices, strict=True):
            notices += [notice(item.host_id, item.digest, error) for item in one.reports]
