"""A host with the truth about itself and its licenses: what it may still reach."""

from dataclasses import replace

from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, LicenseQuote, LicenseState
from tests.support.governor import FakeHost
from tests.support.governor_licenses import TPM, asking, license_of
from tests.support.governor_model import ModelHost


class LicensedHost(ModelHost):
    """A gate that takes each license once, in any order, as long as it lies above its floor."""

    def __init__(self, host: FakeHost, *, backed: bool) -> None:
        super().__init__(host)
        self.backed = backed
        self.floor = 0
        self.held: bytes = b""
        self.sequences: dict[bytes, int] = {}
        self.asked: list[Envelope] = []
        # Every license that was ever signed for it, by request: its ceiling.
        self.signed: dict[bytes, int] = {}
        # The same of reserves: what is left of each.
        self.reserves: dict[bytes, int] = {}
        self.reserve_floor = 0
        self.reserve_held: bytes = b""
        self.asked_at: dict[bytes, int] = {}

    @property
    def could_reach(self) -> int:
        """The most that its allotted total can reach under all that it holds or may still take."""
        mine = [
            ceiling
            for request, ceiling in self.signed.items()
            if request == self.held or self.sequences[request] > self.floor
        ]
        beside = [
            left
            for request, left in self.reserves.items()
            if request == self.reserve_held or self.sequences[request] > self.reserve_floor
        ]
        return max([self.live_ceiling, *mine]) + sum(beside)

    def wish(self, headroom: int, span_ms: int, *, reserve: bool = False) -> None:
        """Write a report that asks for a license."""
        tpm = TPM if self.backed else None
        envelope = asking(self.host, ask_tflop=headroom, span_ms=span_ms, reserve=reserve, tpm=tpm)
        if reserve:
            self.asked_at[envelope.digest] = self.host.allotted_tflop
        self.sent.append(envelope)
        self.totals.append(self.host.allotted_tflop)
        self.made_ms[envelope.digest] = self.host.now_ms
        self.sequences[envelope.digest] = self.host.sequence
        self.asked.append(envelope)

    def signed_for(self, one: pb.HostLicense) -> None:
        """A license left the governor; whether it arrives is another matter."""
        answer = license_of(one).answer
        for verdict in answer.verdicts:
            request = answer.request_digest
            if isinstance(verdict.outcome, Ceiling) and request in self.asked_at:
                amount = verdict.outcome.ceiling_tflop - self.asked_at[request]
                self.reserves.setdefault(request, amount)
            elif isinstance(verdict.outcome, Ceiling):
                self.signed[request] = verdict.outcome.ceiling_tflop

    def install(self, which: int) -> None:
        """Take one of those, if its time has not gone by."""
        offered = [one for one in self.signed if self.sequences[one] > self.floor]
        if offered:
            self.held = offered[which % len(offered)]
            self.floor = self.sequences[self.held]
            self._quote()

    def install_reserve(self, which: int) -> None:
        """Take one of the reserves, beside the license."""
        offered = [one for one in self.reserves if self.sequences[one] > self.reserve_floor]
        if offered:
            self.reserve_held = offered[which % len(offered)]
            self.reserve_floor = self.sequences[self.reserve_held]
            self._quote()

    def give_back(self) -> None:
        """Hold none, and take none of before."""
        self.held, self.floor = b"", self.host.sequence
        self._quote()

    def give_reserve_back(self) -> None:
        """The same of reserves."""
        self.reserve_held, self.reserve_floor = b"", self.host.sequence
        self._quote()

    def spend_reserve(self, share: int) -> None:
        """It is opened, and some of what is left of it computed, whatever else there is."""
        used = self.reserves.get(self.reserve_held, 0) * share // 4
        self.host.allotted_tflop += used
        if used:
            self.reserves[self.reserve_held] -= used

    def spend_licensed(self, share: int) -> None:
        """Compute some of what the license leaves."""
        left = self.signed.get(self.held, 0) - self.host.allotted_tflop
        self.host.allotted_tflop += max(0, left) * share // 4

    def _quote(self) -> None:
        state = LicenseState.HELD if self.held else LicenseState.NONE
        quote = LicenseQuote(state=state, request=self.held, floor=self.floor)
        state = LicenseState.SEALED if self.reserve_held else LicenseState.NONE
        reserve = LicenseQuote(state=state, request=self.reserve_held, floor=self.reserve_floor)
        self.host.quote = replace(self.host.quote, license=quote, reserve=reserve)
