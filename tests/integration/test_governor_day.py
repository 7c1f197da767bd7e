"""The day of docs/governor.md, and officers' own keys: each command run as its page has it."""

import json
import re
from pathlib import Path
from typing import Final

from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess, join
from tests.support.page import blocks, run

ELSEWHERE: Final = blocks("governor.md", "When that key is replaced")
STEPS: Final = [
    block
    for block in blocks("governor.md")
    if "license issue" not in block and block not in ELSEWHERE
]
"""What is licensed, and a key replaced: test_governor_licenses.py, test_key_replaced.py."""


def test_the_day_on_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "agency", "alpha")
    governor.start()
    try:
        host, _, _ = join(governor, 1, governor.token("--cluster", "alpha"))
        assert len(STEPS) == 5
        morning = run(STEPS[0], tmp_path)
        assert f"host {host.host_id.hex()[:16]}  alpha" in morning
        assert "cluster:alpha  cap 1e24 FLOP  upper bound 0 FLOP  left 1e24 FLOP" in morning
        noon = run(STEPS[1], tmp_path)
        assert "it can be signed, and what the books say allows it" in noon
        assert "looser     cap of cluster:alpha: 1e24 FLOP -> 2e24 FLOP" in noon
        assert "judged again, by the policy in force -> by the form:" in noon
        assert "nothing was signed or sent" in noon
        assert "loosens: " in noon
        assert "would not wait: no delay is set" in noon
        assert "policy 2 of gov.example is on record" in run(STEPS[2], tmp_path)
        run(STEPS[3], tmp_path)
        assert "log index" in run(STEPS[4], tmp_path)
        shown = json.loads(cli("policy", "show", "--dir", governor.root, "--json").stdout)
        assert (shown["version"], shown["prohibit_tflop"]) == (2, 10**15)
        told = cli("host", "show", host.host_id.hex()[:8], "--dir", governor.root)
        assert host.host_id.hex() in told.stdout
        slip = governor.order(
            "pause", "--scope", "everything", "--reason", "x", "--yes-i-mean", "alpha"
        )
        assert (slip.returncode, "order.unconfirmed" in slip.stderr) == (2, True)
    finally:
        governor.stop()


def test_law_6_an_officer_brings_a_key_of_his_own(tmp_path: Path) -> None:
    """By docs/orders.md: made elsewhere, in force once old and new officers signed the root."""
    governor = GovernorProcess.make(tmp_path / "gov")
    governor.start()
    try:
        make, show, propose = blocks("orders.md")
        key = run(make, tmp_path).strip()
        run(show, tmp_path)
        form = tmp_path / "trust.toml"
        first = re.compile(r'name = "officer-1"\nkey = "[^"]*"')
        text, count = first.subn(f'name = "ann"\nkey = "{key}"', form.read_text())
        assert count == 1
        form.write_text(text.replace('"officer-1"', '"ann"'))
        digest = re.search(r"digest ([0-9a-f]{64})", run(propose, tmp_path))
        assert digest is not None
        draft, old = tmp_path / "root-2.json", governor.root / "officers"
        for pem in (old / "officer-1.pem", old / "officer-2.pem"):
            cli("order", "approve", draft, "--key", pem, "--digest", digest[1])
        early = cli("order", "submit", draft, "--dir", governor.root)
        assert "envelope.quorum" in early.stderr, "of the new root one of two signed"
        cli("order", "approve", draft, "--key", tmp_path / "ann.pem", "--digest", digest[1])
        assert cli("order", "submit", draft, "--dir", governor.root).returncode == 0
        pause = ("pause", "--dir", governor.root, "--scope", "cluster:c1", "--reason", "x")
        assert "envelope.quorum" in cli(*pause, "--key", old / "officer-1.pem").stderr
        assert cli(*pause, "--key", tmp_path / "ann.pem").returncode == 0
    finally:
        governor.stop()
