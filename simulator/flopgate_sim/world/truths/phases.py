"""How far rules bite on a host, by the true time and the orders that its gate took.

Worked out apart from production code. A gate that cannot know the time may be looser than a date
says, or stricter: `may_be_loose` and `must_be_loose` leave it that much, and no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from flopgate_proto.quick import quick
from flopgate_proto.values.common import Phase
from flopgate_proto.values.orders import Policy
from flopgate_sim.world.nature.clocks import EPOCH_UNIX_MS
from flopgate_sim.world.nature.engine import US_PER_MS

SLACK_US = 2_000 * US_PER_MS
"""A gate's running time may be off by this much: clocks drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenPolicy:
    """A policy that a gate went by: since when, in world time and in the gate's running time.

    ``kept``: it is in the ledger, and outlives this run of the gate. ``named``: a signed statement
    that was kept named it while the gate went by it.
    """

    policy: Policy
    digest: bytes
    came_us: int
    running_us: int
    kept: bool
    named: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """In this boot and at this running time a gate heard what time it is, at ``heard_us``.

    ``lag_us``: by how much it may be behind now. Within a boot no time is lost; how long the host
    was off, nothing on it tells.
    """

    boot: int
    running_us: int
    heard_us: int
    lag_us: int = 0


class PhaseTruth:
    """One host.

    Attributes:
        loose: whether it may be so now, as of the last look.
        loose_until_us: last moment at which its gate had leave not to enforce, 0 before the first.
        broken: what was done to its processes although nothing may be.
    """

    def __init__(self, scopes: Collection[str], own: Phase) -> None:
        self._scopes = frozenset(scopes)
        self._own = own
        self._policies: dict[str, list[TakenPolicy]] = {}
        self._told: dict[str, Told | None] = {}
        self._ever_named: set[bytes] = set()
        self._admitted: set[str] = set()
        self._nobody_admitted = True
        self._unkept = False
        self._kept_us: dict[int, int] = {}
        self._base_us = 0
        self._since_us = 0
        self._boot = 0
        self.loose = False
        self.loose_until_us = 0
        self.broken: list[str] = []
        self._stops: list[tuple[str, tuple[Policy, ...]]] = []

    # ------------------------------------------------------------------ what happened

    def gate_started(self, sequence: int, *, boot: int, admitted: bool, now_us: int) -> None:
        """It goes on from this report: what ran since then, no gate knows."""
        self._nobody_admitted, self._unkept = not admitted, False
        if not admitted:
            self._admitted.clear()
        self._base_us, self._since_us, self._boot = self._kept_us.get(sequence, 0), now_us, boot
        for name, told in self._told.items():
            if told is not None:
                passed_us = now_us - told.heard_us
                ran_us = max(0, self._base_us - told.running_us)
                lag_us = 0 if told.boot == boot else passed_us - ran_us
                self._told[name] = replace(told, lag_us=lag_us)
        for name, known in self._policies.items():
            self._policies[name] = [one for one in known if one.kept]

    def reported(self, sequence: int, now_us: int) -> None:
        """A report was made: a gate that starts from it goes on from its running time."""
        self._kept_us[sequence] = self._running_us(now_us)

    def took(
        self, authority: str, policy: Policy, digest: bytes, now_us: int, *, kept: bool
    ) -> None:
        """The gate goes by this policy."""
        known = self._policies.setdefault(authority, [])
        if digest not in [one.digest for one in known]:
            running_us = self._running_us(now_us)
            known.append(
                TakenPolicy(
                    policy=policy,
                    digest=digest,
                    came_us=now_us,
                    running_us=running_us,
                    kept=kept,
                )
            )

    def admitted(self, authority: str, policy_digest: bytes, now_us: int) -> None:
        """An admission was taken and kept; it names this policy as in force."""
        self._nobody_admitted = False
        if authority not in self._admitted:
            self._admitted.add(authority)
            self.heard(authority, policy_digest, now_us)

    def admitted_unkept(self) -> None:
        """An admission was taken and not kept: this gate fails closed, the next knows of none."""
        self._nobody_admitted, self._unkept = False, True

    def heard(self, authority: str, policy_digest: bytes, now_us: int) -> None:
        """A statement of an authority, of this time and policy, was taken and kept."""
        self._ever_named.add(policy_digest)
        known = self._policies.get(authority, [])
        if known and not known[-1].named and known[-1].digest == policy_digest:
            known[-1] = replace(known[-1], named=True)
        self._told[authority] = Told(
            boot=self._boot, running_us=self._running_us(now_us), heard_us=now_us
        )

    def rolled_back(self, taken_us: int) -> None:
        """An older ledger was put back: what came since is lost, and with it the time."""
        for name, known in self._policies.items():
            before = [one for one in known if one.came_us <= taken_us]
            self._policies[name] = [replace(one, named=False) for one in before]
        self._told = dict.fromkeys(self._told)

    def stops(self, what: str, newest: Iterable[Policy]) -> None:
        """The gate does this to processes; ``newest`` are policies that may be on their way.

        What made it do so may be heard of only once it has acted: `look` judges.
        """
        self._stops.append((what, tuple(newest)))

    def look(self, now_us: int) -> None:
        """After whatever moved: judge what was done, and note up to when it may be loose."""
        for what, newest in self._stops:
            if self._nobody_admitted:
                self.broken.append(f"{what}, though nobody has admitted the host")
            elif not self._unkept and self.must_be_loose(newest, now_us):
                self.broken.append(f"{what}, though nothing is enforced here")
        self._stops.clear()
        for known in self._policies.values():
            if known and known[-1].policy.phases:
                break
        else:
            if not self.loose:
                return
        before, self.loose = self.loose, self.may_be_loose(now_us)
        if before or self.loose:
            self.loose_until_us = now_us

    # ------------------------------------------------------------------ what follows from it

    @property
    def wind_down_us(self) -> int:
        """The longest that a policy in force grants."""
        spans_ms = [one.policy.wind_down_ms for one in self._in_force().values()]
        return max(spans_ms, default=0) * US_PER_MS

    def may_be_loose(self, now_us: int) -> bool:
        """Whether a gate that keeps the laws can take it that rules do not bite."""
        return self._own is not Phase.ENFORCE and all(
            self._lets_be_loose(name, now_us) for name in self._admitted
        )

    def _lets_be_loose(self, name: str, now_us: int) -> bool:
        """Whether the policy that the gate goes by can be loose, and one that was ever named."""
        known = self._policies.get(name, [])
        return (
            bool(known)
            and self._can_be_loose(name, known[-1], now_us)
            and any(
                one.digest in self._ever_named and self._can_be_loose(name, one, now_us)
                for one in known
            )
        )

    def must_be_loose(self, newest: Iterable[Policy], now_us: int) -> bool:
        """Whether a gate that keeps the laws cannot take it that rules bite."""
        in_force = self._in_force()
        if self._own is Phase.ENFORCE or not self._admitted <= in_force.keys():
            return False
        policies = list(newest)
        earliest_us = now_us
        for name in self._admitted:
            told, named = self._told.get(name), [one for one in self._policies[name] if one.named]
            if told is None or not named:
                return False
            # Until the newest is named, the one before counts beside it.
            for one in (in_force[name], named[-1]):
                age_us = self._running_us(now_us) - one.running_us
                if age_us >= one.policy.loose_phase_age_ms * US_PER_MS - SLACK_US:
                    return False
                policies.append(one.policy)
            earliest_us = min(earliest_us, now_us - told.lag_us)
        for policy in policies:
            # An answer is under way for as long, and a permit of that moment says the phase too.
            span_us = policy.lifetime_ms * US_PER_MS
            if self._strictest(policy, earliest_us - span_us, now_us + span_us) is Phase.ENFORCE:
                return False
        return True

    def _in_force(self) -> dict[str, TakenPolicy]:
        return {name: known[-1] for name, known in self._policies.items() if known}

    def _running_us(self, now_us: int) -> int:
        return self._base_us + now_us - self._since_us

    def _can_be_loose(self, name: str, one: TakenPolicy, now_us: int) -> bool:
        if self._running_us(now_us) - one.running_us >= one.policy.loose_phase_age_ms * US_PER_MS:
            return False
        told = self._told.get(name)
        if told is None:
            # An older ledger tells an older time, maybe from before a date.
            return any(rule.phase is not Phase.ENFORCE for rule in one.policy.phases)
        return self._phase_at(one.policy, now_us - told.lag_us) is not Phase.ENFORCE

    def _strictest(self, policy: Policy, from_us: int, to_us: int) -> Phase:
        begins_us = [(rule.from_unix_ms - EPOCH_UNIX_MS) * US_PER_MS for rule in policy.phases]
        moments_us = [from_us, *(at_us for at_us in begins_us if from_us < at_us <= to_us)]
        return max(self._phase_at(policy, at_us) for at_us in moments_us)

    def _phase_at(self, policy: Policy, at_us: int) -> Phase:
        """Hosts of a world never move: they have one scope of each kind."""
        unix_ms = EPOCH_UNIX_MS + at_us // US_PER_MS
        begun = [
            (rule.scope.kind, rule.from_unix_ms, rule.phase)
            for rule in policy.phases
            if str(rule.scope) in self._scopes and rule.from_unix_ms <= unix_ms
        ]
        return max(begun)[2] if begun else Phase.ENFORCE
