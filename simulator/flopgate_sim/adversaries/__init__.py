"""Hosts and operators that cheat: what each tries, and what comes of it.

Each is played in a world of its own, with the laws judged as ever. What waits for a feature, or is
out of reach of software on a host, says so. `docs/adversaries.md` is made from this table, by
`flopgate-sim list --adversaries`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from flopgate_sim.adversaries import (
    clock_plays,
    cluster_plays,
    flood_plays,
    histories,
    key_plays,
    license_plays,
    loss_plays,
    memory_plays,
    plays,
    workload_plays,
)
from flopgate_sim.adversaries.stage import Played


class Expected(enum.StrEnum):
    """What should come of it."""

    PREVENTED = "prevented"
    DETECTED = "detected"
    BOUNDED = "bounded"
    OUT_OF_REACH = "out of reach"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """Somebody who cheats.

    Attributes:
        tries: what he does.
        comes: what comes of it, or why it is out of reach, or the feature that it waits for.
        play: plays it; ``None`` where nothing can be played.
        within_s: by when it is detected. A report and what hangs on it come within two minutes.
    """

    name: str
    tries: str
    expected: Expected
    comes: str
    play: Callable[[], Played] | None = None
    within_s: float = 130.0


ADVERSARIES = (
    Adversary(
        name="replay-elsewhere",
        tries="gives answers to other hosts, other runs and other requests than theirs",
        expected=Expected.PREVENTED,
        comes="refused by host and by run, an older answer of the same run is superseded; no law "
        "breaks",
        play=plays.replay_elsewhere,
    ),
    Adversary(
        name="courier-at-will",
        tries="drops, repeats, delays and reorders whatever the courier carries",
        expected=Expected.PREVENTED,
        comes="permission runs out where it does not arrive; no law breaks",
        play=plays.courier_at_will,
    ),
    Adversary(
        name="courier-forges",
        tries="changes answers, makes up acknowledgements, mixes signed parts",
        expected=Expected.PREVENTED,
        comes="signature or path does not hold; no law breaks",
        play=plays.courier_forges,
    ),
    Adversary(
        name="ledger-rolled-back",
        tries="puts an older ledger back, to drop the tail of the chain",
        expected=Expected.DETECTED,
        comes="the next report forks the chain: it is closed on evidence, and the host stands",
        play=plays.ledger_rolled_back,
    ),
    Adversary(
        name="disk-cloned",
        tries="runs a second machine on a copy of disk and keys",
        expected=Expected.DETECTED,
        comes="two histories of one key: the chain is closed on evidence, and both machines stand",
        play=plays.disk_cloned,
    ),
    Adversary(
        name="enrolled-anew",
        tries="enrols the same chips under a new key, to shed their history",
        expected=Expected.PREVENTED,
        comes="the chips are known under another host: no admission",
        play=plays.enrolled_anew,
    ),
    Adversary(
        name="answers-made-up",
        tries="quotes, on two of three hosts, answers that nobody gave, beside roots that nobody "
        "signed, to halt all grants",
        expected=Expected.PREVENTED,
        comes="no root of ours proves them: the reports are refused, the liars stand, everybody "
        "else is granted on",
        play=loss_plays.answers_made_up,
    ),
    Adversary(
        name="roots-dropped",
        tries="drops, on the way of every host, the roots that show a restored governor what it "
        "lost",
        expected=Expected.PREVENTED,
        comes="no host whose root is withheld gets a permit; with the first root that comes the "
        "governor halts",
        play=loss_plays.roots_dropped,
    ),
    Adversary(
        name="losses-made-up",
        tries="quotes, while a restored governor is halted, answers that nobody gave, of a number "
        "that it lost",
        expected=Expected.PREVENTED,
        comes="they count as lost, and nothing is granted; what the host's own gate reports is "
        "another history then: its chain is closed on evidence",
        play=loss_plays.losses_made_up,
    ),
    Adversary(
        name="governor-clock-set",
        tries="sets the governor's wall clock ahead for minutes, and has the governor start anew "
        "meanwhile, to bring into force what waits",
        expected=Expected.PREVENTED,
        comes="governor time goes by the machine's boot clock: it comes into force when its delay "
        "is over; no law breaks",
        play=clock_plays.governor_clock_set,
    ),
    Adversary(
        name="governor-clock-kept",
        tries="leaves the governor's wall clock ahead for ten minutes, or boots its machine by it",
        expected=Expected.OUT_OF_REACH,
        comes="the governor follows; gates count what waits there by their own running time, and "
        "tell of a time that leapt",
    ),
    Adversary(
        name="pause-withheld",
        tries="holds the governor's online key and withholds a pause from it and from all hosts",
        expected=Expected.BOUNDED,
        comes="without a fresh delegation by officers every host stands once its span, and the "
        "lifetime of the last permit, are over",
        play=plays.pause_withheld,
    ),
    Adversary(
        name="revoked-key-used",
        tries="holds an online key that officers replaced and revoked, and the couriers of two of "
        "three hosts, to answer them in the authority's place",
        expected=Expected.PREVENTED,
        comes="no gate that heard of the revocation takes his answers: the hosts stand once their "
        "permits are over, and run again with the authority's next answer; no law breaks",
        play=key_plays.revoked_key_used,
    ),
    Adversary(
        name="numbers-made-up",
        tries="holds the online key, and answers two of three hosts in batches of numbers beyond "
        "all that come, to keep them from their authority for good",
        expected=Expected.PREVENTED,
        comes="the hosts stand until officers replace the key and revoke it; then they take what "
        "the next one signs, their reports go on record, and nobody is accused",
        play=key_plays.numbers_made_up,
    ),
    Adversary(
        name="rehearsal-replayed",
        tries="keeps what the officers sign with the same keys for a rehearsal of the same name: a "
        "pause, a wide budget and a resume, and brings them to the real authority and its hosts",
        expected=Expected.PREVENTED,
        comes="an order names its authority by the digest of its first trust root: refused by "
        "governor and gates, which tell whose it is; no law breaks",
        play=key_plays.rehearsal_replayed,
    ),
    Adversary(
        name="date-evaded",
        tries="cuts a host off and switches it off for a while, before a date of `enforce`",
        expected=Expected.BOUNDED,
        comes="its gate hears of that time with the next answer only: the host works on after the "
        "date for about as long as it was off before, at most until the policy is too old",
        play=plays.date_evaded,
    ),
    Adversary(
        name="wall-clock-set",
        tries="sets the wall clock back and forward, by hours",
        expected=Expected.PREVENTED,
        comes="no expiry rests on it; no law breaks; the next report tells of each step",
        play=plays.wall_clock_set,
    ),
    Adversary(
        name="boot-clock-set-back",
        tries="sets the boot clock back, to make a permit last",
        expected=Expected.DETECTED,
        comes="the gate holds the host at once and charges what the clock hides",
        play=plays.boot_clock_set_back,
    ),
    Adversary(
        name="thawed-by-root",
        tries="lets frozen processes go on, by root, again and again",
        expected=Expected.DETECTED,
        comes="the next look sees work without permission: held anew, and killed",
        play=plays.thawed_by_root,
    ),
    Adversary(
        name="boot-clock-slowed",
        tries="stops the boot clock, or slows it beyond the drift bound",
        expected=Expected.DETECTED,
        comes="the authority's signed time goes on without it: a finding with the first answer "
        "after it is 10 s behind; where no answer comes, permission lasts as that clock has it; a "
        "gate with a TPM holds the host within minutes",
        play=memory_plays.boot_clock_slowed,
        within_s=240.0,
    ),
    Adversary(
        name="undeclared-hosts",
        tries="moves work to hosts without a gate",
        expected=Expected.OUT_OF_REACH,
        comes="what has no gate is not seen by software: chip registries and inspection are needed",
    ),
    Adversary(
        name="gate-killed",
        tries="kills, stops or traces the gate and goes on computing",
        expected=Expected.PREVENTED,
        comes="the lock-down outside the gate ends the job within the watchdog time",
        play=plays.gate_killed,
    ),
    Adversary(
        name="memory-snapshot",
        tries="restores a virtual machine with its memory, again and again",
        expected=Expected.DETECTED,
        comes="the next report forks the chain: it is closed on evidence, and the host stands once "
        "its permit is over, by a boot clock that went back as well",
        play=memory_plays.memory_snapshot,
    ),
    Adversary(
        name="memory-snapshot-unlinked",
        tries="does the same while no link shows it",
        expected=Expected.DETECTED,
        comes="counters that jumped and a wall clock that stepped are findings at once, and the "
        "first answer proves the boot clock to be behind; the FLOP of that time are in no book",
        play=memory_plays.memory_snapshot_unlinked,
    ),
    Adversary(
        name="memory-snapshot-tpm",
        tries="restores a virtual machine with its memory beside a TPM that is not put back",
        expected=Expected.PREVENTED,
        comes="the TPM's counter stands higher: no report is signed any more, every lane stands",
        play=memory_plays.memory_snapshot_beside_tpm,
    ),
    Adversary(
        name="counters-faked",
        tries="shows idle counters while the chips work",
        expected=Expected.DETECTED,
        comes="energy and the driver's own kernel time contradict the cycles: findings in the next "
        "reports; the FLOP of that time are in no book",
        play=plays.counters_faked,
    ),
    Adversary(
        name="driver-bent",
        tries="has a driver show an idle chip in all that it says: cycles, kernels, power",
        expected=Expected.DETECTED,
        comes="hosts of the same fabric are charged far more for the same run: a finding within "
        "six minutes; the FLOP of that time are in no book",
        play=plays.driver_bent,
        within_s=360.0,
    ),
    Adversary(
        name="two-histories",
        tries="tells each of two authorities another history",
        expected=Expected.DETECTED,
        comes="each sees one chain; when they compare its heads, of one report there are two",
        play=histories.two_histories,
        within_s=400.0,
    ),
    Adversary(
        name="two-histories-of-batches",
        tries="as an authority, shows one host its answers in a row of batches of its own",
        expected=Expected.DETECTED,
        comes="no gate and no governor notices; `roots compare` of what hosts keep tells it, with "
        "evidence for anybody",
        play=histories.two_rows,
    ),
    Adversary(
        name="cluster-split",
        tries="declares a cluster in parts below the threshold",
        expected=Expected.PREVENTED,
        comes="its links show that it is one: covered as a whole at the next renewal; not on RoCE, "
        "nor on subnets without a prefix of their own",
        play=cluster_plays.cluster_split,
    ),
    Adversary(
        name="fabric-claimed",
        tries="tells that its hosts hang on a neighbour's fabric, to pull it over the threshold",
        expected=Expected.PREVENTED,
        comes="across custodians a merge waits for officers: nobody's permit changes",
        play=cluster_plays.fabric_claimed,
    ),
    Adversary(
        name="training-relabelled",
        tries="calls training inference",
        expected=Expected.BOUNDED,
        comes="as fast as its approval as a deployment allows, until its result is registered: "
        "then all of it counts; a result that nobody declares is seen in no counter",
        play=workload_plays.training_relabelled,
    ),
    Adversary(
        name="many-small-runs",
        tries="splits one training into many small runs",
        expected=Expected.PREVENTED,
        comes="what nobody registered of one custodian is granted no more than one run may have; "
        "what is registered has its ancestors in it, each once",
        play=workload_plays.many_small_runs,
    ),
    Adversary(
        name="license-cloned",
        tries="runs a second machine on a copy of a disk with its license, where no TPM counts",
        expected=Expected.DETECTED,
        comes="both spend it until it is used up; at the next contact there are two histories: the "
        "chain is closed on evidence, and both machines stand",
        play=license_plays.license_cloned,
    ),
    Adversary(
        name="license-put-back",
        tries="puts an older disk back again and again without a link, to spend a license again",
        expected=Expected.DETECTED,
        comes="where no TPM counts it is spent again until the next contact; what the chips did "
        "meanwhile is then charged as unaccounted, with a finding",
        play=license_plays.license_put_back,
    ),
    Adversary(
        name="license-put-back-tpm",
        tries="does the same where a TPM counts",
        expected=Expected.PREVENTED,
        comes="the ledger is older than the TPM's counters: no gate starts, the lock-down ends "
        "the job",
        play=license_plays.license_put_back_beside_tpm,
    ),
    Adversary(
        name="tpm-swapped",
        tries="swaps the TPMs of two hosts that run by licenses",
        expected=Expected.PREVENTED,
        comes="no counter fits its ledger: no gate starts on either; the host keys are in the "
        "other TPM as well",
        play=license_plays.tpm_swapped,
    ),
    Adversary(
        name="license-courier",
        tries="loses licenses, brings them twice and to other hosts",
        expected=Expected.PREVENTED,
        comes="a lost one lets nothing run, and is held from the budget until a report tells; a "
        "second one changes nothing; another host refuses it",
        play=license_plays.license_courier,
    ),
    Adversary(
        name="license-unapproved",
        tries="makes licenses with the governor's stolen online key: approved by one officer "
        "twice, by other bytes, or for another host",
        expected=Expected.PREVENTED,
        comes="each gate asks for the officers' quorum over just this request: refused; what they "
        "approved meanwhile runs on",
        play=license_plays.license_unapproved,
    ),
    Adversary(
        name="reserve-under-pause",
        tries="opens a reserve, by enough of its openers, while a pause is latched",
        expected=Expected.PREVENTED,
        comes="refused: a pause goes before every reserve",
        play=license_plays.reserve_under_pause,
    ),
    Adversary(
        name="reports-without-measure",
        tries="makes reports without end, to fill the governor's disk and keep other hosts waiting",
        expected=Expected.PREVENTED,
        comes="what is beyond the host's allowance is not taken: its own permits run out; nobody "
        "else is held back",
        play=flood_plays.reports_without_measure,
    ),
    Adversary(
        name="replica-lags",
        tries="asks a governor's replica that lags behind a pause",
        expected=Expected.PENDING,
        comes="PostgreSQL replicas",
    ),
)


def as_markdown() -> str:
    """The table of `docs/adversaries.md`."""
    lines = ["| adversary | tries | outcome | what comes of it |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.tries} | {one.expected} | {one.comes} |" for one in ADVERSARIES
    ]
    return "\n".join(lines) + "\n"
