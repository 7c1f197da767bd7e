"""Law 5 under every order of runs, crashes, reboots, restored disks, installs and returns."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flopgate_agent.gate.licenses.checking import LicenseFile
from flopgate_proto.errors import FlopgateError, PeerError, TpmError
from flopgate_proto.values import SingleUse
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support.gate_license_rig import (
    HOUR_MS,
    STEP_MS,
    KilledError,
    LicenseRig,
    issue,
    opening,
    reserve_of,
)

EVENTS = (
    *("run", "run", "crash", "reboot", "before", "after", "stepped"),
    *("image", "restore", "unpowered", "unpowered"),
    *("ask", "install", "return", "pause"),
    *("seal", "open", "open"),
)
AMOUNTS_MS = (700, 30_000, 300_000)
STEPS = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.sampled_from(AMOUNTS_MS), st.integers(0, 3)),
    min_size=3,
    max_size=9,
)
BUDGET_TFLOP = 250_000
RESERVE_TFLOP = 190_000
TO_THE_END_MS = 250_000


class Story:
    """One host, and everything that it was ever licensed."""

    def __init__(self, folder: Path, *, tpm: bool) -> None:
        kind = FakeTpm() if tpm else None
        self.rig = LicenseRig(folder, tpm=kind, report_interval_ms=120_000)
        self.files: list[LicenseFile] = []
        self.images: list[bytes] = []
        self.base_tflop = self.rig.truth_tflop
        self.taken: set[bytes] = set()
        self.reserves: list[LicenseFile] = []
        self.starts = 0
        self.dead = False

    @property
    def used_tflop(self) -> int:
        """What really ran on licenses: nothing else is permitted here."""
        return self.rig.truth_tflop - self.base_tflop

    def do(self, event: str, amount: int = 0, which: int = 0) -> None:
        """One thing happens; where the gate dies it starts again."""
        try:
            self._do(event, amount, which)
        except KilledError:
            self._start()
        except PeerError:
            return

    def _do(self, event: str, amount: int, which: int) -> None:
        rig = self.rig
        match event:
            case "run":
                rig.run(amount)
            case "crash" | "reboot":
                self._start(boot=event == "reboot")
            case "before" | "after" | "stepped":
                rig.dies = event
                rig.run(amount)
            case "image":
                self.images.append(rig.image())
            case "restore" | "unpowered" if self.images:
                # A loss of power hides from the other counter that reports were dropped.
                if isinstance(rig.tpm, FakeTpm) and event == "unpowered":
                    rig.tpm.reset(orderly=False)
                rig.put_back(self.images[which % len(self.images)])
                self._start(boot=True)
            case "pause":
                pause = rig.authority.pause(emergency=True)
                rig.order(pause)
                rig.run(3_000)
                rig.order(rig.authority.resume(pause.digest))
            case _:
                self._carry(event, which)

    def _carry(self, event: str, which: int) -> None:
        """People ask for licenses and reserves, bring them, open them and give them back."""
        rig = self.rig
        use = SingleUse.SOFTWARE if rig.tpm is None else SingleUse.TPM
        match event:
            case "ask":
                request = rig.request()
                found = issue(rig.authority, request, single_use=use, headroom_tflop=BUDGET_TFLOP)
                self.files.append(found)
            case "install" if self.files:
                found = self.files[which % len(self.files)]
                rig.install(found)
                self.taken.add(found.approval.digest)
            case "seal":
                request = rig.request(reserve=True)
                found = issue(
                    rig.authority,
                    request,
                    approval=reserve_of(request),
                    single_use=use,
                    headroom_tflop=RESERVE_TFLOP,
                )
                self.reserves.append(found)
                rig.install(found)
            case "open" if self.reserves:
                authority = rig.core.authorities[rig.authority.name]
                authority.heard_running_ms = rig.core.running_ms - HOUR_MS
                rig.carry_out(rig.core.open_reserve(opening(self.reserves[-1]), rig.now))
            case "return":
                rig.give_back()

    def _start(self, *, boot: bool = False) -> None:
        self.starts += 1
        self.rig.dies = ""
        try:
            self.rig.again(boot=boot, away_ms=50)
        except TpmError:
            # An old disk: the host is held until officers close its chain.
            self.dead = True

    @property
    def most_tflop(self) -> int:
        """What all licenses that were ever installed can let run."""
        return BUDGET_TFLOP * len(self.taken) + RESERVE_TFLOP * len(self.reserves)


@settings(max_examples=30)
@given(steps=STEPS)
@example(steps=[("run", 300_000, 0), ("unpowered", 0, 0), ("install", 0, 0)])
@example(steps=[("image", 0, 0), ("run", 300_000, 0), ("unpowered", 0, 1)])
@example(steps=[("run", 60_000, 0), ("reboot", 0, 0)] * 6)
@example(steps=[("seal", 0, 0), ("open", 0, 0), *[("run", 30_000, 0), ("crash", 0, 0)] * 3])
@example(
    steps=[
        *(("seal", 0, 0), ("open", 0, 0), ("run", 300_000, 0), ("image", 0, 0)),
        *(("run", 30_000, 0), ("unpowered", 0, 0), ("run", 300_000, 0)),
    ]
)
@example(steps=[("run", 60_000, 0), ("return", 0, 0), ("unpowered", 0, 0), ("install", 0, 0)])
def test_law_5_where_a_counter_stands_no_license_is_spent_twice(
    steps: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder), tpm=True)
        for event in ("ask", "image", "install"):
            story.do(event)
        for event, amount, which in steps:
            story.do(event, amount, which)
            if story.dead:
                break
        if not story.dead:
            story.do("run", TO_THE_END_MS)
        assert story.used_tflop <= story.most_tflop


@settings(max_examples=15)
@example(steps=[("run", 60_000), ("reboot", 0)] * 6)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("run", "crash", "reboot", "after", "stepped")),
            st.sampled_from((700, 30_000, 60_000)),
        ),
        min_size=3,
        max_size=8,
    )
)
def test_law_5_a_start_loses_at_most_one_step_and_gains_nothing(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder), tpm=False)
        for event in ("ask", "install"):
            story.do(event)
        for event, amount in steps:
            starts = story.starts
            left = _left(story)
            story.do(event, amount)
            assert not story.dead
            assert _left(story) <= left
            if story.starts > starts and event in {"crash", "reboot"}:
                step_tflop = story.rig.lane.peak_tflop_per_s * STEP_MS // 1000
                assert left - _left(story) <= step_tflop + 1
        story.do("run", TO_THE_END_MS)
        assert story.used_tflop <= story.most_tflop


def _left(story: Story) -> int:
    """What is left of the ceiling above what was reported."""
    rig = story.rig
    with suppress(FlopgateError):
        desk = rig.core.authorities[rig.authority.name].desk
        end_tflop = desk.bound_tflop("run-7", reserved=False)
        reported = {lane.workload: lane.allotted_tflop for lane in rig.core.chain.lanes}
        if end_tflop is not None:
            return end_tflop - reported.get("run-7", 0)
    return 0
