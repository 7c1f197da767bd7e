"""As much of PyTorch as the sample in docs/ calls: no mathematics, and a step takes a while."""

from __future__ import annotations

import pickle
import time
from types import SimpleNamespace
from typing import Any, BinaryIO

STEP_S = 0.005


class Tensor:
    """Every operation gives another one."""

    def square(self) -> Tensor:
        """Another one."""
        return self

    def mean(self) -> Tensor:
        """Another one."""
        return self

    def backward(self) -> None:
        """Takes its time."""
        time.sleep(STEP_S)


class _Stateful:
    def __init__(self, *_: object, **__: object) -> None:
        self.state: dict[str, Any] = {"steps": 0}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return dict(self.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back."""
        self.state = state


class Linear(_Stateful):
    """A module."""

    def to(self, _device: str) -> Linear:
        """Stays where it is."""
        return self

    def parameters(self) -> list[Tensor]:
        """None."""
        return []

    def __call__(self, value: Tensor) -> Tensor:
        """Nothing is computed."""
        return value


class SGD(_Stateful):
    """Counts its steps."""

    def zero_grad(self) -> None:
        """Nothing to clear."""

    def step(self) -> None:
        """One more."""
        self.state["steps"] += 1


nn = SimpleNamespace(Linear=Linear, Module=Linear)
optim = SimpleNamespace(SGD=SGD, Optimizer=SGD)
cuda = SimpleNamespace(is_available=lambda: False)


def randn(*_size: int, device: str) -> Tensor:  # noqa: ARG001 - PyTorch's name
    """A batch."""
    return Tensor()


def save(state: object, file: BinaryIO) -> None:
    """To a file."""
    pickle.dump(state, file)


def load(path: Any, *, map_location: str, weights_only: bool) -> Any:  # noqa: ARG001 - as above
    """From a file."""
    return pickle.loads(path.read_bytes())  # noqa: S301 - the test wrote it
