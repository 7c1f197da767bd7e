"""docs/offline.md is followed to the letter, with real processes and the link really cut."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.support.offline_scene import QUICK, OfflineScene
from tests.support.page import blocks
from tests.support.waiting import until

MONDAY, TUESDAY = "Monday: the operator asks", "Tuesday: officers decide"
WEDNESDAY, NEXT = "Wednesday: the site runs on", "Monday again: the next one"
AHEAD, BY_HAND = "Ahead of the file", "Where no machine reaches all hosts"


@pytest.fixture
def scene(tmp_path: Path) -> OfflineScene:
    return OfflineScene(tmp_path)


def test_a_licensing_day_of_a_site(scene: OfflineScene) -> None:
    """Asked, decided, installed from one place, run on by, printed, told the time, and returned."""
    (policy,) = blocks("offline.md", "Once, beforehand")
    one, site = blocks("offline.md", MONDAY)
    paper, compared = blocks("offline.md", AHEAD)
    preview, issue = blocks("offline.md", TUESDAY)
    install, left, forms, told_time = blocks("offline.md", WEDNESDAY)
    (by_hand,) = blocks("offline.md", BY_HAND)
    following, back = blocks("offline.md", NEXT)
    with scene:
        assert "license_span_ms = 604800000  # 7d" in scene.run(policy)
        scene.cut()
        cut_s = time.monotonic()
        assert "the last asks for a license of 7d" in scene.run(one)
        assert "gathered: 2 of 2 hosts" in scene.run(site)
        codes = scene.run(paper).split()
        assert codes
        assert all((scene.folder / code).read_bytes().startswith(b"\x89PNG") for code in codes)
        told = scene.run(compared)
        assert told.count(": it follows on report ") == 2
        assert "site.request: it is what the summary says" in told
        seen = scene.run(preview)
        (checksum,) = {line.split()[-1] for line in told.splitlines() if "checksum of the" in line}
        assert f"checksum of the whole request {checksum}\n" in seen
        assert all(name in seen for name in ("node-1", "node-2"))
        issued = re.search(r"2 licenses\napproval \w+\nread out (\S+): ", scene.run(issue))
        assert issued is not None
        assert "installed: 2 of 2 hosts" in scene.run(install)
        assert "installed: 2 of 2 hosts" in scene.run(by_hand), "they have it already"
        until(lambda: "gov.example: held, " in scene.run(left), "the gate to say what it holds")
        text = scene.run(forms)
        assert text.count("license for host") >= 4, "two from paper, two from QR codes"
        assert text.count(f"  approval {issued[1]}: ") == text.count("license for host")
        scene.run(told_time)
        over_s = cut_s + QUICK["lifetime_ms"] / 1000 + 2
        until(lambda: time.monotonic() >= over_s, "the last permit to be over")
        for node in scene.nodes:
            until(node.runs_by_license, node.told)
        node = scene.nodes[0]
        node.end("gate", kill=True)
        node.start("gate")
        until(node.runs_by_license, node.told)
        first = node.license["request"]
        scene.run(following)
        until(lambda: node.license.get("request", first) != first, node.told)
        until(node.runs_by_license, node.told)
        assert "given back" in scene.run(back)
        until(lambda: node.lane.get("state") == "halted", node.told)
        for one_node in scene.nodes:
            one_node.start("courier")
        until(lambda: node.lane.get("state") == "running", node.told)

        def settled() -> bool:
            return scene.run("flopgate-governor license list --dir agency").count("host ") == 1

        until(settled, "the license that was given back to be settled")


def test_a_reserve_is_opened_by_the_custodians_own_officers(scene: OfflineScene) -> None:
    keys, given, opened = blocks("offline.md", "In reserve")
    with scene:
        node = scene.nodes[0]
        scene.run(keys)
        scene.run(given)
        scene.cut()
        until(lambda: node.lane.get("state") == "halted", node.told)
        begin, cosign, give = opened.replace("\\\n", "").strip().splitlines()
        scene.run(f"{begin}\n{cosign}")

        def taken() -> bool:
            return "opened: " in scene.run(f"{give} 2>&1 || true")

        until(taken, node.told)
        until(lambda: node.lane.get("state") == "running", node.told)
        until(lambda: node.license.get("state") == "opened", node.told)
