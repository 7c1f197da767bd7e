"""`Probe`: a child process that makes NVML calls through the real ``pynvml``, one at a time.

Tests ask through it instead of loading the library themselves: a process can load one only, and
a call that hangs must not hang the test. The child is `flopgate_sim.nvml.probe_child`: one JSON
question a line in, one answer a line out.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from flopgate_sim.nvml.driver import FakeDriver

ANSWER_TIMEOUT_S = 240.0


class NvmlCallError(Exception):
    """An NVML call gave an error; ``name`` is NVML's, without its prefix."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Probe:
    """A child that has run ``nvmlInit`` on the driver's GPUs.

    Raises:
        NvmlCallError: ``nvmlInit`` failed.
    """

    def __init__(self, driver: FakeDriver) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "flopgate_sim.nvml.probe_child"],
            env={**os.environ, **driver.env()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self.call("nvmlInit")
        except NvmlCallError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def close(self) -> None:
        """Kills the child, hung or not."""
        self._child.kill()
        self._child.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def call(
        self, name: str, *args: int | str, gpu: int | None = None, struct: str | None = None
    ) -> Any:
        """Makes one call and returns what pynvml gave, structures as dictionaries.

        Args:
            name: pynvml's function.
            args: what follows the handle.
            gpu: index whose handle comes first; ``None``: no handle.
            struct: pynvml type of which a fresh one is passed last and returned.

        Raises:
            NvmlCallError: NVML gave an error.
            TimeoutError: no answer within 240 s.
        """
        self.send(name, *args, gpu=gpu, struct=struct)
        return self.answer()

    def gpm(self, gpu: int, metric_ids: list[int], *, window_ms: int = 0) -> dict[int, float]:
        """Metrics from two samples taken ``window_ms`` apart.

        Raises:
            NvmlCallError: of the calls, or of the first metric that has no value.
        """
        self._write({"gpm": metric_ids, "gpu": gpu, "window_ms": window_ms})
        return {int(metric_id): value for metric_id, value in self.answer().items()}

    def watch_xid(self, gpu: int) -> None:
        """Registers for XID events of a GPU."""
        self._write({"watch": gpu})
        self.answer()

    def wait_xid(self, timeout_ms: int) -> int:
        """Waits for an XID event of the watched GPUs and returns its number.

        Raises:
            NvmlCallError: ``TIMEOUT``.
        """
        self._write({"wait_ms": timeout_ms})
        return int(self.answer())

    def send(
        self, name: str, *args: int | str, gpu: int | None = None, struct: str | None = None
    ) -> None:
        """Starts a call without waiting for its end; `answer` gives the result."""
        self._write({"call": name, "args": args, "gpu": gpu, "struct": struct})

    def _write(self, question: dict[str, Any]) -> None:
        if self._child.stdin is None:
            message = "the probe has no pipe"
            raise RuntimeError(message)
        self._child.stdin.write(json.dumps(question).encode() + b"\n")
        self._child.stdin.flush()

    def answered(self, timeout_s: float) -> bool:
        """Whether an answer stands ready within ``timeout_s`` seconds."""
        if self._child.stdout is None:
            message = "the probe has no pipe"
            raise RuntimeError(message)
        return bool(select.select([self._child.stdout], [], [], timeout_s)[0])

    def answer(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Result of the call under way; see `call` for what it raises."""
        if self._child.stdout is None or not self.answered(timeout_s):
            message = f"no answer within {timeout_s} s"
            raise TimeoutError(message)
        answer = json.loads(self._child.stdout.readline() or '{"error": "PROBE_ENDED"}')
        if "error" in answer:
            raise NvmlCallError(answer["error"])
        return answer["result"]
