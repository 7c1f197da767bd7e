"""The second act: two authorities, and a host that tells them different stories."""

from __future__ import annotations

import re
from typing import Any

from flopgate_proto.amounts import counted, flop_text
from flopgate_sim.demo.scenes import CAP_TFLOP, LATE_MS
from flopgate_sim.demo.treaty import HOME, HOSTS, TIMES, WORLD, Treaty
from flopgate_sim.live.governor import Governor
from flopgate_sim.live.hosts import HostView
from flopgate_sim.live.processes import elapsed_ms, wait_until
from flopgate_sim.live.telling import spread


def play(treaty: Treaty) -> None:
    """Every scene of the act."""
    both_permit(treaty)
    one_pauses(treaty)
    same_totals(treaty)
    two_stories(treaty)
    one_is_gone(treaty)


def both_permit(treaty: Treaty) -> None:
    """One permission is not enough."""
    teller = treaty.teller
    teller.scene("The home authority permits, then the international one, too")
    treaty.home.apply(CAP_TFLOP)
    treaty.explained(lambda text: WORLD in text and HOME not in text)
    views = treaty.wait("standstill", runs=False)
    teller.check(
        "by the word of one authority nothing runs, and `explain` names the other",
        f"{sum(view.halted for view in views)} of {len(views)} hosts stand still, by {WORLD}",
        held=all(view.halted for view in views),
        law="8",
    )
    started_ms = treaty.world.apply(CAP_TFLOP)
    views = treaty.wait("every host to run", runs=True)
    for host in treaty.honest:
        wait_until("the driver to take jobs", host.start_job)
    teller.check(
        "once both permit, every host runs",
        f"{counted(len(views), 'host')}, {(elapsed_ms() - started_ms) / 1000:.1f} s after Enter",
        held=all(view.runs for view in views),
    )


def one_pauses(treaty: Treaty) -> None:
    """A pause of one authority stops the hosts, however much the other permits."""
    teller = treaty.teller
    teller.scene("One officer of the international authority pauses")
    started_ms = treaty.world.pause("everything", "inspection refused")
    sent_ms = elapsed_ms()
    views = treaty.wait("standstill", runs=False)
    times_ms = [max(0, view.last_work_ms - started_ms) for view in views]
    bound_ms = sent_ms - started_ms + TIMES["wind_down_ms"] + TIMES["drain_ms"] + LATE_MS
    teller.check(
        f"{counted(len(views), 'host')} stood still after Enter, though {HOME} permits",
        spread(times_ms),
        held=max(times_ms) <= bound_ms and not treaty.home.status().get("pauses"),
        law="1, 6",
    )
    _explained(treaty, "pause.latched")


def same_totals(treaty: Treaty) -> None:
    """Each authority counts for itself, from the same signed reports."""
    teller = treaty.teller
    teller.scene("Each authority's own books, from the same signed reports")
    names = {host.view().host_id: host.name for host in treaty.hosts}
    found: list[dict[str, tuple[int, int]]] = [{}, {}]
    books: dict[str, tuple[int, int]] = {}

    def alike() -> bool:
        found[:] = [governor.totals() for governor in treaty.both]
        books.update({host.view().host_id: _book(host.view()) for host in treaty.hosts})
        verdicts = [one["verdict"] for one in treaty.compared()]
        return found[0] == found[1] == books and verdicts == ["same"] * len(HOSTS)

    wait_until("both to have heard every report", alike)
    for authority, totals in zip((HOME, WORLD), found, strict=True):
        told = ", ".join(f"{names[host]} {flop_text(sum(totals[host]))}" for host in sorted(totals))
        teller.say(f"{authority}: {told}")
    teller.check(
        "both arrived at the same totals, which are the gates' own",
        f"{flop_text(sum(map(sum, found[0].values())))} and "
        f"{flop_text(sum(map(sum, found[1].values())))}; `heads compare`: {len(HOSTS)} same",
        held=found[0] == found[1] == books and sum(map(sum, books.values())) > 0,
        law="4",
    )
    treaty.world.resume()
    treaty.wait("every host to run", runs=True)
    teller.say(f"two of three officers of {WORLD} lift the pause: all run again")


def two_stories(treaty: Treaty) -> None:
    """The disk of a host is copied: one copy speaks to each authority."""
    teller = treaty.teller
    teller.scene(
        "A host tells each authority another story: its disk is copied, both copies report"
    )
    one = treaty.two_faced
    host_id = one.view().host_id
    one.end()
    other = one.twin("two-faced-twin")
    treaty.stack.callback(other.end)
    parted = max(governor.sequences()[host_id] for governor in treaty.both)
    one.forget(WORLD)
    other.forget(HOME)
    one.launch()
    other.launch()
    for governor in treaty.both:
        _hears(governor, host_id, parted)
    refused = [
        host.get("refused_reason")
        for governor in treaty.both
        for host in governor.status()["hosts"]
    ]
    teller.check(
        "by itself neither can know: each has one chain without a hole",
        f"{sum(map(bool, refused))} of {len(refused)} chains closed",
        held=not any(refused),
    )
    # One copy may always be some reports ahead of the other: heads of now would never be seen
    # there, but those of a while ago are.
    wrong = _unlike(treaty.compared())

    def found() -> bool:
        wrong[:] = wrong or _unlike(treaty.compared(anew=False))
        return bool(wrong)

    wait_until("the second history to be found", found)
    teller.check(
        "they compare heads, and find the host that told two stories, and no other",
        f"`heads compare`: {wrong[0]['verdict']}, report {wrong[0]['sequence']}",
        held=[(one["host"], one["verdict"]) for one in wrong] == [(host_id, "two histories")],
        law="4",
    )
    proof = treaty.proof(host_id, wrong[0]["sequence"])
    for line in proof.splitlines():
        teller.say(f"  {line}")
    teller.check(
        "both reports are signed by the host's own key: proof to anybody",
        f"`heads prove`: two reports {wrong[0]['sequence']} of host {host_id[:16]}",
        held=wrong[0]["theirs"] in proof and wrong[0]["ours"] in proof,
        law="4",
    )
    other.end()
    one.end()


def one_is_gone(treaty: Treaty) -> None:
    """An authority that is out of reach renews nothing: its permits run out."""
    teller, seconds = treaty.teller, TIMES["lifetime_ms"] // 1000
    teller.scene(f"The international authority is gone: its permits live {seconds} s")
    treaty.world.stop()
    gone_ms = elapsed_ms()
    views = treaty.wait("standstill", runs=False)
    times_ms = [view.last_work_ms - gone_ms for view in views]
    teller.check(
        f"{counted(len(views), 'host')} stopped by themselves within a permit's lifetime, "
        f"though {HOME} permits",
        spread(times_ms),
        held=max(times_ms) <= TIMES["lifetime_ms"] and treaty.home.answers(),
        law="1",
    )
    _explained(treaty, "permit.exp")
    treaty.world.start()
    treaty.wait("every host to run", runs=True)
    teller.say(f"{WORLD} is back: all run again, by themselves")


def _unlike(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hosts whose heads differ, as far as both have heard of them."""
    return [one for one in compared if one["verdict"] not in {"same", "not seen here yet"}]


def _hears(governor: Governor, host_id: str, parted: int) -> None:
    wait_until(
        f"a report to {governor.authority}",
        lambda: governor.sequences()[host_id] > parted,
    )


def _explained(treaty: Treaty, reason: str) -> None:
    """Show what a host's own people are told, once it names the reason."""
    told = treaty.explained(lambda text: reason in text)
    for line in told.splitlines():
        treaty.teller.say(f"  {line}")
    treaty.teller.check(
        "`flopgate-agent explain` names the authority, and only that one",
        ", ".join(re.findall(rf"{WORLD}|{HOME}|{reason}[a-z]*", told)),
        held=WORLD in told and HOME not in told,
        law="8",
    )


def _book(view: HostView) -> tuple[int, int]:
    return view.allotted_tflop, view.unaccounted_tflop
