"""`flopgate-agent license` at a real gate: asks, installs, returns, and says why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.gate.licenses.checking import LicenseFile
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_proto.codec import (
    PayloadType,
    decode_report,
    encode_trusted_time,
    envelope_to_json,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.files import REQUEST_KIND, asking_hosts, read_reports, write_licenses
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, TrustedTime
from tests.support import license_files
from tests.support.fixed import AUTHORITY, GOVERNOR_UNIX_MS, PERMIT_KEY
from tests.support.gate_host import GateHost
from tests.support.gate_license_rig import LICENSES, issue
from tests.support.waiting import WAIT_S, until

WORKLOAD = "run-7"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    with GateHost(tmp_path, {WORKLOAD: [0]}, gpus=1) as made:
        made.authority.policy = replace(made.authority.policy, **LICENSES)
        yield made


def license_command(
    host: GateHost, *arguments: object, status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "flopgate_agent.cli", "license", *map(str, arguments)]
    done = subprocess.run(
        [*command, "--config", str(host.config)], capture_output=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == status, done.stderr.decode()
    return done


def request(host: GateHost) -> tuple[bytes, Envelope]:
    """The host's request file, and the report in it that asks."""
    file = license_command(host, "request", "--span", "10m", "--name", "node-1").stdout
    (asking,) = asking_hosts([file])
    *_, (_, report) = read_reports(REQUEST_KIND, [file])
    assert (asking.host.name, asking.request) == ("node-1", report.envelope.digest)
    return file, report.envelope


def wire(found: LicenseFile) -> pb.HostLicense:
    proven = found.proven
    leaf = pb.AnswerLeaf(payload=proven.payload, index=proven.index, path=proven.path)
    return pb.HostLicense(
        host_id=found.host_id,
        authority=found.authority,
        answer=pb.AnswerBatch(batch_root=envelope_to_wire(proven.root), answers=[leaf]),
        approval=envelope_to_wire(found.approval),
    )


def license_file(host: GateHost, report: Envelope, folder: Path) -> Path:
    path = folder / "site.license"
    path.write_bytes(b"".join(write_licenses([wire(issue(host.authority, report))])))
    return path


def test_a_host_without_a_link_runs_on_by_a_file(host: GateHost, tmp_path: Path) -> None:
    host.start()
    host.until_state(WORKLOAD, LaneState.RUNNING)
    host.courier.mode = "cut"
    file, report = request(host)
    reports = read_reports(REQUEST_KIND, [file])
    sequences = [decode_report(one.envelope.payload).sequence for _, one in reports]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    until(lambda: host.courier.snapshot.sequence >= sequences[-1], "the gate to tell of it")
    acknowledged = host.courier.snapshot.acknowledged_sequence
    assert sequences[0] <= acknowledged + 1, "everything since the last acknowledgement"
    path = license_file(host, report, tmp_path)
    said = license_command(host, "install", path).stdout.decode()
    assert said.startswith("installed:\nlicense for host ")
    job = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    ends_ms = host.courier.last_grant_ms
    until(lambda: elapsed_ms() > ends_ms + 2_000, "the last permit to be over")
    assert host.state_of(WORKLOAD) is LaneState.RUNNING
    assert job.poll() is None
    held = license_command(host, "show").stdout.decode()
    assert held.startswith(f"{AUTHORITY}: held, ")
    (licensed,) = read_status(str(status_path(host.door)))["licenses"]
    assert licensed["request"] == report.digest.hex()

    assert license_command(host, "install", path).stdout.startswith(b"installed already: ")
    license_command(host, "return", AUTHORITY)
    host.until_state(WORKLOAD, LaneState.HALTED)
    assert b"license." in license_command(host, "install", path, status=1).stderr


def test_a_file_that_is_not_this_hosts_leaves_the_gate_as_it_was(
    host: GateHost, tmp_path: Path
) -> None:
    host.start()
    host.until_state(WORKLOAD, LaneState.RUNNING)
    _, report = request(host)
    path = license_file(host, report, tmp_path)
    other = tmp_path / "other.license"
    other.write_bytes(license_files.license_file())
    assert b"license-file.host" in license_command(host, "install", other, status=1).stderr
    other.write_bytes(path.read_bytes()[:-30])
    assert b"license-file.cut" in license_command(host, "install", other, status=1).stderr
    assert b"holds no license" in license_command(host, "show").stdout
    license_command(host, "install", path)
    # Told at once: it contradicts nobody who has just read `installed`.
    assert b": held, " in license_command(host, "show").stdout


def test_a_time_that_an_authority_signed_is_taken_and_a_strangers_is_not(
    host: GateHost, tmp_path: Path
) -> None:
    host.start()
    host.until_state(WORKLOAD, LaneState.RUNNING)
    payload = encode_trusted_time(
        TrustedTime(authority=AUTHORITY, governor_unix_ms=GOVERNOR_UNIX_MS + 3_600_000)
    )
    path = tmp_path / "time.json"
    path.write_text(envelope_to_json(seal(PayloadType.TRUSTED_TIME, payload, [PERMIT_KEY])))
    assert b"time of agency.example: 2027-01-15" in license_command(host, "time", path).stdout
    path.write_text(
        envelope_to_json(seal(PayloadType.TRUSTED_TIME, payload, [license_files.OTHER_KEY]))
    )
    assert b"envelope.quorum" in license_command(host, "time", path, status=1).stderr
    opened = license_command(host, "open", path, status=1).stderr
    assert b"license.given" in opened
