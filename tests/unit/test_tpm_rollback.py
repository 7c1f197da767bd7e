"""Which ledger a TPM's counter lets go on, and why not the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_agent.tpm.rollback import Base, Seen, judge
from flopgate_proto.errors import TpmError
from flopgate_proto.values import TpmState

BASE = Base(counter=1, reset_count=3)
LAST = TpmState(counter=40, clock_ms=1000, reset_count=5, restart_count=0, safe=True)
SEEN = Seen(
    counter=40, clock_ms=2000, reset_count=5, restart_count=0, safe=True, orderly=True, slack=255
)


def test_a_ledger_of_now_goes_on() -> None:
    judged = judge(LAST, BASE, SEEN, reports=True)
    assert (judged.counter, judged.finding) == (40, None)


def test_a_crash_between_report_and_step_is_no_alarm() -> None:
    judged = judge(LAST, BASE, replace(SEEN, counter=39), reports=True)
    assert (judged.counter, judged.finding) == (40, None)


def test_a_host_that_never_reported_goes_on_from_where_its_key_was_made() -> None:
    seen = replace(SEEN, counter=1, reset_count=3)
    assert judge(None, BASE, seen, reports=False).counter == 1


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({"counter": None}, "tpm.counter.undefined"),
        ({"counter": 41}, "tpm.ledger.old"),
        ({"counter": 296}, "tpm.ledger.old"),
        # An orderly reboot moves nothing.
        ({"counter": 41, "reset_count": 6}, "tpm.ledger.old"),
        # However often: a loss of power would have left it at the end of a block.
        ({"counter": 41, "reset_count": 7}, "tpm.ledger.old"),
        # More than a loss of power can explain.
        ({"counter": 297, "reset_count": 6, "orderly": False}, "tpm.ledger.old"),
        ({"counter": 38}, "tpm.counter.behind"),
        ({"counter": 38, "reset_count": 9, "orderly": False}, "tpm.counter.behind"),
    ],
)
def test_a_ledger_of_another_time_is_refused_with_a_way_back(
    seen: dict[str, Any], code: str
) -> None:
    with pytest.raises(TpmError) as error:
        judge(LAST, BASE, replace(SEEN, **seen), reports=True)
    assert error.value.code == code
    assert "Keep state_dir as evidence" in error.value.remedy


@pytest.mark.parametrize(
    "seen",
    [
        {"counter": 41, "reset_count": 6, "orderly": False},
        {"counter": 296, "reset_count": 6, "orderly": False},
        # One of the two was: the last one says nothing of the first.
        {"counter": 255, "reset_count": 7, "orderly": True},
    ],
)
def test_a_loss_of_power_explains_as_much_as_it_can_and_is_told(
    seen: dict[str, Any],
) -> None:
    judged = judge(LAST, BASE, replace(SEEN, **seen), reports=True)
    assert judged.counter == seen["counter"]
    assert judged.finding is not None
    assert judged.finding.id == "tpm.counter.jumped"


def test_a_ledger_whose_reports_name_no_counter_is_not_this_tpms() -> None:
    with pytest.raises(TpmError) as error:
        judge(None, BASE, replace(SEEN, counter=1, reset_count=3), reports=True)
    assert error.value.code == "tpm.ledger.unbound"


def test_a_ledger_that_was_emptied_is_as_old_as_can_be() -> None:
    with pytest.raises(TpmError) as error:
        judge(None, BASE, replace(SEEN, reset_count=3), reports=False)
    assert error.value.code == "tpm.ledger.old"
