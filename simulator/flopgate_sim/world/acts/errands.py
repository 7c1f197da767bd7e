"""People who carry files between hosts and authorities: requests, licenses, openings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from flopgate_proto.codec import PayloadType, encode_opening, envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope, seal, statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LicenseApproval, ReserveOpening
from flopgate_sim.world.acts.forged_license import forged_license
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S
from flopgate_sim.world.plan import Errand
from flopgate_sim.world.truths import licensing

if TYPE_CHECKING:
    from flopgate_sim.world.world import World

AGAIN_US = 60 * US_PER_S
"""Somebody who found a gate or a governor down comes again."""
TRIES = 20
REPORTS_AT_ONCE = 256
QUORUM = "quorum"
GIVING, TAKING = "giving", "taking"
JOIN = "join"
OPENERS = 3


class Errands:
    """All errands of one world.

    Attributes:
        refused: how often a gate refused what was brought, by code.
        given: licenses that authorities gave.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.refused: dict[str, int] = {}
        self.given = 0
        self._newest: dict[str, bytes] = {}
        self._approved: Envelope | None = None
        self._openers = [world.streams.key(f"opener/{number}") for number in range(OPENERS)]

    def run(self, errand: Errand, tries: int = TRIES) -> None:
        """Somebody comes to the host."""
        host, governor = self._host(errand.host), self._world.governors[errand.authority]
        match errand.errand:
            case "ask":
                wish = pb.LicenseWish(span_ms=errand.span_ms, reserve=errand.reserve)
                message = pb.ToGate(ask_license=pb.AskLicense(wish=wish))
            case "reimage":
                self._reimage(errand, host)
                return
            case "join":
                self._join(errand, host)
                return
            case "return":
                back = pb.ReturnLicense(authority=governor.name, reserve=errand.reserve)
                message = pb.ToGate(return_license=back)
            case _:
                message = self._opening(errand, governor)
        if errand.errand == "return":
            host.truth.licenses.returned(governor.name, reserve=errand.reserve)
        said = host.wish(message)
        if said is None:
            self._again(partial(self.run, errand), tries)
        elif said.code:
            self._refused(said)
        elif errand.errand == "ask":
            self._collect(errand, host, governor)
        elif errand.errand == "open" and host.truth.pauses:
            host.truth.licenses.faults.append(f"{host.name}: a reserve opened under a pause")

    def _refused(self, said: pb.Reply) -> None:
        self.refused[said.code] = self.refused.get(said.code, 0) + 1

    def _again(self, what: partial[None], tries: int) -> None:
        if tries:
            self._world.engine.after(AGAIN_US, "errand", partial(what, tries=tries - 1))

    def _opening(self, errand: Errand, governor: Governor) -> pb.ToGate:
        opening = ReserveOpening(
            authority=governor.name,
            approval=self._newest.get(errand.host, bytes(32)),
            nonce=bytes(16),
            reason="must not stop",
        )
        data = encode_opening(opening)
        signed = seal(PayloadType.RESERVE_OPENING, data, self._openers[: errand.signers])
        return pb.ToGate(open_reserve=pb.OpenReserve(opening=envelope_to_wire(signed)))

    def _join(self, errand: Errand, host: Host) -> None:
        """What the host may have been granted by then is not for this authority to bound."""
        courier = self._world.join(host, errand.authority)
        for lane in host.runner.core.lanes.values() if host.runner is not None else ():
            key = (courier.authority.name, lane.workload)
            host.truth.ceiling_tflop[key] = lane.book.allotted_tflop
        courier.start()
        host.restart_gate_soon("it joins another authority")

    def _reimage(self, errand: Errand, host: Host) -> None:
        """Its chips are in a machine without a ledger, which joins in the other host's places."""
        host.power_off("imaged anew", clean=True)
        self._world.clone(host, new_key=True, places=self._host(errand.places_of).plan)

    # ------------------------------------------------------------------ one license

    def _collect(self, errand: Errand, host: Host, governor: Governor) -> None:
        """All reports that the authority lacks go into a file."""
        keeper, runner = host.store.keeper, host.runner
        if keeper is None or runner is None:
            return
        first = runner.core.authorities[governor.name].acknowledged_sequence + 1
        reports: list[pb.SignedReport] = []
        while found := keeper.reports(first + len(reports), REPORTS_AT_ONCE):
            reports += [report for _, report in found]
        for one in reports:
            host.truth.left(one, self._world.engine.now_us)
        asking = [
            one
            for one in reports
            if pb.Report.FromString(one.envelope.payload).request.HasField("license")
        ]
        if asking:
            carried = partial(self._deliver, errand, reports, asking[-1])
            self._world.engine.after(errand.out_ms * US_PER_MS, "file", carried)

    def _deliver(
        self,
        errand: Errand,
        reports: list[pb.SignedReport],
        asking: pb.SignedReport,
        tries: int = TRIES,
    ) -> None:
        """An officer has the file: account it, approve, and give."""
        governor = self._world.governors[errand.authority]
        digest = statement_digest(asking.envelope.payload_type, asking.envelope.payload)
        given = None
        if governor.carry(reports):
            now_unix_ms = governor.clocks.true_unix_ms
            approval = LicenseApproval(
                authority=governor.name,
                requests=(digest,),
                not_before_unix_ms=now_unix_ms,
                not_after_unix_ms=now_unix_ms + errand.good_for_ms,
                span_ms=errand.span_ms,
                headroom_max_tflop=errand.headroom_tflop,
                reserve=errand.reserve,
                nonce=digest[:16],
                reason="no link",
            )
            if errand.reserve:
                spkis = tuple(key.spki for key in self._openers)
                approval = replace(approval, opener_spkis=spkis, opener_threshold=OPENERS - 1)
            given = self._give(errand, governor, asking, approval)
        if given is None:
            self._again(partial(self._deliver, errand, reports, asking), tries)
            return
        for where in errand.installs or (errand.host,):
            brought = partial(self._install, where, given)
            self._world.engine.after(errand.back_ms * US_PER_MS, "file", brought)

    def _give(
        self,
        errand: Errand,
        governor: Governor,
        asking: pb.SignedReport,
        approval: LicenseApproval,
    ) -> pb.HostLicense | None:
        """The license that comes of it, by the authority or by who has its online key."""
        envelope = self._signed(errand, governor, approval)
        if envelope is None:
            return None
        if errand.thief:
            return forged_license(governor, asking, approval, envelope)
        if errand.vetoed == GIVING:
            governor.order(governor.officers.veto(envelope.digest))
        (request,) = approval.requests
        given = governor.license(request, envelope)
        if given is not None:
            reported = pb.Report.FromString(asking.envelope.payload)
            quorum = errand.approved == QUORUM
            licensing.left(governor, given, approval, envelope, reported, quorum=quorum)
            self.given += 1
            if errand.reserve:
                self._newest[errand.host] = envelope.digest
            self._approved = envelope
            if errand.vetoed == TAKING:
                governor.order(governor.officers.veto(envelope.digest))
        return given

    def _signed(
        self, errand: Errand, governor: Governor, approval: LicenseApproval
    ) -> Envelope | None:
        """The approval as officers signed it, or some of them; ``None``: there is none yet."""
        match errand.approved:
            case "one-twice":
                return governor.officers.rogue_approval(approval)
            case "mixed":
                return governor.officers.mixed_approval(approval)
            case "another's":
                return self._approved
            case _:
                return governor.officers.sign(approval)

    def _install(self, where: str, given: pb.HostLicense, tries: int = TRIES) -> None:
        """Somebody brings it to a host, the right one or another."""
        host = self._host(where)
        if host.host_id == given.host_id:
            host.truth.licenses.taken(given)
        said = host.wish(pb.ToGate(license=given))
        if said is None:
            self._again(partial(self._install, where, given), tries)
        elif said.code:
            self._refused(said)
        elif host.host_id != given.host_id:
            host.truth.licenses.faults.append(f"{host.name}: takes the license of another host")
        elif _approval(given).digest in host.truth.vetoed_us:
            host.truth.licenses.faults.append(f"{host.name}: takes what an officer vetoed")

    def _host(self, name: str) -> Host:
        found = self._world.named(name)
        if not isinstance(found, Host):
            raise TypeError(name)
        return found


def _approval(given: pb.HostLicense) -> Envelope:
    """What officers signed, beside a license."""
    return envelope_from_wire(given.approval)
