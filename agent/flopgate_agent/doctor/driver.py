"""NVIDIA's driver and its chips, asked through the gate's own sampler: a call may hang."""

from __future__ import annotations

import select
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.config import GateConfig
from flopgate_agent.counters.client import START_TIMEOUT_MS, SamplerClient, child_environment
from flopgate_agent.counters.frames import DriverError, Identities
from flopgate_agent.doctor.verdict import Verdicts, good, mend, note
from flopgate_agent.meter import spec_of
from flopgate_proto.amounts import counted

WAIT_MS: Final = START_TIMEOUT_MS + 5_000
_DRIVER: Final = "Check NVIDIA's driver with `nvidia-smi`, and see `dmesg`."


def driver(config: GateConfig, environ: Mapping[str, str]) -> Verdicts:
    """Whether chips can be metered, and are known."""
    answer = _ask(environ)
    if isinstance(answer, DriverError):
        yield mend("driver", f"NVML says {answer.name}", _DRIVER)
        return
    if answer is None:
        yield mend("driver", f"nothing was heard for {WAIT_MS // 1000} s", _DRIVER)
        return
    for one in answer.unreadable:
        yield mend("driver", f"chip {one.index} cannot be opened: {one.error}", _DRIVER)
    names = sorted({chip.nvml_name for chip in answer.chips})
    count = len(answer.chips)
    said = f"{counted(count, 'chip')} ({', '.join(names)}), version {answer.driver_version}"
    if count:
        yield good("driver", said)
    else:
        yield mend("driver", said, _DRIVER)
    for name in sorted({chip.nvml_name for chip in answer.chips if not spec_of(chip).known}):
        yield note(
            "chip table",
            f"{name} is not in it, and is charged as the fastest chip that is",
            "Install a newer version of flopgate, or ask for this chip.",
        )
    missing = [chip.uuid for chip in answer.chips if not chip.gpm]
    if missing:
        yield note(
            "counters",
            f"{counted(len(missing), 'chip')} without GPM: work is bounded by the time that "
            "kernels are resident, at the highest rate",
        )
    nodes = [path for pattern in config.device_globs for path in Path("/").glob(pattern[1:])]
    if nodes:
        yield good("device nodes", f"{len(nodes)} match device_globs")
    else:
        globs = ", ".join(config.device_globs)
        yield note(
            "device nodes",
            f"none match {globs}: only processes that the driver lists are found",
            "Mend device_globs in gate.toml.",
        )


def _ask(environ: Mapping[str, str]) -> Identities | DriverError | None:
    """The first thing that the driver says; ``None`` where it says nothing."""
    client = SamplerClient(env=child_environment(environ))
    end_ms = elapsed_ms() + WAIT_MS
    try:
        client.start(elapsed_ms())
        while (now_ms := elapsed_ms()) < end_ms:
            due_ms = client.get_timer()
            wait_ms = end_ms - now_ms if due_ms is None else min(end_ms, due_ms) - now_ms
            ready, _, _ = select.select([client], [], [], max(0, wait_ms) / 1000)
            for message in client.on_readable(elapsed_ms()) if ready else ():
                if isinstance(message, Identities | DriverError):
                    return message
            client.handle_timer(elapsed_ms())
        return None
    finally:
        client.close()
