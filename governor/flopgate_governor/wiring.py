"""From a governor's directory to what is in it, for every command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flopgate_governor.clocks import this_machine
from flopgate_governor.core.allowance import Allowance
from flopgate_governor.files import Layout, read_bytes, read_secret, read_signing_key
from flopgate_governor.pki import CertificateAuthority, Credential
from flopgate_governor.state import State, open_state
from flopgate_governor.store.database import open_existing
from flopgate_governor.toml_files import check_keys, read_toml
from flopgate_proto.codec import envelope_from_json
from flopgate_proto.errors import ConfigError, PeerError
from flopgate_proto.limits import MESSAGE_BYTES_MAX
from flopgate_proto.trust import Trust
from flopgate_proto.values.orders import Policy


def load_authority(layout: Layout) -> str:
    """Name of the authority whose directory this is.

    Raises:
        ConfigError: not a governor's directory.
    """
    name = load_config(layout).get("authority")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{layout.config}: authority is missing",
            code="config.authority",
            remedy='Write authority = "NAME".',
        )
    return name


def load_authority_id(layout: Layout) -> bytes:
    """Id of that authority, by the file of its first trust root: no store is opened for it.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    path = layout.trust_root
    again = (
        "Put it back from a backup, or take the first of the orders that `flopgate-governor heads "
        f"export --dir {layout.root}` writes."
    )
    text = read_bytes(path, MESSAGE_BYTES_MAX, "trust-root", remedy=again)
    try:
        return Trust.stored(envelope_from_json(text.decode(errors="replace"))).authority_id
    except PeerError as error:
        raise ConfigError(
            f"{path} is not the first trust root: {error.detail}",
            code="trust-root.file",
            remedy=again,
        ) from error


def load_config(layout: Layout) -> dict[str, Any]:
    """What stands in governor.toml.

    Raises:
        ConfigError: it cannot be read, or has a key that nobody knows.
    """
    document = read_toml(layout.config)
    check_keys(document, ("authority", "limits"), str(layout.config))
    return document


def load_tls(layout: Layout) -> CertificateAuthority:
    """The TLS certificate authority.

    Raises:
        ConfigError: its files cannot be used.
    """
    return CertificateAuthority(
        Credential(
            key_pem=read_secret(layout.ca_key), certificate_pem=read_secret(layout.ca_certificate)
        )
    )


def load_state(
    layout: Layout, *, serves: bool = False, allowance: Allowance | None = None
) -> State:
    """Open store and keys; belongs to the thread that calls it. Only the server writes.

    Raises:
        ConfigError: keys or store are missing.
        StorageError: the store cannot be read.
    """
    permit, log = read_signing_key(layout.permit_key), read_signing_key(layout.log_key)
    store = open_existing(layout.store)
    return open_state(store, permit, log, this_machine(), serves=serves, allowance=allowance)


@contextmanager
def opened(layout: Layout) -> Iterator[State]:
    """What stands now, to be read: the store is open for as long as the block lasts.

    Orders that are due are in force here, too, where no running governor wrote it down yet.

    Raises:
        ConfigError, StorageError: as `load_state`.
    """
    state = load_state(layout)
    try:
        due_ms = state.book.orders.due_ms
        if due_ms is not None and due_ms <= state.now_ms():
            state.take_book(state.book.ripe(state.now_ms()))
        yield state
    finally:
        state.store.close()


def load_policy(layout: Layout) -> Policy | None:
    """The policy in force, ``None`` before the first.

    Raises:
        ConfigError: keys or store are missing.
        StorageError: the store cannot be read.
    """
    with opened(layout) as state:
        return state.book.orders.policy
