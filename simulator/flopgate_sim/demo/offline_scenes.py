"""The third act: a site without a link runs on by a license, and stops when that is used up."""

from __future__ import annotations

import re
import time
from typing import Final

from flopgate_proto.amounts import counted, flop_text
from flopgate_sim.demo.offline import SPAN_S, STEP_MS, Site
from flopgate_sim.demo.scenes import METER_ERROR_MAX
from flopgate_sim.live.network import Trouble
from flopgate_sim.live.processes import RehearsalError, elapsed_ms, wait_until

RUN_S: Final = 2.0
TOLD: Final = ("running time until", "in all", "a pause may take", "nothing but its disk")
"""What is shown of what officers are told before they sign."""


def play(site: Site) -> None:
    """Every scene of the act."""
    by_file(site)
    executed_tflop = rebooted(site)
    used_up(site)
    next_one(site, executed_tflop)


def by_file(site: Site) -> None:
    """The line is cut, and a person brings a license."""
    teller, host = site.teller, site.host
    teller.scene("The line is cut: a person carries a request out, and a license back in")
    site.line.trouble(0, Trouble.CUT)
    cut_ms = elapsed_ms()
    request = site.request("first")
    license_, told = site.issue(request, "The line is cut.")
    for line in told.splitlines():
        if any(words in line for words in TOLD):
            teller.say(f"  {line.strip().removesuffix(', until')}")
    host.license("install", str(license_))
    installed_ms = elapsed_ms()
    site.wait("the host to run by its license", runs=True)
    teller.check(
        "the job runs on, by the license: asked for, signed by two officers, installed",
        f"{request.stat().st_size / 1000:.0f} kB out, {license_.stat().st_size / 1000:.0f} kB in, "
        f"{(installed_ms - cut_ms) / 1000:.1f} s after the cut",
        held=host.job_lives,
        law="5",
    )


def rebooted(site: Site) -> int:
    """Power is lost: permits are gone, the license is not; FLOP that the hardware did before."""
    teller, host = site.teller, site.host
    teller.scene("Power is lost: a permit is gone with the memory, a license is not")
    teller.say(
        "played: gate, courier and job end by kill -9, files of /run are gone, a new boot id,"
    )
    teller.say(
        "boot clock and the driver's counters from zero; the kernel of this machine goes on."
    )
    time.sleep(RUN_S)
    used_ms = _used_ms(site)
    executed_tflop = host.view().truth_tflop
    host.reboot()
    site.wait("the host to run by its license", runs=True)
    lost_ms = _used_ms(site) - used_ms
    wait_until("the driver to take jobs", host.start_job)
    teller.check(
        "the host runs on after the reboot; what was reserved is lost, one step at most",
        f"of {SPAN_S} s, {used_ms / 1000:.1f} s counted as used before it and "
        f"{(used_ms + lost_ms) / 1000:.1f} s after it; a step is {STEP_MS // 1000} s",
        held=host.job_lives and 0 <= lost_ms <= STEP_MS,
        law="5",
    )
    return executed_tflop


def used_up(site: Site) -> None:
    """It ends by itself, and is taken once only."""
    teller, host = site.teller, site.host
    teller.scene("The license is used up")
    left_ms, seen_ms = SPAN_S * 1000 - _used_ms(site), elapsed_ms()
    site.wait("standstill", runs=False)
    last_ms = host.view().last_work_ms
    teller.check(
        f"the host stops by itself within its {SPAN_S} s of running time",
        f"it ran {(last_ms - seen_ms) / 1000:.1f} s of the {left_ms / 1000:.1f} s that were left: "
        "the rest is kept for stopping in order",
        held=last_ms - seen_ms <= left_ms and not host.held_license,
        law="1, 5",
    )
    for line in host.explain().splitlines():
        teller.say(f"  {line}")
    try:
        told = host.license("install", str(site.work / "first.license"))
    except RehearsalError as error:
        told = error.detail
    refusal = re.findall(r"license\.request: [^:;.]+", told)
    teller.check(
        "the same file once more gives nothing",
        "".join(refusal[:1]) or "it was taken",
        held=bool(refusal) and not host.held_license and host.view().halted,
        law="5",
    )


def next_one(site: Site, executed_tflop: int) -> None:
    """The next request brings what was computed meanwhile; only then comes the next license."""
    teller, host, governor = site.teller, site.host, site.governor
    teller.scene("Its telemetry comes back with the next request, and then the next license")
    known = max(governor.sequences().values())
    license_, _ = site.issue(site.request("second"), "The line is still cut.")
    brought = max(governor.sequences().values()) - known
    (books,) = governor.totals().values()
    executed_tflop += host.view().truth_tflop
    teller.check(
        "every report since the cut is accounted, and none of what the GPUs did is missing",
        f"{counted(brought, 'report')}; {flop_text(sum(books))} booked, "
        f"{flop_text(executed_tflop)} executed",
        held=brought > 0 and sum(books) >= executed_tflop * (1 - METER_ERROR_MAX),
        law="3, 4",
    )
    host.license("install", str(license_))
    site.wait("the host to run by its license", runs=True)
    listed = governor.cli("license", "list", "--dir", str(governor.directory))
    out = listed.count(f"host {host.view().host_id[:16]}")
    teller.check(
        "it runs again by the next one; the first is settled, and nothing is held for it",
        f"{out} license is out",
        held=out == 1,
        law="2, 5",
    )


def _used_ms(site: Site) -> int:
    held = site.host.held_license
    if held is None:
        raise RehearsalError("the gate holds no license")
    return held.used_ms
