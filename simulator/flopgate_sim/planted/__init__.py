"""Bugs planted into production code, one at a time: the laws must catch each.

So the rig is checked too. A bug replaces a function or method while its context lasts. Each names
the laws that may find it, and the worlds in which it shows within `SEEDS` seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flopgate_sim.planted import (
    in_clusters,
    in_gate,
    in_governor,
    in_licenses,
    in_lockdown,
    in_meter,
    in_orders,
    in_retiring,
    in_rulings,
    license_worlds,
    order_worlds,
    ruling_worlds,
)
from flopgate_sim.planted.cluster_worlds import all_exempt, claimed, in_parts
from flopgate_sim.planted.patching import Swap
from flopgate_sim.planted.worlds import (
    busy,
    busy_rollout,
    clocks_back,
    crashing,
    cut_anew,
    cut_short,
    cut_up,
    gate_away,
    gates_gone,
    gone_silent,
    grown_old,
    hung,
    hung_and_reloaded,
    joined_late,
    late_network,
    lifted,
    lost_backups,
    nested,
    paused,
    paused_softly,
    reloaded,
    retiring,
    rollout,
    slowly_admitted,
    tight,
    two_pauses,
    two_rollouts,
    wall_clocks_set,
)
from flopgate_sim.world.plan import WorldPlan

SEEDS = 5
"""Every bug must be caught within so many seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One bug.

    Attributes:
        laws: any of these may find it.
        swaps: what is replaced while it is planted.
        world: plan by seed, in which it shows.
    """

    name: str
    text: str
    laws: frozenset[int]
    swaps: Callable[[], tuple[Swap, ...]]
    world: Callable[[int], WorldPlan]


@contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """Production code has the bug inside the block."""
    swaps = bug.swaps()
    for swap in swaps:
        swap.put_in()
    try:
        yield
    finally:
        for swap in reversed(swaps):
            swap.take_out()


def _bug(
    name: str,
    laws: set[int],
    world: Callable[[int], WorldPlan],
    swaps: Callable[[], tuple[Swap, ...]],
    text: str,
) -> Planted:
    return Planted(name=name, text=text, laws=frozenset(laws), swaps=swaps, world=world)


BUGS = (
    _bug("receipt-time", {1}, late_network, in_gate.receipt_time,
         "a permit counts from its receipt, not from its request"),
    _bug("no-drain-margin", {1}, late_network, in_gate.no_drain_margin,
         "the freeze comes at the end of the lifetime, draining and kill after it"),
    _bug("freeze-is-standstill", {1, 6}, paused, in_gate.freeze_is_standstill,
         "a frozen process is taken for a chip that stands"),
    _bug("kill-forgotten", {1, 6}, paused, in_gate.kill_forgotten,
         "what does not stand in time is not killed"),
    _bug("thaw-unchecked", {1, 6}, paused_softly, in_gate.thaw_unchecked,
         "a lane is thawed without looking at permission again"),
    _bug("rungs-unclimbed", {1}, lifted, in_gate.rungs_unclimbed,
         "a stopped lane's chips take new contexts"),
    _bug("slowed-never", {1}, lifted, in_gate.slowed_never,
         "a stopped lane's chips are as fast as ever"),
    _bug("node-unclosed", {1}, lifted, in_gate.node_unclosed,
         "the device nodes of a stopped lane stay open"),
    _bug("filter-unattached", {1}, lifted, in_gate.filter_unattached,
         "the kernel closes no device of a stopped lane"),
    _bug("filter-left-attached", {8}, lifted, in_gate.filter_left_attached,
         "a lane runs again, and the kernel lets nobody open its chips"),
    _bug("rungs-unrenewed", {1}, lifted, in_gate.rungs_unrenewed,
         "chips that somebody opened stay open"),
    _bug("hung-setter-kept", {1}, lifted, in_gate.hung_setter_kept,
         "a call that hangs at one chip keeps the others from being set"),
    _bug("rungs-unrestored", {8}, lifted, in_gate.rungs_unrestored,
         "a lane runs again on chips that are closed and slow"),
    _bug("barred-while-running", {8}, lifted, in_gate.barred_while_running,
         "a lane may run, and its chips take no context"),
    _bug("retires-running", {1}, retiring, in_retiring.retires_running,
         "a host says that it is out of service, and computes on under its last permit"),
    _bug("freed-unheard", {1}, retiring, in_retiring.freed_unheard,
         "a host is free before its authorities know that it left"),
    _bug("own-rung-for-before", {8, 10}, lifted, in_gate.own_rung_for_before,
         "the gate's own setting is taken for what was before"),
    _bug("undone-untold", {10}, lifted, in_gate.undone_untold,
         "no report says that somebody opened closed chips"),
    _bug("never-locked-down", {8}, gates_gone, in_lockdown.never_locked_down,
         "a gate does not come back and nobody locks down"),
    _bug("term-prolonged", {8}, gates_gone, in_lockdown.term_prolonged,
         "the lock-down kills a minute after the watchdog time"),
    _bug("ceiling-added", {2}, cut_short, in_gate.ceiling_added,
         "a new ceiling is added to the old one"),
    _bug("join-unawaited", {1, 2}, joined_late, in_gate.join_unawaited,
         "a host runs by what one authority gave before the next one has admitted it"),
    _bug("retry-granted-anew", {2}, busy, in_governor.retry_granted_anew,
         "a retry gets a new grant instead of the stored bytes"),
    _bug("released-on-silence", {2}, tight, in_governor.released_on_silence,
         "headroom is released without a report that shows it unused"),
    _bug("cap-ignored", {2}, tight, in_governor.cap_ignored,
         "a grant is not trimmed to what the cap leaves"),
    _bug("widest-cap-ignored", {2}, nested, in_governor.widest_cap_ignored,
         "of nested budgets only that of the cluster counts"),
    _bug("silence-free", {3}, gone_silent, in_governor.silence_free,
         "what a silent host may compute is granted to others"),
    _bug("counted-twice", {2}, busy, in_governor.counted_twice,
         "a report moves the books twice"),
    _bug("gap-free", {3}, busy, in_meter.gap_free, "time without counters costs nothing"),
    _bug("mig-believed", {3}, cut_up, in_meter.mig_believed,
         "counters of a chip that is cut into instances are believed"),
    _bug("instance-gone-free", {3}, cut_anew, in_meter.instance_gone_free,
         "an instance that is destroyed between two looks takes its FLOP with it"),
    _bug("reset-survived", {3}, reloaded, in_meter.reset_survived,
         "counters are taken for survivors of a gap in which a reset could have been"),
    _bug("samplers-alike", {3}, hung_and_reloaded, in_meter.samplers_alike,
         "what one sampler read is the base of what the next one reads"),
    _bug("hung-chip-free", {3}, cut_up, in_meter.hung_chip_free,
         "a chip that no sampler asks costs nothing"),
    _bug("unaccounted-unbooked", {3}, busy, in_meter.unaccounted_unbooked,
         "what no grant covers is written in no book"),
    _bug("clock-waits", {1, 3, 8}, clocks_back, in_gate.clock_waits,
         "a gate whose boot clock went back waits for it to catch up"),
    _bug("snapshot-accepted", {2, 4}, busy, in_governor.snapshot_accepted,
         "a second history of a host takes the place of the first"),
    _bug("restored-grants", {4}, lost_backups, in_governor.restored_grants,
         "a governor restored from an older backup goes on granting"),
    _bug("pause-forgotten", {6}, paused, in_gate.pause_forgotten,
         "a latched pause is forgotten after a while"),
    _bug("resume-lifts-all", {6}, two_pauses, in_governor.resume_lifts_all,
         "a resume lifts pauses that it does not list"),
    _bug("granted-under-pause", {6}, paused, in_governor.granted_under_pause,
         "a governor does not look at its pauses"),
    _bug("answer-before-commit", {7, 9}, busy, in_governor.answer_before_commit,
         "an answer leaves before its transaction is durable"),
    _bug("log-entry-missing", {7}, busy, in_governor.log_entry_missing,
         "the log entry of a batch is not written"),
    _bug("unsigned-believed", {7}, busy, in_gate.unsigned_believed,
         "an acknowledgement counts although no signature holds"),
    _bug("silent-driver-ignored", {8}, hung, in_gate.silent_driver_ignored,
         "compute goes on without a driver that answers"),
    _bug("stands-without-why", {8}, paused, in_gate.stands_without_why,
         "a lane stands and does not say why"),
    _bug("ledger-unsynced", {9}, busy, in_gate.ledger_unsynced,
         "a report leaves before it is durable"),
    _bug("recovered-unsynced", {9}, crashing, in_governor.recovered_unsynced,
         "what a killed process left unsynced is served by the next one as it is"),
    _bug("assurance-inflated", {10}, busy, in_gate.assurance_inflated,
         "a report claims attested figures"),
    _bug("findings-dropped", {10}, busy, in_gate.findings_dropped,
         "implausible counters are no finding"),
    _bug("wall-step-untold", {10}, wall_clocks_set, in_gate.wall_step_untold,
         "a wall clock that steps is no finding"),
    _bug("observe-freezes", {8}, rollout, in_gate.observe_freezes,
         "a host that is only observed is stopped"),
    _bug("own-phase-loosens", {1, 6}, rollout, in_gate.own_phase_loosens,
         "a host's own configuration makes it looser than its policy"),
    _bug("own-phase-ignored", {1, 6}, rollout, in_gate.own_phase_ignored,
         "a host's own configuration cannot make it stricter"),
    _bug("date-passed-over", {1, 6}, rollout, in_gate.date_passed_over,
         "the date from which a rule bites passes and nothing happens"),
    _bug("site-passed-over", {1, 6}, busy_rollout, in_gate.site_passed_over,
         "a rule for a site does not count"),
    _bug("phase-forgotten", {1, 6}, rollout, in_gate.phase_forgotten,
         "a gate that starts again has forgotten that a date has passed"),
    _bug("phase-never-old", {1, 6}, grown_old, in_gate.phase_never_old,
         "a policy that only observes is never too old"),
    _bug("time-lost", {1, 6}, gate_away, in_gate.time_lost,
         "time in which no gate ran does not count towards a date"),
    _bug("loosest-rules", {1, 6}, two_rollouts, in_gate.loosest_rules,
         "of several authorities the one that only observes rules"),
    _bug("date-brought-forward", {8}, slowly_admitted, in_gate.date_brought_forward,
         "what was long on its way lets a date come too early"),
    _bug("would-stop-untold", {10}, rollout, in_gate.would_stop_untold,
         "no finding tells what would have been stopped"),
    _bug("runs-without-why", {10}, rollout, in_gate.runs_without_why,
         "a lane runs without permission, and its reports do not say so"),
    _bug("declaration-believed", {10}, in_parts, in_clusters.declaration_believed,
         "a cluster that is declared in parts stays exempt, whatever its links show"),
    _bug("neighbour-pulled-in", {10}, claimed, in_clusters.neighbour_pulled_in,
         "hosts that tell of another custodian's fabric make its cluster larger"),
    _bug("exempt-unescrowed", {2}, all_exempt, in_clusters.exempt_unescrowed,
         "what exempt hosts were granted is in no book"),
    _bug("signatures-counted", {6}, order_worlds.one_officer_twice, in_orders.signatures_counted,
         "one officer who signs twice is taken for two"),
    _bug("cap-by-one", {2}, order_worlds.cap_by_one, in_orders.signatures_counted,
         "a cap is raised without a quorum"),
    _bug("approvals-unbound", {6}, order_worlds.other_bytes, in_orders.approvals_unbound,
         "an approval of other bytes counts"),
    _bug("cap-at-once", {2}, order_worlds.cap_that_waits, in_orders.loosened_at_once,
         "a cap that is raised does not wait"),
    _bug("resume-at-once", {6}, order_worlds.resume_that_waits, in_orders.loosened_at_once,
         "a resume does not wait"),
    _bug("unnamed-policy-believed", {1, 6}, order_worlds.joined_while_a_policy_waits,
         in_orders.unnamed_policy_believed,
         "a policy that waits makes a host loose that joins with it"),
    _bug("held-orders-kept", {2}, order_worlds.veto_that_a_backup_lacks,
         in_orders.held_orders_kept, "no gate hands back a veto that a restored governor lost"),
    _bug("pauses-of-before", {6}, order_worlds.pauses_that_race, in_orders.pauses_of_before,
         "a renewal that races a pause is granted"),
    _bug("one-pause-an-instant", {6}, order_worlds.pauses_in_one_instant,
         in_orders.one_pause_an_instant, "of two pauses in one instant one is lost"),
    _bug("demoted-by-another", {6}, order_worlds.demoted, in_orders.demoted_by_another,
         "one authority alone takes another's say"),
    _bug("fallback-at-once", {1}, order_worlds.fell_silent, in_orders.fallback_at_once,
         "a fallback that an authority signed counts before it was silent for so long"),
    _bug("fallback-for-good", {6}, order_worlds.fell_silent, in_orders.fallback_for_good,
         "an authority that speaks again after its fallback stays without a say"),
    _bug("fallback-of-another", {1}, order_worlds.silent_without_fallback,
         in_orders.fallback_of_another, "an authority falls by a fallback that another signed"),
    _bug("closed-unspent", {2}, ruling_worlds.closed_while_it_runs, in_rulings.closed_unspent,
         "what a chain that is closed may still use is granted to others"),
    _bug("closed-silence-free", {3}, ruling_worlds.closed_when_silent,
         in_rulings.closed_silence_free, "the silence of a chain that is closed costs nothing"),
    _bug("closed-goes-on", {4}, ruling_worlds.closed_when_silent, in_rulings.closed_goes_on,
         "a chain that officers closed is granted on"),
    _bug("relief-twice", {3}, ruling_worlds.relieved, in_rulings.relief_twice,
         "a relief takes off twice what was signed"),
    _bug("relief-unchecked", {3}, ruling_worlds.relieved_of_too_much,
         in_rulings.relief_unchecked, "a relief takes off more than its lane has"),
    _bug("adopted-at-once", {4, 6}, ruling_worlds.adoption_that_waits, in_orders.loosened_at_once,
         "an adoption does not wait"),
    _bug("unity-ignored", {10}, ruling_worlds.ruled_one, in_rulings.ruling_ignored,
         "clusters that officers rule to be one stay two"),
    _bug("apart-ignored", {10}, ruling_worlds.ruled_apart, in_rulings.ruling_ignored,
         "clusters that officers rule to stand apart stay one"),
    _bug("ruling-final", {10}, ruling_worlds.ruled_both_ways, in_rulings.ruling_ignored,
         "what officers ruled cannot be ruled otherwise"),
    _bug("subnet-unseen", {10}, ruling_worlds.one_subnet, in_rulings.subnet_unseen,
         "links of one subnet make nobody one"),
    _bug("slow-links-count", {10}, ruling_worlds.slow_subnet, in_rulings.slow_links_count,
         "links below the policy's rate make clusters one"),
    _bug("sites-alike", {10}, ruling_worlds.subnet_of_two_sites, in_rulings.sites_alike,
         "a subnet counts across sites on the hosts' word alone"),
    _bug("ancestors-uncounted", {2}, ruling_worlds.merged, in_rulings.ancestors_uncounted,
         "training compute is counted without ancestors"),
    _bug("ancestor-counted-twice", {8}, ruling_worlds.merged, in_rulings.ancestor_counted_twice,
         "an ancestor counts once for each path to it"),
    _bug("heirs-forgotten", {2}, ruling_worlds.merged, in_rulings.heirs_forgotten,
         "a grant does not count for what descends from its workload"),
    _bug("names-apart", {2}, ruling_worlds.many_names, in_rulings.names_apart,
         "each name that nobody registered has an allowance of its own"),
    _bug("rate-unbound", {2}, ruling_worlds.deployed, in_rulings.rate_unbound,
         "a deployment is as fast as its hosts"),
    _bug("inference-counts-nowhere", {2}, ruling_worlds.relabelled,
         in_rulings.inference_counts_nowhere, "what runs as inference is in no lineage"),
    _bug("reserved-after", {5}, license_worlds.crashing_licensed, in_licenses.reserved_after,
         "what a license lets run is written down once it ran"),
    _bug("nothing-lost", {5}, license_worlds.crashing_licensed, in_licenses.nothing_lost,
         "a gate that starts again has used nothing of its license"),
    _bug("counter-unbound", {5}, license_worlds.put_back, in_licenses.counter_unbound,
         "a disk of before is believed, though the TPM counted on"),
    _bug("uptime-by-wall-clock", {5}, license_worlds.clocks_set, in_licenses.uptime_by_wall,
         "what is used of a license is told by the wall clock"),
    _bug("end-by-wall-clock", {5}, license_worlds.short_lived, in_licenses.end_by_wall,
         "the end of a license is told by the wall clock"),
    _bug("returned-twice", {5}, license_worlds.given_back, in_licenses.returned_twice,
         "a license that was given back is installed once more"),
    _bug("opened-under-pause", {5}, license_worlds.reserved, in_licenses.opened_under_pause,
         "a reserve opens while a pause is latched"),
    _bug("license-expires-at-governor", {2}, license_worlds.tight_license,
         in_licenses.settled_by_expiry, "what a license holds is released once its end has passed"),
    _bug("uninstalled-released", {2}, license_worlds.tight_license,
         in_licenses.released_uninstalled, "a license that no report tells of is taken for lost"),
)  # fmt: skip
"""All of them, by law."""

PENDING = (
    ("a resume without its witnessed log entry", "witnesses"),
    ("a replica that grants from a stale copy", "PostgreSQL replicas"),
)
"""Bugs that cannot be planted yet, and the feature that they wait for."""
