"""A TPM quotes for an enrolment, from the gate through the courier to the governor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.config import TpmConfig
from flopgate_agent.gate_process.identity import open_identity
from flopgate_agent.tpm.quoting import read_quote
from flopgate_proto.codec.transport import tpm_quote_from_wire
from flopgate_proto.tpm_quote import check_quote
from tests.support.swtpm import Swtpm
from tests.support.versions import Versions
from tests.support.waiting import until

pytestmark = pytest.mark.components
NEW = frozenset[str]()


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with Swtpm(tmp_path / "tpm") as one:
        yield one


def test_what_the_tpm_quotes_is_what_tpm2_tools_read(tpm: Swtpm, tmp_path: Path) -> None:
    tpm.tool("tpm2_pcrextend", f"7:sha256={'5a' * 32}")
    identity = open_identity(tmp_path, TpmConfig(tcti=tpm.tcti, required=True), os.environ)
    assert identity.quoting is not None
    quote = identity.quoting.of(bytes(32))
    # The same bytes to each courier, of the next run of the gate too.
    assert identity.quoting.of(bytes(32)) == quote == read_quote(tmp_path, bytes(32))
    identity.close()
    checked = check_quote(tpm_quote_from_wire(quote), identity.signer.spki, bytes(32))
    said = tpm.tool("tpm2_pcrread", "sha256:0,1,2,3,4,5,6,7", "-o", str(tmp_path / "pcrs"))
    assert "sha256" in said
    digest = tpm.tool("sha256sum", str(tmp_path / "pcrs")).split()[0]
    assert checked.pcr_digest.hex() == digest
    assert checked.pcrs == tuple(range(8))


def test_the_governor_shows_what_the_tpm_of_an_enrolled_host_said(
    tpm: Swtpm, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    with Versions(tmp_path / "site", tmp_path, NEW, tpm=tpm.tcti) as site:
        site.found()
        site.start("gate")
        site.start("courier")
        site.until_told("lane.runs")
        host = site.host()
        assert host["assurance"] == "ASSURANCE_TPM"
        assert host["tpm"]["pcrs"] == list(range(8))
        before = site.sequence()
        site.stop("gate")
        site.start("gate")
        until(lambda: site.sequence() > before + 1, "reports of the next run")
