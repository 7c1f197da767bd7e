"""Trains, writes a checkpoint when flopgate says that the job will be stopped, and goes on from it.

``pytorch_checkpoint.py CHECKPOINT STEPS``. The gate sends SIGUSR1 when the wind-down begins. The
handler only takes a note: saving happens between two steps, when the weights belong together. After
it the job trains on; it is frozen at the end of the wind-down and goes on when it is permitted
again. If it was killed instead, start it again: it begins where the checkpoint is.

With several ranks all must save after the same step, and the signal reaches them at different ones:
let them agree at every step, with ``torch.distributed.all_reduce(note, op=ReduceOp.MAX)``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch


class Notice:
    """Whether the gate has said that the job will be stopped."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGUSR1, self._take)

    def _take(self, _number: int, _frame: object) -> None:
        self._came = True

    def take(self) -> bool:
        """Whether it came since the last time."""
        came, self._came = self._came, False
        return came


def save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Replace the checkpoint as a whole: who is stopped while it writes keeps the old one."""
    draft = path.with_suffix(".new")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    with draft.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def main() -> None:
    """Train."""
    path, steps = Path(sys.argv[1]), int(sys.argv[2])
    notice = Notice()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.nn.Linear(512, 512).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    step = 0
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        print(f"goes on after step {step}", flush=True)
    while step < steps:
        loss = model(torch.randn(64, 512, device=device)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if notice.take():
            save(path, model, optimizer, step)
            print(f"saved after step {step}", flush=True)
    save(path, model, optimizer, step)


if __name__ == "__main__":
    main()
