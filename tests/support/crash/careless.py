"""A command that writes a file in place: ``careless FILE``. Killed at it, it leaves a half."""

import sys
from pathlib import Path

if __name__ == "__main__":
    Path(sys.argv[1]).write_text("whole", encoding="utf-8")
