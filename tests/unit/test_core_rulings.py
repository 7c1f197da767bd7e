"""What rulings leave of a chain: counts that can be kept, and since when nobody heard of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.core import rulings
from flopgate_governor.core.facts import (
    ENDED,
    Books,
    Chain,
    Grant,
    IssuedAnswer,
    LaneFacts,
    Licensed,
)
from flopgate_proto.errors import HistoryError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import SingleUse
from flopgate_proto.values.common import ChargedFigure
from tests.support.governor import FakeHost
from tests.support.host_facts import facts

HEARD_UNIX_MS = 5_000_000


def chain(*grants: Grant) -> Chain:
    lane = LaneFacts(workload="w1", allotted_tflop=COUNT_MAX - 10, grants=grants)
    return Chain(facts=facts(FakeHost(1), heard_unix_ms=HEARD_UNIX_MS), lanes={"w1": lane})


def test_law_2_a_reserve_beside_the_highest_ceiling_is_spent_up_to_the_highest_count() -> None:
    """The budget counts all of it; a lane's row cannot."""
    reserve = Grant(
        request_digest=bytes(32),
        sequence=3,
        made_ms=0,
        run_nonce=bytes(16),
        lifetime_ms=1_000,
        held_tflop=500,
        governor_unix_ms=0,
        license=Licensed(
            told_tflop=500, not_after_unix_ms=0, single_use=SingleUse.TPM, reserve=True
        ),
    )
    books = Books()
    _, lanes = rulings.close(chain(reserve), books, silent_ms=0, figure=ChargedFigure.HIGH)
    assert lanes["w1"].allotted_tflop == COUNT_MAX
    assert books.of("cluster:c1").settled_tflop == 500
    assert books.of("cluster:c1").outstanding_tflop == -500


@pytest.mark.parametrize(
    ("quoted_unix_ms", "heard_unix_ms"),
    [
        (HEARD_UNIX_MS - 60_000, HEARD_UNIX_MS - 60_000),
        (HEARD_UNIX_MS + 60_000, HEARD_UNIX_MS),
        (None, HEARD_UNIX_MS),
    ],
    ids=["quotes an older answer", "quotes a newer one", "of one that a rollback lost"],
)
def test_law_3_an_adopted_history_was_heard_no_later_than_it_shows(
    quoted_unix_ms: int | None, heard_unix_ms: int
) -> None:
    """Its silence is charged from there, whatever the history on record was heard to say since."""
    head = FakeHost(1).value()
    quoted = IssuedAnswer(digest=bytes(32), batch_number=1, governor_unix_ms=quoted_unix_ms)
    adopted, _ = rulings.adopt_other(chain(), head, bytes(32), quoted, Books(), added_tflop={})
    assert adopted.heard_unix_ms == heard_unix_ms


def test_law_5_an_adopted_history_goes_on_where_the_counter_and_its_answers_stood() -> None:
    """Else a counter that goes back, or an answer of before, would look like the first one."""
    known, head = chain(), FakeHost(1, allotted_tflop=40).value()
    known = replace(known, facts=replace(known.facts, spent_counter=9))
    quoted = IssuedAnswer(digest=bytes(32), batch_number=4, governor_unix_ms=HEARD_UNIX_MS)
    adopted, lanes = rulings.adopt_other(known, head, bytes(32), quoted, Books(), added_tflop={})
    assert adopted.spent_counter == 9
    assert adopted.quoted == adopted.issued == quoted
    # What it tells as granted was granted to the other one: of this lane nothing is settled yet.
    assert [lane.settled_tflop for lane in lanes.values()] == [0]


@pytest.mark.parametrize("reason", sorted(ENDED))
def test_law_4_no_adoption_opens_a_chain_that_has_ended(reason: str) -> None:
    ended = facts(FakeHost(1), refused_reason=reason)
    with pytest.raises(HistoryError, match=r"adoption\.not-closed"):
        rulings.check_adoptable(ended)


def test_law_3_another_history_that_tells_less_than_both_had_gives_nothing_back() -> None:
    host = FakeHost(1, unaccounted_tflop=70)
    parted, (lane,) = host.value(), host.value().lanes
    less = replace(parted, lanes=(replace(lane, unaccounted_tflop=0),))
    more = replace(parted, lanes=(replace(lane, unaccounted_tflop=90),))
    assert rulings.added(less, parted) == {host.workload: 0}
    assert rulings.added(more, parted) == {host.workload: 20}
