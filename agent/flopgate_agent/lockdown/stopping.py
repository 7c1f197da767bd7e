"""Carries out what is due, with the same hand that a gate has: freeze, kill, deny the chips.

What it holds is in the records of the gate, so that the next gate finds it and lets it go on. It
waits for no counters: a lane whose time is over has no process left that holds its chips. Where the
gate had proven that all stands, whoever wakes or gets a context is killed, nobody else. Whether all
of it came to stand is verified by counters, and left for the next gate's report (`verifying`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from flopgate_agent.counters.client import SamplerClient, child_environment
from flopgate_agent.counters.frames import Identities, Samples
from flopgate_agent.enforcement import Enforcer, EnforcerConfig, FindingId, Outcome
from flopgate_agent.enforcement.chips import Wish, chip_limits
from flopgate_agent.enforcement.chips.device_filter import settle_filters
from flopgate_agent.enforcement.jobs import job_pids
from flopgate_agent.gate.terms import LaneTerm
from flopgate_agent.gate_process.host_chips import chips_of
from flopgate_agent.lockdown.deciding import Due
from flopgate_agent.lockdown.lease import EVERY_CHIP, Lease, Reach
from flopgate_agent.lockdown.record import read_record, with_untold, write_record
from flopgate_agent.lockdown.verifying import Stopped, Verifier
from flopgate_agent.logs import FIELDS

_LOG: Final = logging.getLogger("flopgate.lockdown")
_WOKEN: Final = frozenset({FindingId.PID_ESCAPED, FindingId.PID_RESUMED})
_LATE: Final = "-late"
SILENT_MS: Final = 10_000
"""A driver that says nothing for so long lists nobody: whoever holds a node may compute."""


class Stopper:
    """Stops the lanes of one lease, as long as no gate renews it."""

    def __init__(self, lease: Lease, boot_id: str) -> None:
        """``boot_id``: of this boot, as chips are written down under it."""
        env = child_environment(os.environ)
        how = EnforcerConfig(
            state_dir=Path(lease.records),
            cgroup_base=lease.cgroup_base,
            use_cgroups=lease.use_cgroups,
            device_filter=lease.device_filter,
            nodes=lease.nodes,
        )
        self._enforcer = Enforcer(how)
        self._enforcer.adopt()
        # Before a child opens a chip: the gate that closed it spared a lock-down that was.
        settle_filters(how.state_dir, wanted=lease.use_cgroups and lease.device_filter)
        self._limits = chip_limits(how, self._enforcer.capabilities, env, boot_id)
        self._sampler = SamplerClient(env=env)
        self._started_ms: int | None = None
        self._named: tuple[str, ...] = ()
        self._reach = {one.workload: one for one in lease.reach}
        self._verifier = Verifier()
        self._record = (how.state_dir, boot_id)
        self._untold = read_record(*self._record)
        self._pids: dict[str, frozenset[int]] | None = None
        self._told: set[tuple[str, str]] = set()
        self._written: tuple[Stopped, ...] = ()
        self._can_write = True

    def act(self, due: Due, now_ms: int, renewed: Callable[[], bool]) -> None:
        """Do it; called again and again, for what resists and who comes late.

        ``renewed``: whether a gate has come that waited for the lock in vain, as for one that got
        no time for long. Nothing is due any more then, before the lease was read again.
        """
        self._ask(now_ms)
        for term in due.freeze:
            if renewed():
                return
            self._freeze(term, self._reach[term.workload])
        for term in due.kill:
            if renewed():
                return
            chips = self._chips(self._reach[term.workload])
            self._verifier.began(term.workload, chips, now_ms)
            if term.still:
                self._keep_still(term, self._reach[term.workload], now_ms)
            else:
                self._kill(term, self._reach[term.workload])
        if renewed():
            return
        for fact in self._limits.handle_timer(now_ms):
            _LOG.warning("chip %s: %s %s %s", fact.uuid, fact.rung, fact.state, fact.detail)

    @property
    def at_work(self) -> bool:
        """Whether a child is about to set chips: it may do so later than it is told to end."""
        return self._limits.at_work

    def close(self) -> None:
        """End the children; what is held stays held."""
        self._limits.close()
        self._sampler.close()

    def _ask(self, now_ms: int) -> None:
        """Who has a context, as the driver says; where it says nothing, only the nodes tell."""
        if self._started_ms is None:
            self._started_ms = now_ms
            self._sampler.start(now_ms)
        self._sampler.handle_timer(now_ms)
        if select.select([self._sampler], [], [], 0)[0]:
            for message in self._sampler.on_readable(now_ms):
                if isinstance(message, Samples):
                    self._pids = {one.uuid: frozenset(one.pids or ()) for one in message.samples}
                    self._verify(message)
                elif isinstance(message, Identities):
                    self._named = tuple(chip.uuid for chip in message.chips)
                    self._verifier.opened(chips_of(message.chips, ()), now_ms)
        self._sampler.request(now_ms)
        own = [pid for pid in (self._sampler.pid, *self._limits.pids) if pid is not None]
        self._enforcer.protect(own)

    def _verify(self, seen: Samples) -> None:
        """Tell, and write down for the next gate, what has become of lanes that are to stand."""
        for one in self._verifier.look(seen.samples):
            computes = one.computed_ms is not None and one.stood_ms is None
            level = logging.ERROR if computes else logging.INFO
            event = "computing_without_permission" if computes else "seen to stand"
            _LOG.log(level, "no gate: %s", event, extra={FIELDS: asdict(one)})
        stopped = self._verifier.stopped.values()
        if stopped and self._written != (now := with_untold(self._untold, stopped)):
            self._write(now)

    def _write(self, now: tuple[Stopped, ...]) -> None:
        """Tried again with the next counters; an error is told once, until it was written."""
        try:
            write_record(*self._record, now)
        except OSError as error:
            if self._can_write:
                where, why = self._record[0], error.strerror
                _LOG.error("cannot leave in %s what was stopped, to be reported: %s", where, why)
            self._can_write = False
            return
        self._written, self._can_write = now, True

    def _chips(self, reach: Reach) -> tuple[str, ...]:
        return self._named if reach.chips == EVERY_CHIP else reach.chips

    def _listed(self, reach: Reach) -> set[int]:
        pids = self._pids or {}
        return {pid for uuid in self._chips(reach) for pid in pids.get(uuid, ())}

    def _newcomers(self, reach: Reach, now_ms: int) -> set[int]:
        """Who may have begun where nobody may: without a context nothing computes."""
        listed = self._listed(reach)
        silent = self._pids is None and now_ms >= (self._started_ms or 0) + SILENT_MS
        return job_pids(listed, reach.globs) if silent else listed

    def _freeze(self, term: LaneTerm, reach: Reach) -> None:
        self._tell_once(term, "frozen")
        self._limits.want(self._chips(reach), Wish.DENIED)
        jobs = job_pids(self._listed(reach), reach.globs)
        self._log(term, self._enforcer.freeze(reach.lane_id, jobs))

    def _kill(self, term: LaneTerm, reach: Reach) -> None:
        self._tell_once(term, "killed")
        self._limits.want(self._chips(reach), Wish.SLOWED)
        jobs = job_pids(self._listed(reach), reach.globs)
        self._log(term, self._enforcer.kill(reach.lane_id, jobs))

    def _keep_still(self, term: LaneTerm, reach: Reach, now_ms: int) -> None:
        self._tell_once(term, "closed: who begins is killed")
        self._limits.want(self._chips(reach), Wish.SLOWED)
        held = self._enforcer.freeze(reach.lane_id, ())
        if any(found.id is FindingId.CGROUP_THAWED for found in held.findings):
            # Who may thaw a cgroup does it again as soon as nobody looks: all that is in it woke.
            self._log(term, self._enforcer.kill(reach.lane_id, ()))
        woken = {found.pid for found in held.findings if found.id in _WOKEN and found.pid}
        if late := (self._newcomers(reach, now_ms) - set(held.done)) | woken:
            # Under a name of their own: to end a lane is to end all that is held of it.
            self._log(term, self._enforcer.kill(f"{reach.lane_id}{_LATE}", late))

    def _tell_once(self, term: LaneTerm, what: str) -> None:
        if (term.workload, what) not in self._told:
            self._told.add((term.workload, what))
            fields = {"workload": term.workload, "reason": "gate.gone"}
            fields["way_back"] = "Start the gate: what still stands goes on once it is permitted."
            _LOG.warning("no gate: the lane is %s", what, extra={FIELDS: fields})

    def _log(self, term: LaneTerm, outcome: Outcome) -> None:
        if not (outcome.done or outcome.resisted):
            return
        fields = {
            "workload": term.workload,
            "done": outcome.done,
            "resisted": outcome.resisted,
            "findings": [f"{found.id}: {found.detail}" for found in outcome.findings],
        }
        with contextlib.suppress(OSError):
            _LOG.info("lockdown %s", outcome.action.value, extra={FIELDS: fields})
