"""The host key: in a file of the gate, or in the host's TPM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_agent.config import TpmConfig
from flopgate_agent.counters.client import child_environment
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate_process.host import load_or_make_key
from flopgate_agent.ledger import Ledger
from flopgate_agent.tpm import kept
from flopgate_agent.tpm.anchored import AnchoredLedger
from flopgate_agent.tpm.client import TpmClient
from flopgate_agent.tpm.kept import KeptKeys
from flopgate_agent.tpm.quoting import Quoting
from flopgate_agent.tpm.rollback import Base
from flopgate_agent.tpm.wire import NO_LIBRARY, UNREACHABLE
from flopgate_proto.errors import ConfigError, StorageError, TpmError
from flopgate_proto.keys import Signer
from flopgate_proto.values import Assurance

KEY_FILE: Final = "host.key"
TPM_FILE: Final = "host.tpm"
"""See `tpm.kept`."""


FROM_NOTHING: Final = Base(counter=0, reset_count=0)


class TpmSigner:
    """The host key in the TPM, as a `Signer`."""

    def __init__(self, tpm: TpmClient, spki: bytes) -> None:
        self._tpm = tpm
        self.spki = spki

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA signature over SHA-256 of ``message``.

        Raises:
            TpmError: the TPM did not make one.
        """
        return self._tpm.sign(hashlib.sha256(message).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this host is.

    Attributes:
        tpm: what holds the key; ``None`` for a key in a file.
        quoting: makes quotes, where there is a TPM.
        base: where the TPM's counter stood when the key was made.
    """

    signer: Signer
    tpm: TpmClient | None = None
    base: Base = FROM_NOTHING
    quoting: Quoting | None = None

    @property
    def assurance(self) -> Assurance:
        """What stands behind a statement."""
        return Assurance.SOFTWARE if self.tpm is None else Assurance.TPM

    @property
    def pid(self) -> int | None:
        """Process that holds it, where it is not this one."""
        return None if self.tpm is None else self.tpm.pid

    def close(self) -> None:
        """End what holds it."""
        if self.tpm is not None:
            self.tpm.close()


def anchored(ledger: Ledger, identity: Identity, memory: Memory) -> AnchoredLedger | None:
    """The ledger as the TPM vouches for it; ``None`` without a TPM.

    Raises:
        TpmError: it is not the newest that the TPM knows.
    """
    if identity.tpm is None:
        return None
    return AnchoredLedger(ledger, identity.tpm, identity.base, memory)


def open_identity(state_dir: Path, tpm: TpmConfig | None, environ: Mapping[str, str]) -> Identity:
    """The host key of this ``state_dir``, made at the first start.

    A host that has a key never gets another one by itself: it would be another host.

    Raises:
        ConfigError: the configuration says another place than the key was made in, or the files
            cannot be used.
        StorageError: a new key cannot be kept.
        TpmError: the TPM does not answer, or did not make this key.
    """
    in_file, in_tpm = state_dir / KEY_FILE, state_dir / TPM_FILE
    if tpm is None:
        if in_tpm.exists():
            raise ConfigError(
                f"the host key is in the TPM ({in_tpm}), and gate.toml has no [tpm]",
                code="key.in-tpm",
                remedy="Put [tpm] back into gate.toml.",
            )
        return Identity(signer=load_or_make_key(in_file))
    if in_file.exists():
        if in_tpm.exists():
            # An older version of the gate, which knows no TPM, made another one.
            raise ConfigError(
                f"there are two host keys, {in_file} and {in_tpm}",
                code="key.two",
                remedy="Keep the one under which this host is enrolled, and move the other away.",
            )
        if not tpm.required:
            return Identity(signer=load_or_make_key(in_file))
        raise ConfigError(
            f"the host key is in a file ({in_file}), and gate.toml asks for one in the TPM",
            code="key.in-file",
            remedy="A key in the TPM makes this another host: have the authority close the old "
            "chain and enrol anew with an empty state_dir, or take [tpm] out of gate.toml.",
        )
    client = TpmClient(tpm.tcti, env=child_environment(environ))
    try:
        found = kept.read(in_tpm) if in_tpm.exists() else _made(client, in_tpm)
        spki = client.load(found.keys)
    except StorageError:
        client.close()
        raise
    except TpmError as error:
        client.close()
        if tpm.required or in_tpm.exists() or error.code not in (UNREACHABLE, NO_LIBRARY):
            raise
        return Identity(signer=load_or_make_key(in_file))
    return Identity(
        signer=TpmSigner(client, spki),
        tpm=client,
        base=found.base,
        quoting=Quoting(client, tpm.pcrs, state_dir),
    )


def _made(client: TpmClient, path: Path) -> KeptKeys:
    keys = client.make()
    seen = client.define()
    base = Base(counter=seen.counter or 0, reset_count=seen.reset_count)
    made = KeptKeys(keys=keys, base=base)
    # Keys that were never kept were never used.
    kept.write(path, made)
    return made
