"""What a report shows of licenses, held against what is on record, without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_governor.core.facts import NO_ANSWER, Grant, HostFacts, LaneFacts, Licensed
from flopgate_governor.core.licenses.reported import check_floors, counter_of, findings
from flopgate_governor.core.quotes import QuoteRead
from flopgate_proto.errors import HistoryError
from flopgate_proto.values import LicenseQuote, LicenseState, Report, SingleUse
from tests.support.governor import FakeHost
from tests.support.governor_licenses import DAY_MS, TPM
from tests.support.host_facts import facts

UNIX_MS = 1_800_000_000_000
REQUEST, OTHER = bytes([1]) * 32, bytes([2]) * 32
REPORT = FakeHost(1).value()
LANE = REPORT.lanes[0]


def of_kind(kind: str, told: LicenseQuote | None) -> dict[str, Any]:
    """A field of facts and of quotes."""
    return {kind: told}


def host_facts(**fields: Any) -> HostFacts:
    return facts(FakeHost(1), **fields)


def quoted(floor: int = 1, used_ms: int = 0, request: bytes = REQUEST) -> LicenseQuote:
    return LicenseQuote(state=LicenseState.HELD, request=request, floor=floor, used_ms=used_ms)


def read(**fields: Any) -> QuoteRead:
    return QuoteRead(answer=NO_ANSWER, grant=b"", **fields)


@pytest.mark.parametrize("kind", ["license", "reserve"])
@pytest.mark.parametrize("told", [quoted(floor=2), None])
def test_law_4_no_floor_of_either_kind_goes_back(kind: str, told: LicenseQuote | None) -> None:
    known = host_facts(**of_kind(kind, quoted(floor=3)))
    check_floors(known, read(**of_kind(kind, quoted(floor=3))))
    with pytest.raises(HistoryError) as caught:
        check_floors(known, read(**of_kind(kind, told)))
    assert caught.value.code == "license.floor-back"


def grant(
    told_tflop: int | None, held_tflop: int, *, reserve: bool = False, request: bytes = REQUEST
) -> Grant:
    """A permit where nothing was told."""
    license_ = None
    if told_tflop is not None:
        license_ = Licensed(
            told_tflop=told_tflop,
            not_after_unix_ms=UNIX_MS + DAY_MS,
            single_use=SingleUse.SOFTWARE,
            reserve=reserve,
        )
    return Grant(
        request_digest=request,
        sequence=1,
        made_ms=0,
        run_nonce=bytes(16),
        lifetime_ms=DAY_MS,
        held_tflop=held_tflop,
        governor_unix_ms=UNIX_MS,
        license=license_,
    )


def found(
    report: Report = REPORT,
    *,
    quote: QuoteRead | None = None,
    known: HostFacts | None = None,
    lanes: dict[str, LaneFacts] | None = None,
) -> list[str]:
    return [one.id for one in findings(report, quote or read(), known or host_facts(), lanes or {})]


def spent(allotted_tflop: int) -> Report:
    return replace(REPORT, lanes=(replace(LANE, allotted_tflop=allotted_tflop),))


def lane_with(*grants: Grant, allotted_tflop: int = 10) -> dict[str, LaneFacts]:
    return {"w1": LaneFacts(workload="w1", allotted_tflop=allotted_tflop, grants=grants)}


@pytest.mark.parametrize(
    ("grants", "told_tflop", "reach_tflop"),
    [
        ((grant(100, 500),), 100, 500),
        ((grant(100, 500), grant(None, 200)), 200, 500),
        ((grant(100, 500), grant(30, 400, reserve=True)), 130, 900),
        (
            (grant(100, 500), grant(30, 400, reserve=True), grant(20, 100, reserve=True)),
            150,
            1_000,
        ),
        ((grant(30, 400, reserve=True),), 40, 410),
    ],
)
def test_more_than_was_told_is_a_finding_up_to_what_is_held(
    grants: tuple[Grant, ...], told_tflop: int, reach_tflop: int
) -> None:
    lanes = lane_with(*grants)
    assert lanes["w1"].reach_tflop == reach_tflop
    assert not found(spent(told_tflop), lanes=lanes)
    assert found(spent(told_tflop + 1), lanes=lanes) == ["license.overspent"]
    assert found(spent(reach_tflop), lanes=lanes) == ["license.overspent"]
    # What nothing that is held covers is another rule's business.
    assert not found(spent(reach_tflop + 1), lanes=lanes)


def test_what_permits_allow_is_no_finding_of_licenses() -> None:
    assert not found(spent(300), lanes=lane_with(grant(None, 200), grant(None, 300)))


@pytest.mark.parametrize("kind", ["license", "reserve"])
def test_what_is_used_of_a_span_is_held_to_it(kind: str) -> None:
    lanes = lane_with(grant(100, 500), grant(100, 500, request=OTHER))

    def of(used_ms: int, before_ms: int, request: bytes = REQUEST) -> list[str]:
        known = host_facts(**of_kind(kind, quoted(used_ms=before_ms)))
        told = read(**of_kind(kind, quoted(used_ms=used_ms, request=request)))
        return found(quote=told, known=known, lanes=lanes)

    assert of(5, 5) == of(DAY_MS, 5) == []
    assert of(4, 5) == ["license.used-back"]
    assert of(DAY_MS + 1, DAY_MS) == ["license.overused"]
    assert not of(DAY_MS + 2, DAY_MS + 1), "told before"
    # Of another license nothing was told yet.
    assert not of(4, 5, OTHER)
    assert of(DAY_MS + 1, DAY_MS + 2, OTHER) == ["license.overused"]


def test_a_license_that_is_not_on_record_is_a_finding_once() -> None:
    others = lane_with(grant(None, 500), grant(100, 500, request=OTHER))
    assert found(quote=read(license=quoted()), lanes=others) == ["license.unknown"]
    assert found(
        quote=read(license=quoted()), known=host_facts(license=quoted(request=OTHER)), lanes=others
    ) == ["license.unknown"]
    known = host_facts(license=quoted())
    assert not found(quote=read(license=quoted()), known=known, lanes=others)


@pytest.mark.parametrize(("told", "finding"), [(5, []), (6, []), (4, ["license.counter-back"])])
def test_a_counter_stays_or_goes_up(told: int, finding: list[str]) -> None:
    known = host_facts(spent_counter=5)
    report = replace(REPORT, tpm=replace(TPM, spent_counter=told))
    assert found(report, known=known) == finding
    assert counter_of(report, known) == max(5, told)
    assert counter_of(REPORT, known) == 5
