"""Which key is the host's, where no TPM needs to be asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flopgate_agent.config import TpmConfig
from flopgate_agent.gate_process.identity import KEY_FILE, TPM_FILE, open_identity
from flopgate_proto.errors import ConfigError


@pytest.mark.parametrize("required", [False, True])
def test_a_key_in_a_file_does_not_take_the_place_of_one_in_the_tpm(
    tmp_path: Path, *, required: bool
) -> None:
    open_identity(tmp_path, None, os.environ).close()
    assert (tmp_path / KEY_FILE).exists()
    (tmp_path / TPM_FILE).write_bytes(b"{}\n")
    with pytest.raises(ConfigError) as error:
        open_identity(tmp_path, TpmConfig(tcti="none", required=required), os.environ)
    assert error.value.code == "key.two"
