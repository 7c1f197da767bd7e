"""Laws 4 and 9: a ledger that was put back is refused; no crash and no reboot is taken for that."""

from __future__ import annotations

from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.actions import Keep, KeepReport
from flopgate_agent.gate.memory import LastReport, Memory
from flopgate_agent.tpm.anchored import AnchoredLedger
from flopgate_proto.envelope import Envelope, Signature
from flopgate_proto.errors import TpmError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import TpmState
from flopgate_sim.world.hardware.tpm import SLACK, FakeTpm
from tests.support.statements import report

EVENTS = st.lists(
    st.sampled_from(("report", "crash", "restart", "reboot", "power cut")), max_size=60
)


class Disk:
    """What a ledger held at each moment: the last report, or none."""

    def __init__(self) -> None:
        self.images: list[TpmState | None] = [None]
        self.saying: TpmState | None = None

    def keep(self, action: Keep) -> None:
        assert isinstance(action, KeepReport)
        self.images.append(self.saying)

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        raise AssertionError(from_sequence, limit)


def memory(last: TpmState | None) -> Memory:
    if last is None:
        return Memory()
    return Memory(last=LastReport(report=report(tpm=last), digest=bytes(32), rows=()))


KEPT = KeepReport(
    sequence=1,
    digest=bytes(32),
    envelope=Envelope("type", b"", (Signature("k", b"s"),)),
    rows=(),
)


class Host:
    """A gate's ledger and its TPM, with crashes at the worst moments."""

    def __init__(self) -> None:
        self.tpm, self.disk = FakeTpm(), Disk()
        self.base = self.tpm.base
        self.cuts = 0
        self.start()

    def start(self, image: TpmState | str | None = "newest") -> None:
        last = self.disk.images[-1] if isinstance(image, str) else image
        self.ledger = AnchoredLedger(self.disk, self.tpm, self.base, memory(last))

    def happen(self, event: str) -> None:
        if event in ("report", "crash"):
            self.disk.saying = self.ledger.next()
            if event == "report":
                self.ledger.keep(KEPT)
                return
            # Kept, and not stepped.
            self.disk.keep(KEPT)
        elif event != "restart":
            self.tpm.reset(orderly=event == "reboot")
            self.cuts += event == "power cut"
        self.start()


@given(EVENTS)
def test_law_9_no_crash_reboot_or_loss_of_power_is_taken_for_a_rollback(events: list[str]) -> None:
    host = Host()
    for event in events:
        host.happen(event)
    seen = [image.counter for image in host.disk.images if image is not None]
    assert seen == sorted(set(seen))


@given(EVENTS, st.integers(0, 60), st.integers(0, 3))
def test_law_4_every_older_image_is_refused_at_the_start(
    events: list[str], back: int, reboots: int
) -> None:
    """However often the host is rebooted beside, without a loss of power since that image."""
    host = Host()
    for event in events:
        if event != "power cut":
            host.happen(event)
    for _ in range(reboots):
        host.tpm.reset(orderly=True)
    images = host.disk.images
    older = images[max(0, len(images) - 2 - back)]
    if older == images[-1]:
        return
    with pytest.raises(TpmError) as error:
        host.start(older)
    assert error.value.code == "tpm.ledger.old"


@given(st.integers(0, 600), st.integers(1, 600))
def test_a_loss_of_power_hides_at_most_the_slack(reports: int, dropped: int) -> None:
    """And what it could hide is told."""
    host = Host()
    for _ in range(reports):
        host.happen("report")
    host.tpm.reset(orderly=False)
    image = host.disk.images[-1 - min(dropped, reports)]
    try:
        host.start(image)
    except TpmError as error:
        assert error.code == "tpm.ledger.old"  # noqa: PT017 - both ends are right
        assert dropped > 0
    else:
        assert min(dropped, reports) <= SLACK + 1
        stood = host.disk.images[-1]
        moved = (host.base.counter if stood is None else stood.counter) | SLACK
        named = host.base.counter if image is None else image.counter
        assert bool(host.ledger.findings) == (moved != named)


def test_a_gate_whose_memory_was_put_back_is_stopped_at_its_next_report() -> None:
    """A virtual machine that is restored with its memory, and not with its TPM."""
    host = Host()
    host.happen("report")
    snapshot = copy(host.ledger)
    host.happen("report")
    host.disk.saying = snapshot.next()
    with pytest.raises(TpmError) as error:
        snapshot.keep(KEPT)
    assert error.value.code == "tpm.counter.moved"


def test_each_report_costs_one_step_and_a_restart_none() -> None:
    host = Host()
    for _ in range(5):
        host.happen("report")
        host.happen("restart")
    assert host.tpm.steps == 5
