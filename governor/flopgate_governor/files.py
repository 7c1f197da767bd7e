"""The governor's directory, and files that hold secrets.

DIR/governor.toml            name of the authority
DIR/governor.sqlite          the store
DIR/trust-root.json          the first trust root
DIR/policy.toml              the policy in force when it was made; a form for the next
DIR/officers/NAME.pem        officers' keys, for rehearsals only
DIR/keys/permit.pem log.pem  online keys: answers, checkpoints
DIR/tls/                     certificate authority, the officers' client certificate
DIR/run/addresses.json lock  where the running server listens; held while it runs
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import SigningKey

SECRET_MODE: Final = 0o600
KEY_FILE_BYTES_MAX: Final = 65_536
INIT_FIRST: Final = "Name an existing file, or run `flopgate-governor init` first."


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the governor's directory."""

    root: Path

    @property
    def names(self) -> Sequence[str]:
        """What a new one holds; the name of the authority, without which it is none, comes last."""
        folders = {path.parent for path in (self.permit_key, self.ca_key)}
        paths = [*folders, self.officers, self.trust_root, self.policy, self.store, self.config]
        return [path.name for path in paths]

    @property
    def config(self) -> Path:
        """Name of the authority."""
        return self.root / "governor.toml"

    @property
    def store(self) -> Path:
        """The SQLite store."""
        return self.root / "governor.sqlite"

    @property
    def trust_root(self) -> Path:
        """The first trust root, as it was signed."""
        return self.root / "trust-root.json"

    @property
    def policy(self) -> Path:
        """Form of the policy."""
        return self.root / "policy.toml"

    @property
    def officers(self) -> Path:
        """Folder of officers' keys."""
        return self.root / "officers"

    @property
    def permit_key(self) -> Path:
        """Online key that signs answers."""
        return self.root / "keys" / "permit.pem"

    @property
    def log_key(self) -> Path:
        """Online key that signs checkpoints."""
        return self.root / "keys" / "log.pem"

    @property
    def ca_key(self) -> Path:
        """Key of the TLS certificate authority."""
        return self.root / "tls" / "ca-key.pem"

    @property
    def ca_certificate(self) -> Path:
        """Certificate of the TLS certificate authority."""
        return self.root / "tls" / "ca.pem"

    @property
    def officer_key(self) -> Path:
        """Key of the officers' client certificate."""
        return self.root / "tls" / "officer-key.pem"

    @property
    def officer_certificate(self) -> Path:
        """The officers' client certificate."""
        return self.root / "tls" / "officer.pem"

    @property
    def addresses(self) -> Path:
        """Where the running server listens."""
        return self.root / "run" / "addresses.json"


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read: whole and durable, or not at all.

    Raises:
        ConfigError: the file is there already, or cannot be written.
    """
    try:
        make_folder(path.parent)
        with _drafted(path, data) as draft:
            _put_new(draft, path)
        try:
            sync_folder(path.parent)
        except OSError:
            # Who is told that it failed writes it again.
            path.unlink()
            raise
    except FileExistsError as error:
        raise ConfigError(
            f"{path} is there already",
            code="file.exists",
            remedy="Name a new file: what may hold a secret is never written over.",
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error


def replace_secret(path: Path, data: bytes) -> None:
    """Write a file over an older one: whoever reads it, after a crash too, finds one of both.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        with _drafted(path, data) as draft:
            draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """A folder of its owner alone, and those above it, where they are not there; durable.

    Raises:
        OSError: it cannot be made, or is no folder.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in missing:
        sync_folder(one.parent)


def sync_folder(path: Path) -> None:
    """What names are in a folder is durable when this returns; ``OSError`` where it cannot be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        # One may write into a folder that one cannot list: then all that there is is written out.
        os.sync()
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _drafted(path: Path, data: bytes) -> Iterator[Path]:
    """A durable file beside it, for the block to put in its place; gone afterwards."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _put_new(draft: Path, path: Path) -> None:
    """Give it its name; ``FileExistsError`` where something has that."""
    try:
        os.link(draft, path)
    except OSError as error:
        # A stick's file system knows no links.
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        if os.path.lexists(path):
            raise FileExistsError from error
        draft.rename(path)


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Something cannot be written there."""
    return ConfigError(
        f"cannot write {path}: {error.strerror}",
        code="file.unwritable",
        remedy="Name a place that is yours to write to, with room, on a disk that is whole.",
    )


def read_bytes(
    path: Path, bytes_max: int, kind: str, *, remedy: str = INIT_FIRST, secret: bool = False
) -> bytes:
    """A file of bounded size.

    Args:
        path: of the file.
        bytes_max: most that it may hold.
        kind: what it is; the codes of errors begin so.
        remedy: which file is meant.
        secret: nobody but its owner may read it.

    Raises:
        ConfigError: it is missing, too long, or open to others.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if secret and mode & 0o077:
                raise ConfigError(
                    f"{path} can be read by others (mode {mode & 0o777:o})",
                    code=f"{kind}.mode",
                    remedy=f"chmod 600 {path}",
                )
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", code=f"{kind}.unreadable", remedy=remedy
        ) from error
    if len(data) > bytes_max:
        raise ConfigError(
            f"{path} is longer than {bytes_max} bytes", code=f"{kind}.oversized", remedy=remedy
        )
    return data


def read_secret(path: Path) -> bytes:
    """A file that nobody but its owner may read.

    Raises:
        ConfigError: see ``read_bytes``.
    """
    return read_bytes(path, KEY_FILE_BYTES_MAX, "key-file", secret=True)


def read_signing_key(path: Path) -> SigningKey:
    """A private key from a PEM file that only its owner may read.

    Raises:
        ConfigError: see ``read_bytes`` and ``SigningKey``.
    """
    return SigningKey(read_secret(path))
