"""The TPM as the gate has it: a child asked through two pipes, each answer with a deadline.

A TPM or its bus may hang: the gate waits `ANSWER_MS` at most, kills the child, and asks no more.
What fails at once is tried a second time with a new child, whose connection and loaded keys are
new. Such a request says so (``again``): the first one may have been carried out.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Final

from flopgate_agent.tpm.rollback import Seen
from flopgate_agent.tpm.wire import (
    COUNTER_FOREIGN,
    COUNTER_MOVED,
    COUNTER_SPACE,
    ENDED,
    HUNG,
    LINE_BYTES_MAX,
    NO_LIBRARY,
    OTHER,
    UNREACHABLE,
    Message,
    decode,
    encode,
)
from flopgate_proto.errors import TpmError
from flopgate_proto.tpm_quote import TpmQuote
from flopgate_proto.values import TpmState

COMMAND: Final = (sys.executable, "-P", "-m", "flopgate_agent.tpm_child")
ANSWER_MS: Final = 4_000
"""For one command: slow TPMs sign in some hundred ms. The gate does nothing else meanwhile, and a
stop has `STOP_SLACK_MS` of 8 s; hosts without time for the child must not be stopped for it."""
START_MS: Final = 30_000
"""For a child to start, and for the commands before the first signature: slow TPMs take seconds to
make keys, and test themselves after power-on."""
_TESTED: Final = "See whether `tpm2_getcap properties-fixed` answers, then restart the gate."
_REMEDIES: Final = {
    UNREACHABLE: "Check tpm.tcti in gate.toml, and that the TPM is enabled in the firmware.",
    OTHER: "Put back the TPM (or board) with which this host enrolled, undo its clearing, or have "
    "the authority close the old chain and enrol anew with an empty state_dir.",
    COUNTER_SPACE: "Free an NV index or persistent handle of the TPM (`tpm2_nvreadpublic`, "
    "`tpm2_nvundefine`), or take another TPM.",
    COUNTER_FOREIGN: "Free that NV index (`tpm2_nvundefine`) if nothing else needs it.",
    COUNTER_MOVED: "Find what else steps or removes this counter: a second gate, or somebody with "
    "root. Restart the gate: it then says how far ledger and counter are apart.",
    NO_LIBRARY: "Install flopgate with its extra `tpm`, and the packages that docs/tpm.md names.",
}


class TpmClient:
    """One child at a time; the keys that it is to have.

    Args:
        tcti: place of the TPM, as the TSS names it.
        env: of the child.
        command: that starts it.
        answer_ms: longest wait for one answer.
    """

    def __init__(
        self,
        tcti: str,
        *,
        env: Mapping[str, str],
        command: Sequence[str] = COMMAND,
        answer_ms: int = ANSWER_MS,
        start_ms: int = START_MS,
    ) -> None:
        self._command = (*command, tcti)
        self._env = dict(env)
        self._answer_ms = answer_ms
        self._start_ms = start_ms
        self._child: subprocess.Popen[bytes] | None = None
        self._keys: Message | None = None
        self._lost: TpmError | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the living child."""
        return None if self._child is None else self._child.pid

    def probe(self) -> None:
        """See whether it answers.

        Raises:
            TpmError: as `make`.
        """
        self.ask({"op": "probe"}, self._start_ms)

    def make(self) -> Message:
        """New keys, wrapped by this TPM.

        Raises:
            TpmError: it did not answer, or refused; nothing is asked of it any more.
        """
        keys = self.ask({"op": "make"}, self._start_ms)["keys"]
        return dict(keys)

    def load(self, keys: Message) -> bytes:
        """Use these keys from now on; the host key's SubjectPublicKeyInfo.

        Raises:
            TpmError: as `make`; they may be another TPM's.
        """
        spki = self.ask({"op": "load", "keys": keys}, self._start_ms)["spki"]
        self._keys = keys
        return bytes.fromhex(spki)

    def sign(self, digest: bytes) -> bytes:
        """DER signature of the host key over a SHA-256 digest.

        Raises:
            TpmError: as `make`.
        """
        return bytes.fromhex(self.ask({"op": "sign", "digest": digest.hex()})["signature"])

    def quote(self, nonce: bytes, pcrs: Sequence[int]) -> TpmQuote:
        """What the TPM signs of these PCRs (SHA-256 bank) and of the host key, over a nonce.

        Raises:
            TpmError: as `make`.
        """
        selection = f"sha256:{','.join(map(str, pcrs))}"
        request = {"op": "quote", "nonce": nonce.hex(), "pcrs": selection}
        answer = self.ask(request, self._start_ms)
        return TpmQuote(**{one.name: bytes.fromhex(answer[one.name]) for one in fields(TpmQuote)})

    def define(self) -> Seen:
        """Make the counter, where there is none; what the TPM says then.

        Raises:
            TpmError: as `make`.
        """
        return _seen(self.ask({"op": "define"}, self._start_ms))

    def seen(self) -> Seen:
        """What the TPM says of itself.

        Raises:
            TpmError: as `make`.
        """
        return _seen(self.ask({"op": "seen"}))

    def state(self, counter: int) -> TpmState:
        """What a report says of the TPM that has this value of the counter.

        Raises:
            TpmError: as `make`.
        """
        clock = self.ask({"op": "clock"})
        return TpmState(
            counter=counter,
            clock_ms=int(clock["clock_ms"]),
            reset_count=int(clock["reset_count"]),
            restart_count=int(clock["restart_count"]),
            safe=bool(clock["safe"]),
        )

    def reach(self, counter: int) -> None:
        """Have the counter stand there by one step.

        Raises:
            TpmError: as `make`; the counter may stand elsewhere.
        """
        self.ask({"op": "reach", "counter": counter})

    def spent(self) -> int:
        """Where the counter of reservations stands; made where there is none.

        Raises:
            TpmError: as `make`.
        """
        return int(self.ask({"op": "spent"})["spent"])

    def spend(self, counter: int) -> None:
        """Have the counter of reservations stand there by one step.

        Raises:
            TpmError: as `make`; the counter may stand elsewhere.
        """
        self.ask({"op": "spend", "counter": counter})

    def ask(self, request: Message, timeout_ms: int | None = None) -> Message:
        """One answer.

        Raises:
            TpmError: as `make`.
        """
        if self._lost is not None:
            raise self._lost
        timeout_ms = timeout_ms or self._answer_ms
        try:
            return self._talk(request, timeout_ms)
        except TpmError as error:
            self._drop()
            # Before keys are loaded a refusal is about the TPM or the files, not the connection.
            if error.code in (HUNG, COUNTER_MOVED) or self._keys is None:
                raise self._give_up(error) from None
        try:
            self._talk({"op": "load", "keys": self._keys}, self._start_ms)
            return self._talk({**request, "again": True}, timeout_ms)
        except TpmError as error:
            raise self._give_up(error) from None

    def close(self) -> None:
        """End the child."""
        self._drop()

    def _give_up(self, error: TpmError) -> TpmError:
        self._drop()
        self._lost = error
        return error

    def _talk(self, request: Message, timeout_ms: int) -> Message:
        if self._child is None:
            timeout_ms = max(timeout_ms, self._start_ms)
            self._spawn()
        answer = self._answer(request, timeout_ms)
        if "error" in answer:
            raise failure(str(answer["error"]), str(answer.get("detail", "")))
        return answer

    def _spawn(self) -> None:
        try:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._env,
                bufsize=0,
                close_fds=True,
                # A Ctrl-C for the gate is the gate's business.
                start_new_session=True,
            )
        except OSError as error:
            raise failure(ENDED, f"the TPM's child cannot start: {error}") from error

    def _answer(self, request: Message, timeout_ms: int) -> Message:
        child, line = self._child, b""
        if child is None or child.stdin is None or child.stdout is None:
            raise failure(ENDED, "the TPM's child has no pipes")
        end_s = time.monotonic() + timeout_ms / 1000
        try:
            # Far less than a pipe holds, and the child reads before it writes: cannot block.
            os.write(child.stdin.fileno(), encode(request))
            while not line.endswith(b"\n"):
                left_s = end_s - time.monotonic()
                ready, _, _ = select.select([child.stdout], [], [], max(0, left_s))
                if not ready:
                    raise failure(HUNG, f"no answer to {request['op']!r} in {timeout_ms} ms")
                chunk = os.read(child.stdout.fileno(), LINE_BYTES_MAX)
                line += chunk
                if not chunk or len(line) > LINE_BYTES_MAX:
                    raise failure(ENDED, f"the TPM's child ended at {request['op']!r}")
            return decode(line)
        except (OSError, ValueError) as error:
            raise failure(ENDED, f"the TPM's child: {error}") from error

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        # Where it hangs in the kernel nobody can reap it.
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=1)


def failure(code: str, detail: str) -> TpmError:
    """The error of a code of `wire`, with its mend."""
    return TpmError(detail, code=code, remedy=_REMEDIES.get(code, _TESTED))


def _seen(answer: Message) -> Seen:
    counter, spent = answer["counter"], answer["spent"]
    return Seen(
        counter=None if counter is None else int(counter),
        spent=None if spent is None else int(spent),
        clock_ms=int(answer["clock_ms"]),
        reset_count=int(answer["reset_count"]),
        restart_count=int(answer["restart_count"]),
        safe=bool(answer["safe"]),
        orderly=bool(answer["orderly"]),
        slack=int(answer["slack"]),
    )
