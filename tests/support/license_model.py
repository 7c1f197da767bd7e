"""A host with the truth about itself and its licenses: what it may still reach."""

from dataclasses import replace

from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, LicenseQuote, LicenseState
from tests.support.governor import FakeHost
from tests.support.governor_model import ModelHost
from tests.support.licenses import TPM, asking, license_of


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

    @property
    def could_reach(self) -> int:
        """The most that its allotted total can reach under all that it holds or may still take."""
        mine = [
            ceiling
            for request, ceiling in self.signed.items()
            if request == self.held or self.sequences[request] > self.floor
        ]
        return max([self.live_ceiling, *mine])

    def wish(self, headroom: int, span_ms: int) -> None:
        """Write a report that asks for a license."""
        tpm = TPM if self.backed else None
        envelope = asking(self.host, ask_tflop=headroom, span_ms=span_ms, tpm=tpm)
        self.sent.append(envelope)
        self.totals.append(self.host.allotted_tflop)
        self.made_ms[envelope.digest] = self.host.now_ms
        self.sequences[envelope.digest] = self.host.sequence
        self.asked.append(envelope)

    def signed_for(self, one: pb.HostLicense) -> None:
        """A license left the governor; whether it arrives is another matter."""
        answer = license_of(one).answer
        for verdict in answer.verdicts:
            if isinstance(verdict.outcome, Ceiling):
                self.signed[answer.request_digest] = verdict.outcome.ceiling_tflop

    def install(self, which: int) -> None:
        """Take one of those, if its time has not gone by."""
        offered = [one for one in self.signed if self.sequences[one] > self.floor]
        if offered:
            self.held = offered[which % len(offered)]
            self.floor = self.sequences[self.held]
            self._quote()

    def give_back(self) -> None:
        """Hold none, and take none of before."""
        self.held, self.floor = b"", self.host.sequence
        self._quote()

    def spend_licensed(self, share: int) -> None:
        """Compute some of what the license leaves."""
        left = self.signed.get(self.held, 0) - self.host.allotted_tflop
        self.host.allotted_tflop += max(0, left) * share // 4

    def _quote(self) -> None:
        state = LicenseState.HELD if self.held else LicenseState.NONE
        quote = LicenseQuote(state=state, request=self.held, floor=self.floor)
        self.host.quote = replace(self.host.quote, license=quote)
