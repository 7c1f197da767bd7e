"""The host key in a TPM, real but for its silicon: made, kept, used, and lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.config import GateConfig, TpmConfig
from flopgate_agent.doctor.host_key import host_key
from flopgate_agent.doctor.verdict import State, told
from flopgate_agent.gate_process.identity import open_identity
from flopgate_proto.errors import ConfigError, ForgedError, TpmError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.values import Assurance, LaneState
from tests.support.gate_host import GateHost
from tests.support.swtpm import Swtpm
from tests.support.waiting import until

pytestmark = pytest.mark.components
NOWHERE = TpmConfig(tcti="swtpm:host=127.0.0.1,port=1", required=True)


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with Swtpm(tmp_path / "tpm") as one:
        yield one


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_the_key_is_made_once_signs_and_leaves_no_secret_on_disk(tpm: Swtpm, state: Path) -> None:
    config = TpmConfig(tcti=tpm.tcti, required=True)
    first = open_identity(state, config, os.environ)
    signature = first.signer.sign(b"a report")
    first.close()
    assert first.assurance is Assurance.TPM
    assert [one.name for one in state.iterdir()] == ["host.tpm"]
    tpm.cut()
    tpm.on()
    again = open_identity(state, config, os.environ)
    again.close()
    assert again.signer.spki == first.signer.spki
    key = VerifyingKey(first.signer.spki)
    key.verify(signature, b"a report")
    with pytest.raises(ForgedError):
        key.verify(signature, b"another report")


def test_another_tpm_cannot_use_the_key(tpm: Swtpm, state: Path, tmp_path: Path) -> None:
    open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ).close()
    with Swtpm(tmp_path / "other") as other, pytest.raises(TpmError) as error:
        open_identity(state, TpmConfig(tcti=other.tcti, required=True), os.environ)
    assert error.value.code == "tpm.other"
    assert "enrolled" in error.value.remedy


def test_a_cleared_tpm_cannot_use_the_key(tpm: Swtpm, state: Path) -> None:
    open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ).close()
    tpm.tool("tpm2_clear", "-c", "p")
    with pytest.raises(TpmError) as error:
        open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert error.value.code == "tpm.other"


def test_without_a_tpm_only_a_host_that_may_gets_a_key_in_a_file(tpm: Swtpm, state: Path) -> None:
    with pytest.raises(TpmError) as error:
        open_identity(state, NOWHERE, os.environ)
    assert error.value.code == "tpm.unreachable"
    assert not list(state.iterdir())
    may = TpmConfig(tcti=NOWHERE.tcti, required=False)
    found = open_identity(state, may, os.environ)
    assert found.assurance is Assurance.SOFTWARE
    # It stays the same host, whatever is found later.
    later = open_identity(state, TpmConfig(tcti=tpm.tcti, required=False), os.environ)
    assert later.signer.spki == found.signer.spki
    with pytest.raises(ConfigError) as other:
        open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert other.value.code == "key.in-file"


def test_a_key_in_the_tpm_is_never_replaced_by_one_in_a_file(tpm: Swtpm, state: Path) -> None:
    open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ).close()
    with pytest.raises(ConfigError) as error:
        open_identity(state, None, os.environ)
    assert error.value.code == "key.in-tpm"
    with pytest.raises(TpmError):
        open_identity(state, TpmConfig(tcti=NOWHERE.tcti, required=False), os.environ)
    (state / "host.tpm").write_bytes(b'{"format":1,"keys":{"host":["00"]}}\n')
    with pytest.raises(ConfigError) as damaged:
        open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert damaged.value.code == "key.tpm-file"


def test_a_tpm_that_lost_power_for_a_moment_signs_on(tpm: Swtpm, state: Path) -> None:
    """Its connection and loaded keys are gone; both come back by themselves."""
    found = open_identity(state, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    tpm.cut()
    tpm.on()
    VerifyingKey(found.signer.spki).verify(found.signer.sign(b"on"), b"on")
    found.close()


def test_a_gate_enrols_reports_and_restarts_with_its_key_in_the_tpm(
    tpm: Swtpm, tmp_path: Path
) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    with GateHost(folder, {"run-7": [0]}, tpm=tpm.tcti) as host:
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        first = host.courier.chain()
        assert {one.assurance for one in first} == {Assurance.TPM}
        assert host.stop_gate() == 0
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        last = host.courier.chain()[-1]
        assert last.host_id == first[0].host_id
        assert last.sequence > first[-1].sequence
        assert not (host.state / "host.key").exists()


@pytest.mark.parametrize("how", ["hangs", "vanishes"])
def test_a_gate_whose_tpm_is_gone_stops_compute_and_names_it(
    tpm: Swtpm, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    with GateHost(folder, {"run-7": [0]}, tpm=tpm.tcti) as host:
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        host.compute(fmt="fp16", drain_ms=100)
        before = host.courier.snapshot.sequence
        if how == "hangs":
            tpm.stop()
        else:
            tpm.cut()
        host.until_state("run-7", LaneState.HALTED)
        assert host.reason("run-7") == "tpm.failed"
        assert not host.driver.running(0)
        said = next(one for one in host.courier.snapshot.lanes if one.workload == "run-7")
        assert ("tpm.hung" if how == "hangs" else "tpm.unreachable") in said.stop_detail
        assert said.way_back
        # The gate itself is well: it shows what it sees, and lets itself be stopped.
        shown = host.courier.snapshot.elapsed_ms
        until(lambda: host.courier.snapshot.elapsed_ms > shown, "the gate to go on")
        assert host.stop_gate() == 0
        if how == "hangs":
            tpm.go_on()
        else:
            tpm.on()
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        assert host.courier.snapshot.sequence >= before


def test_the_doctor_says_what_the_tpm_is_good_for(tpm: Swtpm, state: Path) -> None:
    config = GateConfig(
        state_dir=state,
        door_path=state / "door",
        courier_uids=(0,),
        tpm=TpmConfig(tcti=tpm.tcti, required=True),
    )
    new = list(host_key(config, os.environ))
    assert [(one.subject, one.state) for one in new] == [
        ("tpm", State.GOOD),
        ("host key", State.NOTE),
    ]
    assert not list(state.iterdir())
    open_identity(state, config.tpm, os.environ).close()
    assert [one.state for one in host_key(config, os.environ)] == [State.GOOD, State.GOOD]
    tpm.tool("tpm2_clear", "-c", "p")
    *_, last = told("tpm", lambda: host_key(config, os.environ))
    assert last.state is State.MEND
    assert "tpm.other" in last.found
    without = replace(config, tpm=None)
    assert [one.state for one in host_key(without, os.environ)] == [State.MEND]


def test_what_these_tests_need_is_there() -> None:
    """`make components` installs it: none of them is skipped."""
    assert shutil.which("swtpm")
    assert shutil.which("tpm2_clear")
