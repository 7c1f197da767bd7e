"""A governor believes a TPM that quoted for the enrolment, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.commands.status import lines_of
from flopgate_governor.joining.admission import admit
from flopgate_governor.service.overview import overview
from flopgate_proto.codec import PayloadType, decode_enrolment, encode_enrolment
from flopgate_proto.codec.transport import tpm_quote_to_wire
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import PeerError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Assurance
from tests.support.governor import FakeHost, LocalGovernor
from tests.support.quoting import PCR_DIGEST, QuotingTpm


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalGovernor]:
    made = LocalGovernor.make(tmp_path / "g.sqlite")
    yield made
    made.state.store.close()


def claiming(site: LocalGovernor, host: FakeHost, assurance: Assurance = Assurance.TPM) -> Envelope:
    """An enrolment that says what stands behind the host key."""
    value = decode_enrolment(host.enrolment(site.token()).payload)
    claimed = encode_enrolment(replace(value, assurance=assurance))
    return seal(PayloadType.ENROLMENT, claimed, [host.key])


def shown(site: LocalGovernor) -> pb.HostStatus:
    (host,) = overview(site.state, ()).hosts
    return host


def test_a_quote_that_holds_is_kept_and_shown(site: LocalGovernor) -> None:
    host = FakeHost(1)
    enrolment = claiming(site, host)
    quote = QuotingTpm(host=host.key).quote(enrolment.digest)
    admit(site.state, enrolment, tpm_quote_to_wire(quote))
    told = shown(site)
    assert told.assurance == pb.ASSURANCE_TPM
    assert told.tpm.attestation_key == key_digest(SigningKey.from_scalar(0xA77).spki)
    assert list(told.tpm.pcrs) == list(range(8))
    assert told.tpm.pcr_digest == PCR_DIGEST
    said = "\n".join(lines_of(overview(site.state, ())))
    assert f"PCR 0,1,2,3,4,5,6,7: {PCR_DIGEST.hex()}" in said
    # Asking again answers as before, with or without it.
    admit(site.state, enrolment)
    assert site.count("tpm_quote") == 1


@pytest.mark.parametrize("assurance", [Assurance.TPM, Assurance.SOFTWARE])
def test_a_claim_without_a_quote_counts_as_software(
    site: LocalGovernor, assurance: Assurance
) -> None:
    host = FakeHost(1)
    admit(site.state, claiming(site, host, assurance))
    assert shown(site).assurance == pb.ASSURANCE_SOFTWARE
    assert not shown(site).HasField("tpm")
    assert " tpm " not in "\n".join(lines_of(overview(site.state, ())))


def test_a_quote_that_nobody_claims_is_left_alone(site: LocalGovernor) -> None:
    host = FakeHost(1)
    enrolment = claiming(site, host, Assurance.SOFTWARE)
    quote = QuotingTpm(host=host.key).quote(enrolment.digest)
    admit(site.state, enrolment, tpm_quote_to_wire(quote))
    assert shown(site).assurance == pb.ASSURANCE_SOFTWARE


def test_a_quote_that_does_not_hold_admits_nobody(site: LocalGovernor) -> None:
    host = FakeHost(1)
    enrolment = claiming(site, host)
    for quote in (
        QuotingTpm(host=host.key).quote(bytes(32)),
        QuotingTpm(host=SigningKey.from_scalar(77)).quote(enrolment.digest),
        QuotingTpm(host=host.key, attestation_attributes=0).quote(enrolment.digest),
    ):
        with pytest.raises(PeerError) as error:
            admit(site.state, enrolment, tpm_quote_to_wire(quote))
        assert error.value.code.startswith("quote.")
    assert site.count("host") == site.count("tpm_quote") == 0
