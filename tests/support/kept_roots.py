"""What hosts keep of a governor's batches, and a governor that was copied while it ran."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flopgate_governor.state import open_state
from flopgate_governor.store.database import Store, copy_store
from flopgate_governor.views.heads import export
from flopgate_proto.codec import envelope_from_object, envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.files import KeptRoots, write_roots
from tests.support.governor import LOG, PERMIT, FakeHost, LocalGovernor


def twin(governor: LocalGovernor, path: Path) -> LocalGovernor:
    """The same keys, on a copy of the store, by the same clock."""
    copy_store(governor.path, path)
    state = open_state(Store(path), PERMIT, LOG, governor.clock.machine())
    return LocalGovernor(state, governor.clock, path, governor.roots)


def orders_of(governor: LocalGovernor) -> tuple[Envelope, ...]:
    """What its export of heads says of who signs."""
    document = json.loads(export(governor.state))
    return tuple(envelope_from_object(one) for one in document["orders"])


@dataclass
class Keeper:
    """A host, and the roots that its ledger would hold."""

    host: FakeHost
    roots: list[Envelope] = field(default_factory=list)
    sent: list[Envelope] = field(default_factory=list)

    def exchange(self, governor: LocalGovernor, times: int = 1, *, again: int = 0) -> None:
        """Report, ``again`` what was sent last before it, and take the answer."""
        for _ in range(times):
            governor.clock.unix_ms += 1
            self.sent.append(self.host.report(1))
            down = governor.send(*self.sent[-1 - again :])
            self.host.accept(down)
            self.roots += [envelope_from_wire(batch.batch_root) for batch in down.batches]

    def kept(self, orders: Iterable[Envelope] = ()) -> KeptRoots:
        """As it would be exported."""
        return KeptRoots(
            held_by=self.host.host_id.hex(), orders=tuple(orders), roots=tuple(self.roots)
        )

    def write(self, folder: Path, orders: Iterable[Envelope]) -> Path:
        """The file of it."""
        path = folder / f"{self.host.number}.roots"
        path.write_bytes(b"".join(write_roots([self.kept(orders)])))
        return path
