"""Quotes of the TPM for enrolments: made once each, and kept as they leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from flopgate_agent.replacing import replace_file
from flopgate_agent.toml_table import read_bytes
from flopgate_proto.codec import parse_message
from flopgate_proto.codec.transport import tpm_quote_to_wire
from flopgate_proto.errors import ConfigError, PeerError, StorageError
from flopgate_proto.tpm_quote import TpmQuote, quote_nonce
from flopgate_proto.v1 import flopgate_pb2 as pb

FOLDER: Final = "quotes"
"""In ``state_dir``: a file for each enrolment, by its digest."""
KEPT_MAX: Final = 16
"""An enrolment for each authority, and for some couriers that came with another key."""


class Tpm(Protocol):
    """What quotes."""

    def quote(self, nonce: bytes, pcrs: Sequence[int]) -> TpmQuote:
        """Raises ``TpmError``."""


class Quoting:
    """Couriers say hello often, and each time they are given the same bytes."""

    def __init__(self, tpm: Tpm, pcrs: Sequence[int], state_dir: Path) -> None:
        self._tpm = tpm
        self._pcrs = tuple(pcrs)
        self._state_dir = state_dir

    def of(self, enrolment_digest: bytes) -> pb.TpmQuote:
        """For one enrolment.

        Raises:
            TpmError: the TPM did not make one.
            StorageError: it cannot be kept, so it must not leave.
        """
        kept = read_quote(self._state_dir, enrolment_digest)
        if kept is not None:
            return kept
        made = tpm_quote_to_wire(self._tpm.quote(quote_nonce(enrolment_digest), self._pcrs))
        try:
            self._keep(_path(self._state_dir, enrolment_digest), made.SerializeToString())
        except OSError as error:
            raise StorageError(
                f"cannot keep a quote under {self._state_dir}: {error.strerror or error}",
                code="tpm.quote.keep",
                remedy="Make room, and give the gate its state_dir back.",
            ) from error
        return made

    def _keep(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, data, durable=True)
        others = sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for old in others[:-KEPT_MAX]:
            old.unlink()


def read_quote(state_dir: Path, enrolment_digest: bytes) -> pb.TpmQuote | None:
    """The one that leaves with this enrolment; ``None`` where none was made."""
    try:
        data = read_bytes(_path(state_dir, enrolment_digest))
        return parse_message(pb.TpmQuote(), data)
    except (ConfigError, PeerError):
        # Damaged or gone, it is made anew: authorities verify it, whatever lies here.
        return None


def _path(state_dir: Path, enrolment_digest: bytes) -> Path:
    return state_dir / FOLDER / enrolment_digest.hex()
