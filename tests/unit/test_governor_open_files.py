"""A governor may have as many files open as it has streams, as far as the machine lets it."""

import resource
import subprocess
import sys

import pytest

STREAMS = 1_000
PROGRAM = """
import resource, sys
from flopgate_governor.open_files import allow_open_files
soft, hard, streams = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow_open_files(streams), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "then", "warned"),
    [
        (256, 4_096, 3_048, False),
        (256, 2_500, 2_500, True),
        (4_000, 4_096, 4_000, False),
    ],
)
def test_the_soft_limit_follows_the_streams(
    soft: int, hard: int, then: int, *, warned: bool
) -> None:
    assert hard <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    given = [str(number) for number in (soft, hard, STREAMS)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given], capture_output=True, text=True, check=True
    )
    *told, last = done.stdout.splitlines()
    assert last == f"{then} {then} {hard}"
    assert any("files.limited" in line for line in told) is warned
