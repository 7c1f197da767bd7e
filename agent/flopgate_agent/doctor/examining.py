"""All checks of a host, in the order in which what they find would be mended."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from flopgate_agent.config import (
    AuthorityConfig,
    CourierConfig,
    GateConfig,
    load_authorities,
    load_courier,
    load_gate,
)
from flopgate_agent.doctor import driver, host_key, on_host, reach
from flopgate_agent.doctor.verdict import State, Verdict, Verdicts, good, note, told
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_proto.errors import EnvironmentFault

_MARKS: Final = {State.GOOD: "ok  ", State.NOTE: "note", State.MEND: "MEND"}


def examine(gate_config: Path, courier_config: Path) -> Iterator[Verdict]:
    """A host that joined."""
    yield from _apart()
    yield from told("gate.toml", lambda: _of_gate(load_gate(gate_config)))
    yield from told("courier.toml", lambda: _of_courier(load_courier(courier_config)))


def examine_before(gate: GateConfig, authority: AuthorityConfig) -> Iterator[Verdict]:
    """A host that is about to join an authority: whether it will work once it has."""
    yield from _apart()
    yield from _without_trust(gate)
    yield from told("network", lambda: reach.answers(authority))


def tell(verdicts: Iterable[Verdict], *, as_json: bool = False) -> bool:
    """Print each as it comes; whether something must be mended."""
    amiss = False
    for one in verdicts:
        amiss = amiss or one.state is State.MEND
        if as_json:
            fields = {"subject": one.subject, "state": one.state.value, "found": one.found}
            text = json.dumps(fields | {"mend": one.mend})
        else:
            text = f"{_MARKS[one.state]}  {one.subject}: {one.found}"
            text += f"\n      {one.mend}" if one.mend else ""
        # One by one: a driver that hangs takes half a minute.
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    return amiss


def _apart() -> Verdicts:
    """What no configuration has a say in."""
    yield from told("clock", on_host.clock)


def _without_trust(config: GateConfig) -> Verdicts:
    yield from told("rights", lambda: on_host.rights(config))
    yield from told("state_dir", lambda: on_host.disk(config))
    yield from told("tpm", lambda: host_key.host_key(config, os.environ))
    yield from told("driver", lambda: driver.driver(config, os.environ))


def _of_gate(config: GateConfig) -> Verdicts:
    yield from _without_trust(config)
    yield from told("trust", lambda: reach.trust(config))
    try:
        status = read_status(str(status_path(config.door_path)))
    except EnvironmentFault as error:
        yield note("gate", error.detail, error.remedy)
    else:
        yield good("gate", f"it runs, {status['host_state']}; see `flopgate-agent explain`")


def _of_courier(config: CourierConfig) -> Verdicts:
    yield from told("network", lambda: _all(config))


def _all(config: CourierConfig) -> Verdicts:
    for one in load_authorities(config.state_dir):
        yield from reach.answers(one)
        yield from reach.certificate(config, one.name)
