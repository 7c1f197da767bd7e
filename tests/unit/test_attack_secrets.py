"""Files that hold secrets, on a machine with other users."""

import stat
from pathlib import Path

from flopgate_governor.store.database import Store
from tests.support.governor import LocalGovernor


def test_the_store_is_its_owners_alone(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite")
    token = governor.token()
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert found == {"g.sqlite": 0o600, "g.sqlite-wal": 0o600, "g.sqlite-shm": 0o600}
    governor.state.store.close()
    assert token.secret in governor.path.read_bytes()


def test_a_store_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    Store(path).close()
    path.chmod(0o644)
    Store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
