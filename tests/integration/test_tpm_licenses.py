"""The counter of reservations in a software TPM: a license is spent once (law 5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flopgate_agent.counters.client import child_environment
from flopgate_agent.tpm.client import TpmClient
from flopgate_agent.tpm.rollback import Base, Seen
from flopgate_agent.tpm.wire import SPENT_INDEX
from flopgate_proto.errors import TpmError
from flopgate_proto.values import LaneState, SingleUse, TpmState
from tests.support.gate_license_rig import LicenseRig
from tests.support.swtpm import Swtpm

pytestmark = pytest.mark.components


class Real:
    """The TPM of a rig: a child asks the software TPM, a new one after each reset."""

    def __init__(self, tpm: Swtpm) -> None:
        self.tpm = tpm
        self._client = self._new()
        seen = self._client.define()
        self.base = Base(counter=seen.counter or 0, reset_count=seen.reset_count)

    def _new(self) -> TpmClient:
        return TpmClient(self.tpm.tcti, env=child_environment(os.environ))

    def close(self) -> None:
        self._client.close()

    def lose_power(self) -> None:
        """No orderly shutdown."""
        self.close()
        self.tpm.cut()
        self.tpm.on()
        self._client = self._new()

    def seen(self) -> Seen:
        return self._client.seen()

    def state(self, counter: int) -> TpmState:
        return self._client.state(counter)

    def reach(self, counter: int) -> None:
        self._client.reach(counter)

    def spent(self) -> int:
        return self._client.spent()

    def spend(self, counter: int) -> None:
        self._client.spend(counter)


@contextmanager
def powered(folder: Path) -> Iterator[Real]:
    with Swtpm(folder) as tpm:
        real = Real(tpm)
        try:
            yield real
        finally:
            real.close()


@contextmanager
def licensed(folder: Path) -> Iterator[tuple[LicenseRig, Real]]:
    """A host that runs on a license, counted by a TPM."""
    with powered(folder / "tpm") as real:
        rig = LicenseRig(folder, tpm=real)
        rig.licensed(single_use=SingleUse.TPM)
        rig.run(30_000)
        assert rig.state is LaneState.RUNNING
        yield rig, real


def refused(rig: LicenseRig) -> str:
    """Why a gate does not start."""
    with pytest.raises(TpmError) as error:
        rig.again(boot=True)
    return error.value.code


def test_it_is_made_when_it_is_needed_and_a_loss_of_power_moves_it_by_nothing(
    tmp_path: Path,
) -> None:
    with powered(tmp_path / "tpm") as real:
        assert real.seen().spent is None
        stands = real.spent()
        assert real.spent() == stands
        real.spend(stands + 1)
        for wrong in (stands, stands + 1, stands + 3):
            with pytest.raises(TpmError):
                real.spend(wrong)
            real.lose_power()
        assert real.seen().spent == stands + 1
        real.lose_power()
        assert real.seen().spent == stands + 1


def test_a_host_goes_on_after_a_loss_of_power(tmp_path: Path) -> None:
    with licensed(tmp_path) as (rig, real):
        real.lose_power()
        rig.again(boot=True)
        rig.run_until(LaneState.RUNNING)


def test_a_disk_that_was_put_back_over_a_loss_of_power_is_refused(tmp_path: Path) -> None:
    with licensed(tmp_path) as (rig, real):
        image = rig.image()
        rig.run(90_000)
        rig.put_back(image)
        real.lose_power()
        assert refused(rig) == "license.rolled-back"


def test_a_counter_that_is_removed_or_of_another_tpm_is_refused(tmp_path: Path) -> None:
    with licensed(tmp_path) as (rig, real), powered(tmp_path / "other") as other:
        rig.tpm = other
        assert refused(rig) in {"tpm.counter.behind", "license.rolled-back", "tpm.ledger.old"}
        rig.tpm = real
        real.close()
        real.tpm.tool("tpm2_nvundefine", "-C", "o", hex(SPENT_INDEX))
        real.lose_power()
        assert refused(rig) == "license.rolled-back"


def test_something_else_in_its_place_is_named(tmp_path: Path) -> None:
    with powered(tmp_path / "tpm") as real:
        real.close()
        attributes = "ownerread|ownerwrite"
        define = ("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", attributes, hex(SPENT_INDEX))
        real.tpm.tool(*define)
        real.lose_power()
        with pytest.raises(TpmError) as error:
            real.spent()
        assert error.value.code == "tpm.counter.foreign"
        assert error.value.remedy
