"""One group commit (laws 7 and 9): reports in, one transaction, answers out.

Verification and parsing come first, without the store. Then, in one transaction: facts are read,
each report is exchanged, the answers are sealed under one signed root, the root goes into the log
under a signed checkpoint, all of it is committed with its fsync. Only then do answers leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from flopgate_governor.receive import Submission, receive
from flopgate_governor.replies import Replies, assemble, older_batches
from flopgate_governor.state import State
from flopgate_governor.working_set import Work
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb


def commit_batch(state: State, submissions: Sequence[Submission]) -> list[pb.LinkDown]:
    """Commit the reports of these messages together; one reply for each message.

    Raises:
        StorageError: nothing was committed, nothing may be acknowledged.
    """
    replies = Replies(
        notices=[[] for _ in submissions],
        fresh=[[] for _ in submissions],
        stored=[[] for _ in submissions],
    )
    received = receive(state, submissions, replies)
    if not received:
        return [pb.LinkDown(notices=notices) for notices in replies.notices]
    try:
        with state.store.transaction() as connection:
            work = Work.load(connection, state, received)
            work.notice_rollback(received)
            for item in received:
                work.take(item, replies)
            sealed = work.seal(connection)
            older = older_batches(connection, replies)
    except StorageError:
        # Whether a failed commit took effect is the store's to say.
        state.chains.clear()
        raise
    work.settle_state(sealed)
    return assemble(replies, sealed, older)
