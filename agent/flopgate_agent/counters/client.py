"""Keep a sampler child alive and talk to it, from one single-threaded loop.

The loop registers `SamplerClient` once (its ``fileno`` stays the same over restarts) and calls
`on_readable` when it is readable, `handle_timer` when `get_timer` has passed. Nothing here blocks.
A child that misses a deadline, sends nonsense or ends is killed and started again after a pause
that doubles. ``now_ms`` is elapsed time of the host, chosen by the caller, never going back.

Where it hung at one chip, the next child leaves that chip alone, so that the others go on being
measured; it is tried again after a pause that doubles too, and not before the child that hung
there is gone. Of several one is tried at a time, so that none waits for another. Until then such a
chip is in no sample, and the meter charges its time.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence

from flopgate_agent.counters import layout
from flopgate_agent.counters.frames import FrameError, Identities, Message, Samples, split

PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "PYTHONPATH")
"""Environment that the child needs to find Python, pynvml and the driver library."""

SAMPLER_COMMAND = (sys.executable, "-P", "-m", "flopgate_agent.counters.sampler")
"""``-P``: nothing is imported from the directory that the gate happens to stand in."""

BACKOFF_FIRST_MS = 100
BACKOFF_MOST_MS = 10_000
MAX_UNREAPED = 4
"""A child stuck in the kernel cannot be reaped. So many of them, beside one for each chip that is
left alone, and no more are started."""
REAP_S = 2
"""How long `SamplerClient.close` waits for a killed child to be gone."""
READ_BYTES = 1 << 16
ANSWER_TIMEOUT_MS = 2_500
"""Half of the time after which the gate charges silence: the rest is for the next child to start
and to look, so that a hung chip costs the others no gap."""
START_TIMEOUT_MS = 30_000
"""For a child to start and to open the driver and every chip."""
CHIP_START_MS = 5_000
"""For one chip of these: where nothing keeps it awake, opening it takes some seconds. One that
takes longer must not cost the others the rest of `START_TIMEOUT_MS`."""
HUNG_FIRST_MS = 10_000
"""First pause: on a host with no time for its sampler the chip has done nothing wrong."""
HUNG_MOST_MS = 3_600_000
"""Longest pause before a hung chip is tried again: in vain, it costs the others a restart."""


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Pick what the child may see from ``environ``: `PASSED_ON`, and who its parent is."""
    passed = {name: environ[name] for name in PASSED_ON if name in environ}
    return {**passed, layout.PARENT_PID: str(os.getpid())}


class SamplerClient:
    """One sampler child at a time.

    Attributes:
        last_trouble: why the last child was given up, for status and log; ``None`` if never.
        restarts: children given up since `start`.
        hung: the chips that are left alone, by NVML index, with the child that hung there; the one
            that was tried last comes last.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        command: Sequence[str] = SAMPLER_COMMAND,
        answer_timeout_ms: int = ANSWER_TIMEOUT_MS,
        start_timeout_ms: int = START_TIMEOUT_MS,
        chip_start_ms: int = CHIP_START_MS,
        hung_first_ms: int = HUNG_FIRST_MS,
    ) -> None:
        self._env = dict(env)
        self._command = tuple(command)
        self._answer_timeout_ms = answer_timeout_ms
        self._start_timeout_ms = start_timeout_ms
        self._chip_start_ms = chip_start_ms
        # Where it was when that was last looked up, and since when, while it opens the chips.
        self._opening: tuple[int, int] | None = None
        # One descriptor for the caller's selector, whichever child lives.
        self._epoll = select.epoll()
        self._child: subprocess.Popen[bytes] | None = None
        self._unreaped: list[subprocess.Popen[bytes]] = []
        self._buffer = b""
        self._deadline_ms: int | None = None
        self._restart_at_ms: int | None = None
        self._backoff_ms = BACKOFF_FIRST_MS
        self._answered = False
        self._driver_error: str | None = None
        self.last_trouble: str | None = None
        self.restarts = 0
        self.hung: dict[int, subprocess.Popen[bytes]] = {}
        self._hung_first_ms = self._hung_pause_ms = hung_first_ms
        self._hung_again_ms = 0
        # The child leaves word here which chip it asks; no frame, for that would wake the gate.
        self._at = os.memfd_create("sampler-at")

    def fileno(self) -> int:
        """Descriptor that is readable when the child has said something or ended."""
        return self._epoll.fileno()

    @property
    def stalled(self) -> bool:
        """No child that has answered yet: nothing is measured, and the time must be charged."""
        return self._child is None or not self._answered

    @property
    def waiting(self) -> bool:
        """An answer is due: `request` would be refused."""
        return self._deadline_ms is not None

    @property
    def pid(self) -> int | None:
        """Process id of the living child."""
        return None if self._child is None else self._child.pid

    def start(self, now_ms: int) -> None:
        """Start the first child. Its identities arrive through `on_readable`."""
        self._spawn(now_ms)

    def get_timer(self) -> int | None:
        """When `handle_timer` wants to be called, in the caller's ms; ``None``: not at all."""
        if self._child is None:
            return self._restart_at_ms
        if self._opening is None or self._deadline_ms is None:
            return self._deadline_ms
        return min(self._deadline_ms, self._opening[1] + self._chip_start_ms)

    def handle_timer(self, now_ms: int) -> None:
        """Kill a child past its deadline; start a new one when its time has come."""
        self._reap()
        if self._child is not None:
            late = self._deadline_ms is not None and now_ms >= self._deadline_ms
            if late or self._opens_in_vain(now_ms):
                self._give_up(now_ms, f"no answer in time{self._hung_at(now_ms)}")
        elif self._restart_at_ms is not None and now_ms >= self._restart_at_ms:
            self._spawn(now_ms)

    def request(self, now_ms: int, what: bytes = layout.REQUEST_SAMPLES) -> bool:
        """Ask for samples (or ``layout.REQUEST_IDENTITIES``).

        Returns ``False``, and asks nothing, while stalled or while another answer is due. When a
        hung chip's time has come it is tried instead of a look.
        """
        if self._child is None or self._deadline_ms is not None:
            return False
        if self._child.stdin is None:
            raise RuntimeError("sampler child was started without a pipe to it")
        timeout_ms = self._answer_timeout_ms
        if what == layout.REQUEST_IDENTITIES:
            timeout_ms = self._start_timeout_ms
            self._opening = (layout.NO_CHIP, now_ms)
        elif (index := self._free_again(now_ms)) is not None:
            what = layout.REQUEST_HUNG + bytes([index])
        try:
            # One request at most is in the pipe: this cannot block.
            os.write(self._child.stdin.fileno(), what)
        except BrokenPipeError:
            self._give_up(now_ms, "ended")
            return False
        self._deadline_ms = now_ms + timeout_ms
        return True

    def on_readable(self, now_ms: int) -> tuple[Message, ...]:
        """Take what the child said. Each answer is `Identities`, `Samples` or `DriverError`.

        After a restart identities come first, as after `start`.
        """
        if self._child is None or self._child.stdout is None:
            return ()
        try:
            chunk = os.read(self._child.stdout.fileno(), READ_BYTES)
        except BlockingIOError:
            return ()
        if not chunk:
            self._give_up(now_ms, "ended")
            return ()
        try:
            messages, self._buffer = split(self._buffer + chunk)
        except FrameError as error:
            self._give_up(now_ms, str(error))
            return ()
        for message in messages:
            if isinstance(message, Identities):
                left = {one.index for one in message.unreadable if one.error == layout.HUNG}
                self.hung = {index: child for index, child in self.hung.items() if index in left}
            if isinstance(message, Samples):
                self._backoff_ms = BACKOFF_FIRST_MS
                if not self.hung:
                    self._hung_pause_ms = self._hung_first_ms
            if isinstance(message, Identities | Samples):
                self._deadline_ms = self._opening = None
                self._answered = True
            else:
                # The child ends right after it; the reason must outlive the end.
                self._driver_error = message.name
        return messages

    def close(self) -> None:
        """Kill the child and close the descriptor. The client is of no use afterwards."""
        self._drop_child()
        self._restart_at_ms = None
        self._epoll.close()
        os.close(self._at)
        with contextlib.suppress(subprocess.TimeoutExpired):
            for child in self._unreaped:
                child.wait(timeout=REAP_S)

    def _at_chip(self) -> int:
        """The chip that the child asks, or `layout.NO_CHIP`."""
        (index,) = os.pread(self._at, 1, 0) or (layout.NO_CHIP,)
        return index if index < layout.MAX_CHIPS else layout.NO_CHIP

    def _opens_in_vain(self, now_ms: int) -> bool:
        """Whether a child that opens all chips is at the same one for too long."""
        if self._opening is None:
            return False
        index, (seen, since_ms) = self._at_chip(), self._opening
        if index == seen and now_ms < since_ms + self._chip_start_ms:
            return False
        self._opening = (index, now_ms)
        return index == seen and index != layout.NO_CHIP

    def _hung_at(self, now_ms: int) -> str:
        """Leave the chip alone at which the child hangs, if it is at one; in words."""
        index = self._at_chip()
        if index == layout.NO_CHIP or self._child is None:
            return ""
        self.hung.pop(index, None)
        self.hung[index] = self._child
        self._hung_again_ms = now_ms + self._hung_pause_ms
        self._hung_pause_ms = min(HUNG_MOST_MS, self._hung_pause_ms * 2)
        return f" at chip {index}"

    def _free_again(self, now_ms: int) -> int | None:
        """The chip to be tried now: whoever still hangs there would only be joined by another."""
        if not self._answered or now_ms < self._hung_again_ms:
            return None
        gone = (index for index, child in self.hung.items() if child.poll() is not None)
        return next(gone, None)

    def _spawn(self, now_ms: int) -> None:
        self._reap()
        if len(self._unreaped) - len(self.hung) >= MAX_UNREAPED:
            self.last_trouble = f"{len(self._unreaped)} killed samplers hang in the kernel"
            self._restart_at_ms = now_ms + BACKOFF_MOST_MS
            return
        try:
            os.pwrite(self._at, bytes([layout.NO_CHIP]), 0)
            hung = ",".join(map(str, sorted(self.hung)))
            child = subprocess.Popen(
                [*self._command, str(self._at), hung],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._env,
                bufsize=0,
                close_fds=True,
                pass_fds=(self._at,),
                # A Ctrl-C for the gate is the gate's business.
                start_new_session=True,
            )
        except OSError as error:
            self._plan_restart(now_ms, f"cannot start: {error}")
            return
        if child.stdout is None:
            raise RuntimeError("sampler child was started without a pipe from it")
        os.set_blocking(child.stdout.fileno(), False)
        self._epoll.register(child.stdout.fileno(), select.EPOLLIN | select.EPOLLHUP)
        self._child = child
        self._answered = False
        self._driver_error = None
        self._restart_at_ms = None
        self._deadline_ms = now_ms + self._start_timeout_ms
        self._opening = (layout.NO_CHIP, now_ms)

    def _give_up(self, now_ms: int, why: str) -> None:
        status = self._drop_child()
        if self._driver_error is not None:
            why = f"{why}: {self._driver_error}"
        elif status is not None:
            why = f"{why} (exit status {status})"
        self._plan_restart(now_ms, why)

    def _plan_restart(self, now_ms: int, why: str) -> None:
        self.restarts += 1
        self.last_trouble = why
        self._restart_at_ms = now_ms + self._backoff_ms
        self._backoff_ms = min(BACKOFF_MOST_MS, self._backoff_ms * 2)

    def _drop_child(self) -> int | None:
        """Kill the child without waiting for it; return its status if it had ended by itself."""
        child, self._child = self._child, None
        self._buffer = b""
        self._deadline_ms = self._opening = None
        if child is None:
            return None
        status = child.poll()
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                if pipe is child.stdout:
                    self._epoll.unregister(pipe.fileno())
                pipe.close()
        self._unreaped.append(child)
        self._reap()
        return status

    def _reap(self) -> None:
        self._unreaped = [child for child in self._unreaped if child.poll() is None]
