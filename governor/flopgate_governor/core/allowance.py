"""How much one host may add to the store: a sustained pace, and a burst for whoever was away.

A host that has used up its allowance is held back: its next new reports are refused and told when
to come again; the gate keeps them meanwhile. What is on record already is answered as ever.

Kept for a host is one moment: when all that it added is paid for, at the pace in force, with which
it moves. A host that is paid up needs none, so what is kept is bounded by the hosts that report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flopgate_proto.values.orders import Policy

US_PER_MS: Final = 1_000

INTERVAL_MS_MAX: Final = 120_000
"""A renewal by the default policy, and a gate's own report by its default settings."""

ROW_BYTES: Final = 1_408
"""What a report on record takes beside its own bytes and those of its answer: columns, indices, its
batch and log entry. Measured: 1,392 alone in its batch, 696 with 63 others."""

NAME_BYTES: Final = 1_536
"""What the books take of a workload's name that a host uses for the first time: its lane, its
grant, sums that are told apart by name. Measured: 1,430."""
WORKLOADS_OF_HOST_MAX: Final = 16_384
"""Most names of workloads that one host may ever use: its books hold each for good, and are at hand
while it reports. A new one each hour comes to as many in two years."""

LOOK_AT_LEAST: Final = 1_024
"""Before so many hosts are kept nobody looks whose additions are paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What each host may add.

    Attributes:
        interval_bytes: in each interval, for ever. 512 KiB are two of the largest reports, or an
            ordinary one (2.1 KB with its answer) each 490 ms: a gate makes one a second at most.
        burst_bytes: on top, by a host that added less before: 120,000 ordinary reports, which a
            gate makes in five months.
    """

    interval_bytes: int = 512 * 1024
    burst_bytes: int = 256 * 1024 * 1024


def interval_ms(policy: Policy | None) -> int:
    """How often it is given: with each renewal, and at least as often as by the default policy."""
    return INTERVAL_MS_MAX if policy is None else min(policy.renew_after_ms, INTERVAL_MS_MAX)


@dataclass(slots=True, kw_only=True)
class Volumes:
    """What hosts added lately.

    Attributes:
        allowance: of each host.
        held_ms: how long each host that was held back had to wait so far, all told.
    """

    allowance: Allowance = field(default_factory=Allowance)
    held_ms: dict[bytes, int] = field(default_factory=dict)
    _paid_us: dict[bytes, int] = field(default_factory=dict)
    _held_until_ms: dict[bytes, int] = field(default_factory=dict)
    _every_ms: int = 0
    _look_at: int = LOOK_AT_LEAST

    def wait_ms(self, host_id: bytes, added_bytes: int, every_ms: int, now_ms: int) -> int:
        """0: the host may add more. Else how long it has to wait: then an interval's worth is free.

        Who was told so waits until then, though some of it is free before: a chain that goes on by
        one report at a time would only be asked for again and again.

        Args:
            host_id: the host.
            added_bytes: by reports that are being committed now.
            every_ms: the interval; see `interval_ms`.
            now_ms: governor time.
        """
        held_ms = self.held_until_ms(host_id) - now_ms
        if held_ms > 0:
            return held_ms
        self._keep_pace(every_ms, now_ms)
        owed_us = self._owed_us(host_id, now_ms) + self._cost_us(added_bytes, every_ms)
        span_us = self._cost_us(self.allowance.burst_bytes, every_ms)
        if owed_us < span_us:
            return 0
        return -(-(owed_us - span_us) // US_PER_MS) + every_ms

    def hold(self, host_id: bytes, wait_ms: int, now_ms: int) -> None:
        """A report of this host was refused: it waits so long."""
        until_ms = now_ms + wait_ms
        since_ms = max(self._held_until_ms.get(host_id, 0), now_ms)
        if until_ms > since_ms:
            self.held_ms[host_id] = self.held_ms.get(host_id, 0) + until_ms - since_ms
            self._held_until_ms[host_id] = until_ms

    def charge(self, added: Mapping[bytes, int], every_ms: int, now_ms: int) -> None:
        """So many bytes of each host are on record."""
        self._keep_pace(every_ms, now_ms)
        for host_id, added_bytes in added.items():
            owed_us = self._owed_us(host_id, now_ms) + self._cost_us(added_bytes, every_ms)
            self._paid_us[host_id] = now_ms * US_PER_MS + owed_us
        if len(self._paid_us) > self._look_at:
            now_us = now_ms * US_PER_MS
            self._paid_us = {one: paid for one, paid in self._paid_us.items() if paid > now_us}
            self._look_at = 2 * len(self._paid_us) + LOOK_AT_LEAST

    def held_until_ms(self, host_id: bytes) -> int:
        """Until when this host was told to wait last; 0: never."""
        return self._held_until_ms.get(host_id, 0)

    def _keep_pace(self, every_ms: int, now_ms: int) -> None:
        """Bytes are owed: by another policy the same ones are paid for sooner, or later."""
        if every_ms != self._every_ms:
            now_us, before_ms, owing = now_ms * US_PER_MS, self._every_ms, self._paid_us
            self._paid_us = {
                one: now_us + (paid - now_us) * every_ms // before_ms
                for one, paid in owing.items()
                if paid > now_us
            }
            self._every_ms = every_ms

    def _owed_us(self, host_id: bytes, now_ms: int) -> int:
        return max(0, self._paid_us.get(host_id, 0) - now_ms * US_PER_MS)

    def _cost_us(self, size_bytes: int, every_ms: int) -> int:
        """How long the pace takes to earn so many bytes."""
        return size_bytes * every_ms * US_PER_MS // self.allowance.interval_bytes
