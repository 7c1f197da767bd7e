"""What the disk of a host really holds of its gate's ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_sim.disk import Disk

LEDGER: Final = "ledger.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """As it would be found after a loss of power.

    ``orders``: digests of those that were kept.
    """

    sequence: int
    asked: bool
    admitted: bool
    orders: frozenset[bytes]


def durable_on(disk: Disk) -> Durable:
    """Read it; nothing where there is no ledger."""
    sequence, asked, admitted, orders = disk.ask_durable(
        LEDGER,
        "SELECT max(sequence) FROM report",
        "SELECT count(*) FROM authority",
        "SELECT max(admitted) FROM authority",
        "SELECT group_concat(hex(digest)) FROM accepted_order",
    )
    return Durable(
        sequence=sequence or 0,
        asked=bool(asked),
        admitted=bool(admitted),
        orders=frozenset(map(bytes.fromhex, orders.split(",") if orders else ())),
    )
