"""One attribute of production code, swapped for another and back."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Swap:
    """``owner.name`` is ``instead`` while it is put in."""

    owner: object
    name: str
    instead: object
    _before: object = field(default=None, init=False)

    def put_in(self) -> None:
        """Swap."""
        self._before = vars(self.owner)[self.name]
        setattr(self.owner, self.name, self.instead)

    def take_out(self) -> None:
        """Swap back."""
        setattr(self.owner, self.name, self._before)
