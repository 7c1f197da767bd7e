"""The clocks of a governor in this process."""

from flopgate_governor.clocks import Clocks


class Clock:
    """Time that passes only when the test says so, and a wall clock that may be ahead of it."""

    def __init__(self) -> None:
        self.unix_ms = 1_800_000_000_000
        self.ahead_ms = 0
        self.boot_id = bytes(16)

    def __call__(self) -> int:
        return self.unix_ms + self.ahead_ms

    def machine(self) -> Clocks:
        """As a governor that starts now reads it."""
        return Clocks(boot_id=self.boot_id, unix_ms=self, boot_ms=lambda: self.unix_ms)
