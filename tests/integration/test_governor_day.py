"""The day of docs/governor.md: each of its commands, run as it stands there."""

import json
from pathlib import Path
from typing import Final

from tests.support.governor_process import GovernorProcess, cli, join
from tests.support.page import blocks, run

STEPS: Final = blocks("governor.md")


def test_the_day_on_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    governor = GovernorProcess.make(tmp_path / "agency")
    governor.start()
    try:
        host, _, _ = join(governor, 1, governor.token())
        assert len(STEPS) == 4
        morning = run(STEPS[0], tmp_path)
        assert f"host {host.host_id.hex()[:16]}  c1" in morning
        assert "cluster:c1  cap 1e24 FLOP  upper bound 0 FLOP  left 1e24 FLOP" in morning
        noon = run(STEPS[1], tmp_path)
        assert "it can be signed, and what the books say allows it" in noon
        assert "looser     cap of cluster:c1: 1e24 FLOP -> 2e24 FLOP" in noon
        assert "judged again, by the policy in force -> by the form:" in noon
        assert "nothing was signed or sent" in noon
        assert "policy 2 of gov.example is on record" in run(STEPS[2], tmp_path)
        run(STEPS[3], tmp_path)
        shown = json.loads(cli("policy", "show", "--dir", governor.root, "--json").stdout)
        assert (shown["version"], shown["prohibit_tflop"]) == (2, 10**15)
        told = cli("host", "show", host.host_id.hex()[:8], "--dir", governor.root)
        assert host.host_id.hex() in told.stdout
        slip = governor.order(
            "pause", "--scope", "everything", "--reason", "x", "--yes-i-mean", "c1"
        )
        assert (slip.returncode, "order.unconfirmed" in slip.stderr) == (2, True)
    finally:
        governor.stop()
