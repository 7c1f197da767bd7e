"""The accuracy bench on the fake driver: one phase, every source of a Hopper chip."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^  fp16, 4104 x 4104 +(\S.*?)  .* ([+-][\d,.]+)% +(yes|NO)$", re.MULTILINE)


def test_every_source_holds_the_truth_and_cycles_hit_it() -> None:
    command = [sys.executable, "bench/meter_accuracy.py", "--fake", "--profile", "H100"]
    done = subprocess.run(
        [*command, "--phase", "fp16, 4104 x 4104", "--seconds", "1"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    rows = {
        name: (float(error.replace(",", "")), held)
        for name, error, held in ROW.findall(done.stdout)
    }
    assert set(rows) == {"cycles", "percentages", "kernel-active time", "peak x time"}
    assert {held for _, held in rows.values()} == {"yes"}
    assert abs(rows["cycles"][0]) < 0.5
    # Each poorer source costs more: losing a counter never makes work cheaper.
    errors = [rows[name][0] for name in ("percentages", "kernel-active time", "peak x time")]
    assert errors == sorted(errors)
