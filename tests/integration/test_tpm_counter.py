"""A ledger that is older than the TPM's counter is refused, with real gates and a software TPM."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flopgate_agent.config import TpmConfig
from flopgate_agent.counters.client import child_environment
from flopgate_agent.gate_process.identity import open_identity
from flopgate_agent.tpm.client import TpmClient
from flopgate_agent.tpm.wire import COUNTER_INDEX
from flopgate_proto.errors import TpmError
from flopgate_proto.values import LaneState
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support.gate_host import GateHost
from tests.support.swtpm import Swtpm
from tests.support.waiting import WAIT_S, until

pytestmark = pytest.mark.components
DEFINE = ("tpm2_nvdefine", "-C", "o", "-s", "8", "-a")


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with Swtpm(tmp_path / "tpm") as one:
        yield one


@contextmanager
def reporting(tpm: Swtpm, folder: Path) -> Iterator[GateHost]:
    """A host that runs, after some reports."""
    folder.mkdir()
    with GateHost(folder, {"run-7": [0]}, tpm=tpm.tcti) as host:
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        more(host)
        yield host


def more(host: GateHost, reports: int = 2) -> None:
    """Wait for further reports."""
    before = host.courier.snapshot.sequence
    until(lambda: host.courier.snapshot.sequence >= before + reports, "reports")


def refused(host: GateHost) -> str:
    """What a gate that does not start says."""
    gate = host.launch()
    assert gate.wait(WAIT_S) == 1
    host.gate = None
    return host.logged()


def image(host: GateHost, name: str) -> Path:
    """The state of a gate that does not run, copied."""
    return Path(shutil.copytree(host.state, host.folder / name))


def put_back(host: GateHost, copy: Path) -> None:
    """The same, the other way."""
    shutil.rmtree(host.state)
    shutil.copytree(copy, host.state)


def test_a_disk_image_that_is_put_back_is_refused_and_the_newest_goes_on(
    tpm: Swtpm, tmp_path: Path
) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        host.stop_gate()
        old = image(host, "old")
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        counters = [one.tpm.counter for one in host.courier.chain() if one.tpm is not None]
        sequences = [one.sequence for one in host.courier.chain()]
        assert counters == list(range(counters[0], counters[0] + len(sequences)))
        host.stop_gate()
        new = image(host, "new")
        put_back(host, old)
        said = refused(host)
        assert "tpm.ledger.old" in said
        assert "Put the newest ledger back" in said
        # Also after an orderly reboot, and without any ledger at all.
        tpm.shut_down()
        tpm.on()
        assert "tpm.ledger.old" in refused(host)
        (host.state / "ledger.sqlite").unlink()
        for side in host.state.glob("ledger.sqlite-*"):
            side.unlink()
        assert "tpm.ledger.old" in refused(host)
        put_back(host, new)
        host.start()
        host.until_state("run-7", LaneState.RUNNING)


def test_a_gate_killed_at_any_moment_starts_again(tpm: Swtpm, tmp_path: Path) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        for _ in range(3):
            host.kill_gate()
            host.start()
            host.until_state("run-7", LaneState.RUNNING)


def test_a_loss_of_power_is_told_and_starts_again(tpm: Swtpm, tmp_path: Path) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        host.kill_gate()
        tpm.cut()
        tpm.on()
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        until(host.courier.chain, "a report")
        first = host.courier.chain()[0]
        assert {"tpm.counter.jumped"} <= {one.id for one in first.findings}
        assert first.tpm is not None
        assert not first.tpm.safe


def test_a_counter_that_somebody_removed_is_named(tpm: Swtpm, tmp_path: Path) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        ends = [one.tpm.counter for one in host.courier.chain() if one.tpm is not None]
        host.stop_gate()
        tpm.tool("tpm2_nvundefine", "-C", "o", hex(COUNTER_INDEX))
        said = refused(host)
        assert "tpm.counter.undefined" in said
        # A new one goes on from the highest, so that this is no way around.
        client = TpmClient(tpm.tcti, env=child_environment(os.environ))
        stands = client.define().counter
        client.close()
        assert stands is not None
        assert stands > max(ends)


def test_a_counter_that_somebody_steps_stops_the_host_and_is_named(
    tpm: Swtpm, tmp_path: Path
) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        host.stop_gate()
        tpm.tool("tpm2_nvincrement", "-C", hex(COUNTER_INDEX), hex(COUNTER_INDEX))
        assert "tpm.ledger.old" in refused(host)


def test_a_tpm_whose_own_state_was_put_back_is_refused(tpm: Swtpm, tmp_path: Path) -> None:
    with reporting(tpm, tmp_path / "host") as host:
        host.stop_gate()
        tpm.shut_down()
        shutil.copytree(tpm.folder, tmp_path / "tpm-old")
        tpm.on()
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        more(host)
        host.stop_gate()
        tpm.cut()
        shutil.rmtree(tpm.folder)
        shutil.copytree(tmp_path / "tpm-old", tpm.folder)
        tpm.on()
        assert "tpm.counter.behind" in refused(host)


def fits(tpm: Swtpm, index: int, attributes: str = "") -> bool:
    """Whether the TPM had room for one more index of 8 bytes."""
    try:
        tpm.tool(*DEFINE, f"ownerread|ownerwrite{attributes}", hex(index))
    except subprocess.CalledProcessError:
        return False
    return True


def test_a_tpm_without_room_for_a_counter_is_named(tpm: Swtpm, tmp_path: Path) -> None:
    taken = 0
    while fits(tpm, 0x0180_0000 + taken, "|orderly|nt=0x1"):
        taken += 1
    assert taken
    state = tmp_path / "state"
    state.mkdir()
    with pytest.raises(TpmError) as error:
        open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert error.value.code == "tpm.counter.space"
    assert "tpm2_nvundefine" in error.value.remedy
    assert not list(state.iterdir())


def test_an_index_of_somebody_else_is_not_taken_for_the_counter(tpm: Swtpm, tmp_path: Path) -> None:
    assert fits(tpm, COUNTER_INDEX)
    with pytest.raises(TpmError) as error:
        open_identity(tmp_path, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert error.value.code == "tpm.counter.foreign"


@pytest.mark.parametrize(
    "events",
    [
        ("step", "reboot", "step", "cut", "step"),
        ("cut", "cut", "reboot"),
        ("step",) * 300 + ("cut", "step", "reboot"),
    ],
)
def test_the_fake_tpm_counts_as_a_real_one(tpm: Swtpm, events: tuple[str, ...]) -> None:
    fake, real = FakeTpm(), TpmClient(tpm.tcti, env=child_environment(os.environ))
    real.define()
    # The client only reloads what was loaded before it makes up for a lost connection.
    real.load(real.make())
    stands = real.seen().counter
    assert stands is not None
    fake.counter = stands
    for event in events:
        if event == "step":
            assert fake.counter is not None
            wanted = fake.counter + 1
            fake.reach(wanted)
            real.reach(wanted)
        else:
            if event == "reboot":
                real.close()
                tpm.shut_down()
            else:
                tpm.cut()
            tpm.on()
            fake.reset(orderly=event == "reboot")
        told, expected = real.seen(), fake.seen()
        assert told.counter == expected.counter
        assert told.reset_count == expected.reset_count
        assert (told.orderly, told.slack) == (expected.orderly, expected.slack)
    with pytest.raises(TpmError) as error:
        real.reach(stands)
    assert error.value.code == "tpm.counter.moved"
    real.close()
