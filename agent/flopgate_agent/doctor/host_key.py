"""The host key: in a file, or in a TPM that answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flopgate_agent.config import GateConfig
from flopgate_agent.counters.client import child_environment
from flopgate_agent.doctor.verdict import Verdicts, good, mend, note
from flopgate_agent.gate_process.identity import KEY_FILE, TPM_FILE
from flopgate_agent.private import check_private
from flopgate_agent.tpm import kept
from flopgate_agent.tpm.client import TpmClient

DEVICE: Final = Path("/dev/tpmrm0")


def host_key(config: GateConfig, environ: Mapping[str, str]) -> Verdicts:
    """Whether the key can be used, and what stands behind it. Makes none."""
    in_file, in_tpm = config.state_dir / KEY_FILE, config.state_dir / TPM_FILE
    if config.tpm is None and in_tpm.exists():
        yield mend("tpm", f"the host key is in a TPM ({in_tpm})", "Put [tpm] back into gate.toml.")
    elif config.tpm is None or in_file.exists():
        yield from _in_file(in_file)
        there = "a TPM is there and not used" if DEVICE.exists() else "no TPM"
        yield note("tpm", f"{there}: reports carry the assurance level `software`")
    else:
        yield from _in_tpm(config.tpm.tcti, in_tpm, environ)


def _in_file(key: Path) -> Verdicts:
    if key.exists():
        mode = key.stat().st_mode
        check_private(key, mode, code="key.permissions", afterwards="and think who read it before")
        yield good("host key", f"{key}, readable by its owner alone")
    else:
        yield note("host key", "none yet: the gate makes it at its first start")


def _in_tpm(tcti: str, file: Path, environ: Mapping[str, str]) -> Verdicts:
    client = TpmClient(tcti, env=child_environment(environ))
    try:
        client.probe()
        yield good("tpm", f"answers at {tcti}: reports carry the assurance level `tpm`")
        if file.exists():
            client.load(kept.read(file).keys)
            client.sign(bytes(32))
            yield good("host key", "in this TPM, and signs")
        else:
            yield note("host key", "none yet: the gate makes it in the TPM at its first start")
    finally:
        client.close()
