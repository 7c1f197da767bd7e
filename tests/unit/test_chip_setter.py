"""What the child does to one rung of a chip: a fake driver, a fake rung, a record in memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from flopgate_agent.enforcement.chips.child import Setter
from flopgate_agent.enforcement.chips.journal import DamagedError
from flopgate_agent.enforcement.chips.rung import NoWayError
from flopgate_agent.enforcement.chips.wire import Fact, State, Wish

CHIP = "GPU-1"
DEFAULT, FOUND, HELD = 1, 7, 9


class NvmlError(Exception):
    """As the driver's library raises it."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


NOT_SUPPORTED, NO_PERMISSION, UNKNOWN = 3, 4, 999


def driver() -> ModuleType:
    module: Any = ModuleType("pynvml")
    module.NVMLError = NvmlError
    module.NVML_ERROR_NOT_SUPPORTED = NOT_SUPPORTED
    module.NVML_ERROR_NO_PERMISSION = NO_PERMISSION
    module.NVML_ERROR_UNKNOWN = UNKNOWN
    module.nvmlDeviceGetHandleByUUID = str
    found: ModuleType = module
    return found


class Chip:
    """One chip, its only rung, and the record of what was before.

    ``deaf``: the driver says yes and does nothing. ``error``: what it says instead of yes.
    """

    name = "compute_mode"

    def __init__(self, value: int = FOUND) -> None:
        self.value = value
        self.deaf = False
        self.error: Exception | None = None
        self.kept: dict[str, int] = {}
        self.damaged = False
        self.facts: list[Fact] = []
        self._setter = Setter(driver(), self, self.facts.append, [self])

    def serve(self, wish: Wish) -> list[State]:
        """What is said of the rung."""
        self.facts.clear()
        self._setter.serve(CHIP, wish)
        return [fact.state for fact in self.facts if fact.state is not State.BEGUN]

    def probe(self, _nvml: ModuleType, _handle: Any) -> None:
        pass

    def before(self, _nvml: ModuleType, _handle: Any) -> int | None:
        return None if self.value == HELD else self.value

    def default(self, _nvml: ModuleType, _handle: Any) -> int:
        return DEFAULT

    def hold(self, _nvml: ModuleType, _handle: Any) -> None:
        assert self.kept, "what was before is written down first"
        if self.error is not None:
            raise self.error
        if not self.deaf:
            self.value = HELD

    def in_force(self, _nvml: ModuleType, _handle: Any) -> bool:
        return self.value == HELD

    def undo(self, _nvml: ModuleType, _handle: Any, before: int) -> None:
        self.value = before

    def load(self, _uuid: str) -> dict[str, int]:
        if self.damaged:
            raise DamagedError("torn")
        return {**self.kept}

    def save(self, _uuid: str, before: dict[str, int]) -> None:
        assert all(type(value) is int for value in before.values()), "or it is torn again"
        self.kept, self.damaged = {**before}, False


def test_what_was_before_comes_back_and_its_record_goes() -> None:
    chip = Chip()
    assert chip.serve(Wish.DENIED) == [State.HELD]
    assert (chip.value, chip.kept) == (HELD, {Chip.name: FOUND})
    assert chip.serve(Wish.DENIED) == [State.HELD]
    assert chip.kept == {Chip.name: FOUND}, "not what it set itself"
    assert chip.serve(Wish.FREE) == [State.UNDONE]
    assert (chip.value, chip.kept) == (FOUND, {})
    assert chip.serve(Wish.FREE) == [], "nothing is held"


def test_what_somebody_undid_is_held_again_and_told() -> None:
    chip = Chip()
    chip.serve(Wish.DENIED)
    chip.value = FOUND
    assert chip.serve(Wish.DENIED) == [State.FOUND_UNDONE, State.HELD]


def test_a_driver_that_says_yes_and_does_nothing_is_found_out() -> None:
    chip = Chip()
    chip.deaf = True
    assert chip.serve(Wish.DENIED) == [State.NOT_IN_FORCE]
    assert chip.kept == {Chip.name: FOUND}, "it may have been set"


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    ("error", "never"),
    [
        (NvmlError(NOT_SUPPORTED), True),
        (NvmlError(NO_PERMISSION), True),
        (NoWayError("no way"), True),
        (NvmlError(UNKNOWN), False),
    ],
)
def test_only_what_was_never_set_leaves_no_record(
    error: Exception, *, never: bool, held: bool
) -> None:
    chip = Chip()
    if held:
        chip.serve(Wish.DENIED)
    chip.error = error
    assert chip.serve(Wish.DENIED) == [State.REFUSED]
    assert chip.kept == ({} if never and not held else {Chip.name: FOUND})


def test_what_is_held_without_a_record_goes_back_to_the_drivers_default() -> None:
    chip = Chip(HELD)
    assert chip.serve(Wish.DENIED) == [State.UNREADABLE, State.HELD]
    assert chip.serve(Wish.FREE) == [State.UNDONE]
    assert chip.value == DEFAULT


@pytest.mark.parametrize("name", [Chip.name, "clocks"])
def test_what_a_torn_record_held_is_put_back_though_the_wish_does_not_hold_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chip that was slow comes back from that, though no new context is let in."""
    monkeypatch.setattr(Chip, "name", name)
    chip = Chip(HELD)
    chip.damaged = True
    told = chip.serve(Wish.DENIED)
    assert told[0] is State.UNREADABLE
    if name == "clocks":
        assert (told[1:], chip.value, chip.kept) == ([State.UNDONE], DEFAULT, {})
    else:
        assert told[-1] is State.HELD
        assert chip.kept == {name: DEFAULT}


def test_a_torn_record_is_whole_again_from_the_first_rung_on() -> None:
    chip, slow = Chip(HELD), Chip(HELD)
    chip.damaged, slow.name = True, "clocks"
    Setter(driver(), chip, chip.facts.append, [chip, slow]).serve(CHIP, Wish.DENIED)
    assert (slow.value, chip.kept) == (DEFAULT, {Chip.name: DEFAULT})


def test_what_is_slow_stays_so_where_no_more_than_denial_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Chip, "name", "clocks")
    chip = Chip()
    assert chip.serve(Wish.SLOWED) == [State.HELD]
    assert chip.serve(Wish.DENIED) == []
    assert (chip.value, chip.kept) == (HELD, {"clocks": FOUND})
