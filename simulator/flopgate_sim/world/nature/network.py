"""Links between couriers and governors: late, lossy, cut, in one direction or both.

What runs over a link are whole messages: whoever carries them, an operator's relay or a bad
network, may lose, double, delay and reorder them. A stream that stays cut for ``KEEPALIVE_US``
breaks, as TCP with gRPC's keep-alive would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopgate_sim.world.nature.engine import US_PER_MS, Engine
from flopgate_sim.world.nature.randomness import Streams, happens

UP, DOWN = "up", "down"
KEEPALIVE_US = 30_000 * US_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What every message meets."""

    latency_ms: tuple[int, int] = (1, 50)
    loss_percent: float = 0.0
    duplicate_percent: float = 0.0
    reorder_percent: float = 0.0


class Link:
    """Between one host's courier and one governor.

    Attributes:
        cut: directions in which nothing passes.
        lossy_percent: chance of loss on top of the weather's.
    """

    def __init__(self, engine: Engine, streams: Streams, name: str, weather: Weather) -> None:
        self.name = name
        self.cut: set[str] = set()
        self.lossy_percent = 0.0
        self._engine = engine
        self._source = streams.of(f"network/{name}")
        self._weather = weather
        self._last_us = {UP: 0, DOWN: 0}

    @property
    def open(self) -> bool:
        """Whether a connection can be made now."""
        return not self.cut

    def send(self, direction: str, kind: str, deliver: Callable[[], None]) -> None:
        """Carry a message, or lose it."""
        weather, source = self._weather, self._source
        copies = 1 + happens(source, weather.duplicate_percent)
        for _ in range(copies):
            if not happens(source, weather.loss_percent + self.lossy_percent):
                self._carry(direction, kind, deliver)

    def _carry(self, direction: str, kind: str, deliver: Callable[[], None]) -> None:
        at_us = self._engine.now_us + self.delay_us()
        if happens(self._source, self._weather.reorder_percent):
            at_us += self.delay_us() * 10
        else:
            at_us = max(at_us, self._last_us[direction])
            self._last_us[direction] = at_us

        def arrive() -> None:
            if direction not in self.cut:
                deliver()

        self._engine.at(at_us, kind, arrive)

    def delay_us(self) -> int:
        """Time that one message takes."""
        low_ms, high_ms = self._weather.latency_ms
        return self._source.randint(low_ms * US_PER_MS, high_ms * US_PER_MS)
