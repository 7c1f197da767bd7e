"""A host in a test's hands that runs on licenses, with a TPM or without, and a disk to put back."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from flopgate_agent.gate.actions import Action, KeepLicenses
from flopgate_agent.gate.carried import CarriedOver
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate.licenses.checking import LicenseFile
from flopgate_agent.gate.settings import LaneSetting
from flopgate_agent.ledger import Ledger
from flopgate_agent.tpm.anchored import AnchoredLedger, Counting
from flopgate_agent.tpm.rollback import Base
from flopgate_proto.codec import PayloadType, decode_report, encode_opening
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import (
    Ceiling,
    LicenseApproval,
    LicenseTerms,
    LicenseWish,
    ReserveOpening,
    SingleUse,
    Terms,
    Verdict,
)
from tests.support import orders
from tests.support.fixed import GOVERNOR_UNIX_MS, OFFICER_KEYS, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_hardware import h100
from tests.support.gate_rig import GateRig, cut, settings

HOUR_MS: Final = 3_600_000
STEP_MS: Final = 60_000
SPAN_MS: Final = 600_000
LICENSES: Final[dict[str, Any]] = {
    "license_span_ms": SPAN_MS,
    "license_age_ms": 24 * HOUR_MS,
    "license_headroom_max_tflop": 10**7,
    "license_step_ms": STEP_MS,
    "reserve_after_ms": HOUR_MS,
    "reserve_span_ms": SPAN_MS,
    "reserve_headroom_max_tflop": 10**7,
}
OPENERS: Final = tuple(SigningKey.from_scalar(0x7001 + n) for n in range(3))
"""The custodian's own officers; two of them open a reserve."""


class RigTpm(Counting, Protocol):
    """A TPM, and where its counter stood when the host key was made."""

    @property
    def base(self) -> Base:
        """That."""


class KilledError(Exception):
    """The gate died here."""


class LicenseRig(GateRig):
    """Enrolled, its network cut, and a policy that lets licenses be given.

    Attributes:
        tpm: ``None``: the host has none.
        dies: where the gate dies when it keeps its licenses next: ``before`` or ``after`` the
            ledger has the row, or once the counter was ``stepped`` too; ``full``: the disk is, and
            it lives.
    """

    def __init__(
        self,
        folder: Path,
        *others: GateAuthority,
        tpm: RigTpm | None = None,
        report_interval_ms: int = 10_000,
        lanes: Sequence[LaneSetting] = (LaneSetting(workload=WORKLOAD, chips=(0,)),),
    ) -> None:
        self.tpm = tpm
        self.folder = folder
        self._earlier_tflop = 0
        self.dies = ""
        super().__init__(
            *((GateAuthority(), *others) if others else ()),
            base=settings(
                chips=sum(len(lane.chips) for lane in lanes),
                lanes=tuple(lanes),
                report_interval_ms=report_interval_ms,
            ),
            ledger=Ledger(folder / "ledger"),
        )
        self.enrol()
        # A request makes a report, too.
        rhythm = {"renew_after_ms": report_interval_ms, "lifetime_ms": 2 * report_interval_ms}
        self.order(self.authority.policy_order(**LICENSES, **rhythm))
        self.run(100)
        self.network = cut
        self.run(3 * report_interval_ms)
        for chip in self.hardware.chips:
            self.hardware.start(pid=1 + chip, chip=chip)
        self.run(5_000)

    def _reboot(self) -> None:
        self._earlier_tflop += self._of_boot_tflop
        super()._reboot()

    def _new_core(self, ran_ms: int = 0, kept_ms: int = 0) -> GateCore:
        memory = replace(self.ledger.load(), ran_ms=ran_ms, kept_ms=kept_ms)
        self.keeper, held = self.ledger, self.settings
        if self.tpm is not None:
            self.keeper = AnchoredLedger(self.ledger, self.tpm, self.tpm.base, memory)
            memory = replace(memory, off_ms=self.keeper.off_ms)
            held = replace(held, witness=self.keeper)
        self.settings = held
        tokens = [one.token() for one in self.authorities.values()]
        core = GateCore(held, memory, tokens, self.now)
        core.carry_over(CarriedOver())
        return core

    def carry_out(self, actions: Sequence[Action]) -> None:
        """As a gate's process; it may die on the way."""
        for action in actions:
            if not self.dies or not isinstance(action, KeepLicenses):
                super().carry_out([action])
                continue
            dies, self.dies = self.dies, ""
            if dies == "full":
                self.carry_out(self.core.fault(LEDGER_FAILED, "full", "Make room.", self.now))
                return
            if dies == "after":
                self.ledger.keep(action)
            elif dies == "stepped":
                self.keeper.keep(action)
            raise KilledError(dies)

    # ------------------------------------------------------------------ licenses

    def ask(self, authority: GateAuthority | None = None, *rest: Any) -> Envelope:
        """Enrolment, as ever."""
        return super().ask(authority or self.authority, *rest)

    def request(self, *, reserve: bool = False) -> Envelope:
        """The report that asks for a license."""
        wish = LicenseWish(span_ms=SPAN_MS, reserve=reserve)
        before = len(self.reports)
        self.carry_out(self.core.ask_license(wish, self.now))
        return next(
            one
            for one in self.reports[before:]
            if (asked := decode_report(one.payload).request) is not None and asked.license
        )

    def install(self, found: LicenseFile) -> None:
        """A license arrives."""
        self.carry_out(self.core.license(found, self.now))

    def licensed(self, **fields: Any) -> LicenseFile:
        """One that was asked for, and is installed."""
        found = issue(self.authority, self.request(), **fields)
        self.install(found)
        return found

    def again(self, *, boot: bool = False, away_ms: int = 2_000) -> LicenseRig:
        """The gate is killed, or the host reboots, and it starts again; processes stay held."""
        fresh = None if not boot else bytes([self.settings.run_nonce[0] + 100] * 16)
        pids = self._known
        self.restart(boot_id=fresh, away_ms=away_ms)
        if boot:
            for chip in self.hardware.chips:
                self.hardware.start(pid=1 + chip, chip=chip)
        else:
            self._known = pids
        return self

    def give_back(self) -> None:
        """What is held goes back."""
        self.carry_out(self.core.return_license(self.authority.name, self.now))

    # ------------------------------------------------------------------ the disk

    def image(self) -> bytes:
        """The disk as it is."""
        with sqlite3.connect(":memory:") as copy:
            self.ledger._db.backup(copy)  # noqa: SLF001  # a copy of the disk, not of the file
            data = copy.serialize()
        copy.close()
        return data

    def put_back(self, image: bytes) -> None:
        """An earlier image of it, before the next start."""
        self.ledger.close()
        path = self.folder / f"ledger-{hashlib.sha256(image).hexdigest()[:8]}-{self.now_ms}"
        path.write_bytes(image)
        self.ledger = Ledger(path)

    @property
    def truth_tflop(self) -> int:
        """What the chips really did, in all boots."""
        return self._earlier_tflop + self._of_boot_tflop

    @property
    def _of_boot_tflop(self) -> int:
        return sum(self.hardware.nominal_flop(chip) for chip in self.hardware.chips) // 10**12


def approve(request: Envelope, *, officers: int = 2, **fields: Any) -> Envelope:
    """Officers approve one request."""
    base = LicenseApproval(
        authority=orders.policy().authority,
        requests=(request.digest,),
        not_before_unix_ms=GOVERNOR_UNIX_MS - HOUR_MS,
        not_after_unix_ms=GOVERNOR_UNIX_MS + 12 * HOUR_MS,
        span_ms=SPAN_MS,
        headroom_max_tflop=10**7,
        reserve=False,
        nonce=request.digest[:16],
        reason="A week without a link.",
    )
    return orders.sealed_order(replace(base, **fields), OFFICER_KEYS[:officers])


def reserve_of(request: Envelope, **fields: Any) -> Envelope:
    """The same for a reserve."""
    openers = tuple(key.spki for key in OPENERS)
    values: dict[str, Any] = {"reserve": True, "opener_spkis": openers, "opener_threshold": 2}
    return approve(request, **(values | fields))


def issue(
    authority: GateAuthority,
    request: Envelope,
    *,
    approval: Envelope | None = None,
    headroom_tflop: int = 300_000,
    single_use: SingleUse = SingleUse.SOFTWARE,
    terms: dict[str, Any] | None = None,
    **fields: Any,
) -> LicenseFile:
    """What an authority gives for a request."""
    approval = approval or approve(request)
    report = decode_report(request.payload)
    allotted = {lane.workload: lane.allotted_tflop for lane in report.lanes}
    chips = next(len(lane.chips) for lane in report.lanes if lane.workload == WORKLOAD)
    peak = -(-h100().worst_high_flop_per_s * chips // 10**12)
    ceiling = Ceiling(ceiling_tflop=allotted[WORKLOAD] + headroom_tflop, peak_tflop_per_s=peak)
    verdict = Verdict(workload=WORKLOAD, outcome=ceiling)
    policy = authority.policy
    base: dict[str, Any] = {
        "lifetime_ms": SPAN_MS,
        "wind_down_ms": policy.wind_down_ms,
        "renew_after_ms": 0,
        "exempt": False,
        "phase": policy.phases[0].phase,
        "license": LicenseTerms(approval=approval.digest, step_ms=STEP_MS, single_use=single_use),
    }
    values: dict[str, Any] = {"verdicts": (verdict,), "terms": Terms(**(base | (terms or {})))}
    return LicenseFile(
        host_id=report.host_id,
        authority=authority.name,
        proven=authority.answer(request, **(values | fields)),
        approval=approval,
    )


def opening(found: LicenseFile, openers: int = 2, **fields: Any) -> Envelope:
    """The custodian's officers open a reserve."""
    base = ReserveOpening(
        authority=found.authority,
        approval=found.approval.digest,
        nonce=bytes(16),
        reason="The hospital's models must answer.",
    )
    data = encode_opening(replace(base, **fields))
    return seal(PayloadType.RESERVE_OPENING, data, OPENERS[:openers])
