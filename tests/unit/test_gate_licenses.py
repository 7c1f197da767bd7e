"""A gate that runs on a license: law 5, and laws 1, 6 and 8 of what a license lets run."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_proto.codec import decode_report
from flopgate_proto.values import LicenseState
from flopgate_proto.values.common import LaneState
from tests.support.fake_tpm import FakeTpm
from tests.support.license_rig import SPAN_MS, STEP_MS, LicenseRig


@pytest.fixture(params=["software", "tpm"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path, tpm=FakeTpm() if request.param == "tpm" else None)


def quoted(rig: LicenseRig) -> LicenseState | None:
    found = rig.last_report().quotes[0].license
    return None if found is None else found.state


def test_law_5_a_license_runs_within_its_budget_and_then_stops(rig: LicenseRig) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=200_000)
    rig.run(SPAN_MS)
    assert rig.state is LaneState.HALTED
    assert rig.lane.why is not None
    assert rig.lane.why.reason == "license.used-up"
    used_tflop = rig.truth_tflop - before_tflop
    assert 150_000 < used_tflop <= 200_000
    assert quoted(rig) is LicenseState.NONE
    assert rig.lane.book.unaccounted_tflop < 1_000


def test_law_5_a_license_runs_within_its_span_of_running_time(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=5_000_000)
    start_ms = rig.now_ms
    rig.run(2 * SPAN_MS)
    assert rig.state is LaneState.HALTED
    last_ms = rig.hardware.last_work_ms[0]
    assert last_ms is not None
    assert SPAN_MS - STEP_MS < last_ms - start_ms <= SPAN_MS
    (quote,) = rig.last_report().quotes
    assert quote.license is not None
    assert quote.license.floor >= 1
    assert decode_report(rig.reports[0].payload).quotes == ()
