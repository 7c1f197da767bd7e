"""What a gate of the world starts from: its ledger, and the TPM that tells how old that is."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace

from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate.settings import Witness
from flopgate_agent.ledger import Ledger
from flopgate_agent.tpm.anchored import AnchoredLedger
from flopgate_proto.values import Finding
from flopgate_sim.disk import Disk
from flopgate_sim.world.hardware.tpm import HostTpm
from flopgate_sim.world.hosts.plain_ledger import PlainLedger
from flopgate_sim.world.nature.durable import LEDGER, Durable, durable_on


class GateDisk:
    """One host's.

    Attributes:
        keeper: what the running gate keeps things with, ``None`` while none runs.
        witness: the same where a TPM stands beside it.
        findings: what its start tells of the TPM.
    """

    def __init__(self, disk: Disk, plain: PlainLedger | None, tpm: HostTpm | None) -> None:
        self._disk = disk
        self._plain = plain
        self._tpm = tpm
        self._base = None if tpm is None else tpm.base
        self._open: Ledger | PlainLedger | None = None
        self.keeper: Ledger | PlainLedger | AnchoredLedger | None = None
        self.witness: Witness | None = None
        self.findings: tuple[Finding, ...] = ()

    def open(self) -> tuple[Ledger | PlainLedger | AnchoredLedger, Memory]:
        """A gate starts.

        Raises:
            FlopgateError: the ledger cannot be opened, or is not the newest that the TPM knows.
        """
        self._open = self._plain or Ledger(self._disk.path(LEDGER))
        memory = self._open.load()
        self.keeper = self._open
        if self._tpm is not None and self._base is not None:
            anchored = AnchoredLedger(self._open, self._tpm, self._base, memory)
            self.keeper = self.witness = anchored
            self.findings = anchored.findings
            memory = replace(memory, off_ms=anchored.off_ms)
        return self.keeper, memory

    def swap_tpm(self, tpm: HostTpm | None) -> None:
        """Somebody puts another TPM beside the disk, while no gate runs."""
        self._tpm = tpm

    def close(self) -> None:
        """The gate is gone."""
        self.keeper = self.witness = None
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.close()
            self._open = None

    @property
    def durable(self) -> Durable:
        """What would be found after a loss of power."""
        return durable_on(self._disk) if self._plain is None else self._plain.durable
