"""A quote is made once for each enrolment, kept before it leaves, and shown as it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from flopgate_agent.outbox.entries import entry
from flopgate_agent.outbox.telling import told
from flopgate_agent.tpm.quoting import KEPT_MAX, Quoting, read_quote
from flopgate_proto.codec.transport import tpm_quote_from_wire
from flopgate_proto.errors import StorageError
from flopgate_proto.tpm_quote import TpmQuote, check_quote, quote_nonce
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.fixed import HOST_KEY
from tests.support.gate_rig import running
from tests.support.quoting import QuotingTpm

PCRS = tuple(range(8))


class Tpm:
    """Quotes for the digests that the test names."""

    def __init__(self, *digests: bytes) -> None:
        self._by_nonce = {quote_nonce(digest): digest for digest in digests}
        self.asked = 0

    def quote(self, nonce: bytes, pcrs: Sequence[int]) -> TpmQuote:
        assert tuple(pcrs) == PCRS
        self.asked += 1
        return QuotingTpm(host=HOST_KEY).quote(self._by_nonce[nonce])


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_it_is_made_once_and_the_same_for_the_next_run(tmp_path: Path) -> None:
    tpm = Tpm(digest(1))
    first = Quoting(tpm, PCRS, tmp_path).of(digest(1))
    assert Quoting(tpm, PCRS, tmp_path).of(digest(1)) == first
    assert tpm.asked == 1
    check_quote(tpm_quote_from_wire(first), HOST_KEY.spki, digest(1))
    (tmp_path / "quotes" / digest(1).hex()).write_bytes(b"\xff damaged")
    assert Quoting(tpm, PCRS, tmp_path).of(digest(1)) == first
    assert tpm.asked == 2


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    numbers = range(KEPT_MAX + 5)
    quoting = Quoting(Tpm(*map(digest, numbers)), PCRS, tmp_path)
    for number in numbers:
        quoting.of(digest(number))
    assert len(list((tmp_path / "quotes").iterdir())) == KEPT_MAX
    assert read_quote(tmp_path, digest(0)) is None
    assert read_quote(tmp_path, digest(numbers[-1])) is not None


def test_one_that_cannot_be_kept_does_not_leave(tmp_path: Path) -> None:
    (tmp_path / "quotes").write_text("in its place")
    with pytest.raises(StorageError) as error:
        Quoting(Tpm(digest(1)), PCRS, tmp_path).of(digest(1))
    assert error.value.code == "tpm.quote.keep"


def test_the_outbox_shows_it_as_it_left(tmp_path: Path) -> None:
    rig = running()
    memory = rig.ledger.load()
    asked = memory.authorities[0].enrolment
    assert asked is not None
    quote = Quoting(Tpm(asked.digest), PCRS, tmp_path).of(asked.digest)
    name = f"enrolment/{memory.authorities[0].name}"
    shown = entry(rig.ledger, memory, name, lambda one: read_quote(tmp_path, one))
    assert pb.EnrollRequest.FromString(shown.raw).tpm == quote
    said = "\n".join(told(shown))
    assert "beside it, signed by the TPM" in said
    assert quote.quote.hex() in said
    without = entry(rig.ledger, memory, name)
    assert "TPM" not in "\n".join(told(without))
