"""Law 4: two signed reports of one host and number prove two histories, to anybody."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.views.proof import check_proof, read_signed, report_text
from flopgate_proto.codec.transport import envelope_to_json
from flopgate_proto.errors import ConfigError, HistoryError, PeerError
from flopgate_proto.keys import SigningKey
from tests.support.governor import FakeHost, LocalGovernor, cluster_policy


@pytest.fixture
def told(tmp_path: Path) -> tuple[FakeHost, str, str]:
    """A host, and its report 1 as each of two authorities has it."""
    host, texts = FakeHost(1), list[str]()
    for name, spent_tflop in (("home", 0), ("world", 9)):
        governor = LocalGovernor.make(tmp_path / f"{name}.sqlite", cluster_policy(10**9))
        governor.enroll(host, governor.token(capacity_tflop_per_s=2_000_000))
        governor.send(replace(host, unaccounted_tflop=spent_tflop).report())
        texts.append(report_text(governor.state, host.host_id, 1))
        with pytest.raises(ConfigError, match="no report 2 of host"):
            report_text(governor.state, host.host_id, 2)
    return host, texts[0], texts[1]


def test_law_4_two_reports_of_one_number_are_proof(
    told: tuple[FakeHost, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, *texts = told
    files = [tmp_path / name for name in ("home.json", "world.json")]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    assert main(["heads", "prove", *map(str, files)]) == 0
    said = capsys.readouterr().out
    assert f"host {host.host_id.hex()} signed two reports 1: it told two histories" in said
    assert main(["heads", "prove", *map(str, files), "--json"]) == 0
    digests = [read_signed(text).digest.hex() for text in texts]
    assert json.loads(capsys.readouterr().out)["reports"] == digests
    assert main(["heads", "prove", str(files[0]), str(files[0])]) == 1
    assert "they are the same report" in capsys.readouterr().err


def test_what_is_no_pair_proves_nothing(told: tuple[FakeHost, str, str]) -> None:
    one = read_signed(told[1])
    others = [replace(one.report, sequence=2), replace(one.report, host_id=bytes(32))]
    for report, why in zip(others, ("one is report 1, the other 2", "two hosts"), strict=True):
        with pytest.raises(HistoryError, match=why):
            check_proof(one, replace(one, digest=bytes(32), report=report))


@pytest.mark.parametrize("wrong", ["key", "signature", "payload", "json", "spki"])
def test_what_the_host_did_not_sign_is_refused(told: tuple[FakeHost, str, str], wrong: str) -> None:
    document = json.loads(told[1])
    match wrong:
        case "key":
            spki = SigningKey.from_scalar(77).spki
            document["host_spki"] = base64.b64encode(spki).decode()
        case "signature":
            document["report"]["signatures"][0]["sig"] = "AAAA"
        case "payload":
            document["report"]["payload"] = json.loads(told[2])["report"]["payload"]
        case "spki":
            document["host_spki"] = 7
    with pytest.raises(PeerError):
        read_signed(json.dumps(document)[: 40 if wrong == "json" else None])


def test_a_report_of_another_host_than_the_keys_is_refused(
    told: tuple[FakeHost, str, str],
) -> None:
    host = told[0]
    other = SigningKey.from_scalar(78)
    host.key = other
    signed = host.report()
    document = json.loads(told[1])

    document["host_spki"] = base64.b64encode(other.spki).decode()
    document["report"] = json.loads(envelope_to_json(signed))
    with pytest.raises(PeerError, match="another host"):
        read_signed(json.dumps(document))
