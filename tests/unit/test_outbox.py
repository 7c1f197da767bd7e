"""What leaves the host is shown whole: in words, for programs, and byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from flopgate_agent.cli import main
from flopgate_agent.ledger import Ledger
from flopgate_agent.outbox.words import FIELDS
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.gate_rig import GateRig


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateRig]:
    """Its ledger is held by the rig all the time, as by a running gate."""
    rig = GateRig(ledger=Ledger(tmp_path / "ledger.sqlite"))
    rig.hardware.start(pid=1)
    yield rig.enrol().run(400_000)
    rig.ledger.close()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gate.toml"
    path.write_text(f'state_dir = "{tmp_path}"\ndoor_path = "/d"\ncourier_uids = [0]\n')
    return str(path)


def parts(kind: Descriptor) -> set[str]:
    """Every field that can stand in a message, however deep."""
    found = {f"{kind.name}.{field.name}" for field in kind.fields}
    for field in kind.fields:
        if field.message_type is not None:
            found |= parts(field.message_type)
    return found


def leaves(message: Message) -> Iterator[object]:
    """Every value that a message holds, however deep."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from leaves(one)
            elif field.enum_type is None:
                yield one


def test_every_field_that_can_leave_has_words() -> None:
    leaving = (pb.Report, pb.BatchRoot, pb.Enrolment, pb.TpmQuote)
    assert set(FIELDS) == set[str]().union(*(parts(one.DESCRIPTOR) for one in leaving))


def test_the_list_names_what_left_and_who_has_it(
    host: GateRig, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["outbox", "--config", config, "--newest", "2"]) == 0
    first, *reports = capsys.readouterr().out.splitlines()
    name = host.authority.name
    assert first.startswith(f"enrolment/{name}  ")
    assert [line.split("  ")[0] for line in reports] == [
        str(len(host.reports) - 1),
        str(len(host.reports)),
    ]
    assert f"held by {name}" in reports[0]
    host.run_until_request()
    main(["outbox", "--config", config])
    assert f"not acknowledged by {name}" in capsys.readouterr().out.splitlines()[-1]


def test_raw_bytes_are_those_that_the_courier_is_given(
    host: GateRig, config: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for sequence, signed in host.ledger.reports(1, 100):
        assert main(["outbox", str(sequence), "--raw", "--config", config]) == 0
        raw = capfdbinary.readouterr().out
        assert raw == signed.SerializeToString()
        assert envelope_from_wire(pb.SignedReport.FromString(raw).envelope) in host.reports
        assert not pb.SignedReport.FromString(raw).rows
    main(["outbox", f"enrolment/{host.authority.name}", "--raw", "--config", config])
    sent = pb.EnrollRequest.FromString(capfdbinary.readouterr().out).enrolment
    assert envelope_from_wire(sent) == host.core.authorities[host.authority.name].enrolment


@pytest.mark.parametrize("entry", ["1", "3", "enrolment"])
def test_words_leave_nothing_out(
    host: GateRig, config: str, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"enrolment/{host.authority.name}" if entry == "enrolment" else entry
    assert main(["outbox", name, "--config", config]) == 0
    told = capsys.readouterr().out
    main(["outbox", name, "--json", "--config", config])
    envelope = json.loads(capsys.readouterr().out)["envelope"]
    assert envelope["signatures"][0]["keyid"] in told
    message: Message = pb.Report() if entry != "enrolment" else pb.Enrolment()
    stored = host.ledger.load().authorities[0].enrolment
    assert stored is not None
    message.ParseFromString(
        stored.payload if entry == "enrolment" else host.reports[int(entry) - 1].payload
    )
    values = list(leaves(message))
    assert len(values) > 15
    for value in values:
        assert (value.hex() if isinstance(value, bytes) else str(value)) in told


def test_an_entry_that_is_not_there_is_told(
    host: GateRig, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("999", "enrolment/nobody"):
        assert main(["outbox", name, "--config", config]) == 2
        told = capsys.readouterr().err
        assert told.startswith("flopgate-agent: outbox.entry: ")
        assert f"reports 1 to {len(host.reports)} are kept" in told


def test_who_has_no_rights_and_where_nothing_is_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # every user reaches the configuration, only the ledger is shut
        config, ledger = folder / "gate.toml", folder / "ledger.sqlite"
        config.write_text(f'state_dir = "{folder}"\ndoor_path = "/d"\ncourier_uids = [0]\n')
        assert main(["outbox", "--config", str(config)]) == 1
        assert "outbox.none" in capsys.readouterr().err
        Ledger(ledger).close()
        ledger.chmod(0o000)
        me = os.geteuid()
        os.seteuid(me or 65534)
        try:
            assert main(["outbox", "--config", str(config)]) == 1
        finally:
            os.seteuid(me)
    assert "outbox.rights" in capsys.readouterr().err


def test_a_copy_is_whole_at_any_moment(host: GateRig, config: str, tmp_path: Path) -> None:
    """What is not folded into the file yet lies in its write-ahead log, and is shown, too."""
    assert (tmp_path / "ledger.sqlite-wal").stat().st_size > 0
    for _ in range(20):
        host.run(30_000)
        assert main(["outbox", str(len(host.reports)), "--config", config]) == 0
