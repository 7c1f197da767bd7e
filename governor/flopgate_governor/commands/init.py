"""Make a new governor: keys, trust root, delegation, first policy, TLS authority, store."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from flopgate_governor.desk.output import add_json, tell
from flopgate_governor.files import Layout, write_secret
from flopgate_governor.new_folder import new_folder
from flopgate_governor.orders.accepting import accept_order, found
from flopgate_governor.pki import CertificateAuthority, new_authority
from flopgate_governor.policies.form import DEFAULT_POLICY, read_policy
from flopgate_governor.service.authorization import Role as Caller
from flopgate_governor.service.authorization import uri_of
from flopgate_governor.store.database import Store
from flopgate_governor.wiring import load_state
from flopgate_proto.codec import encode_order, envelope_to_json
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import ConfigError
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import KEYS_MAX, NONCE_BYTES
from flopgate_proto.trust import ROLE_OF, SINGLE_ROLES
from flopgate_proto.values.orders import Delegation, Key, Order, Role, TrustRoot

AUTHORITY: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
DELEGATION_SPAN_MS: Final = 7 * 24 * 3600 * 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``init``."""
    parser.add_argument("dir", type=Path, metavar="DIR", help="new directory of the governor")
    parser.add_argument(
        "--authority", required=True, metavar="NAME", help="name, as in agency.example"
    )
    parser.add_argument(
        "--officers", type=int, default=3, metavar="N", help="officers' keys to make (3)"
    )
    parser.add_argument(
        "--quorum",
        type=int,
        default=2,
        metavar="N",
        help="how many of them sign a resume or a policy (2); one pauses",
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="form of the first policy; else the default"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Make the directory."""
    authority: str = arguments.authority
    if AUTHORITY.fullmatch(authority) is None:
        raise ConfigError(
            f"{authority!r} cannot name an authority",
            code="init.authority",
            remedy="Use lower-case letters, digits, dots and hyphens, at most 63.",
        )
    if not 1 <= arguments.quorum <= arguments.officers <= KEYS_MAX:
        raise ConfigError(
            f"quorum {arguments.quorum} of {arguments.officers} officers",
            code="init.quorum",
            remedy=f"Take 1 <= quorum <= officers <= {KEYS_MAX}.",
        )
    layout = Layout(arguments.dir)
    text = DEFAULT_POLICY.format(authority=authority)
    if arguments.policy is not None:
        read_policy(arguments.policy, authority, 1)
        text = arguments.policy.read_text()
    with new_folder(layout.root, layout.names) as draft:
        root = _make(Layout(draft), authority, text, arguments)
    keys = sorted(str(path) for path in layout.officers.iterdir())
    document = {"authority": authority, "directory": str(layout.root), "officers": keys}
    lines = [
        f"{layout.root}: trust root {root.digest.hex()}",
        f"officers' keys, for rehearsals: {layout.officers}",
        f"next: flopgate-governor serve --dir {layout.root}",
    ]
    tell(arguments, lines, document | {"trust_root_digest": root.digest.hex()})


def _make(layout: Layout, authority: str, text: str, arguments: argparse.Namespace) -> Envelope:
    """Everything that is in the directory; the trust root."""
    write_secret(layout.config, f'authority = "{authority}"\n'.encode())
    write_secret(layout.policy, text.encode())
    officers = _make_officers(layout, arguments.officers)
    _make_tls(layout, authority)
    permit = SigningKey.generate()
    write_secret(layout.permit_key, permit.pem())
    write_secret(layout.log_key, _ed25519_pem())
    root = _sign(_trust_root(authority, officers, arguments.quorum), officers)
    orders = [
        replace(order, authority_id=root.digest)
        for order in _first_orders(layout, authority, permit)
    ]
    write_secret(layout.trust_root, envelope_to_json(root).encode())
    _fill_store(layout, root, orders, officers)
    return root


def _make_officers(layout: Layout, count: int) -> list[SigningKey]:
    officers = [SigningKey.generate() for _ in range(count)]
    for number, key in enumerate(officers, start=1):
        write_secret(layout.officers / f"officer-{number}.pem", key.pem())
    return officers


def _make_tls(layout: Layout, authority: str) -> None:
    now = dt.datetime.now(dt.UTC)
    credential = new_authority(authority, now)
    write_secret(layout.ca_key, credential.key_pem)
    write_secret(layout.ca_certificate, credential.certificate_pem)
    tls = CertificateAuthority(credential)
    officer = tls.client_credential(uri_of(authority, Caller.OFFICER, "init"), now)
    write_secret(layout.officer_key, officer.key_pem)
    write_secret(layout.officer_certificate, officer.certificate_pem)


def _trust_root(authority: str, officers: list[SigningKey], quorum: int) -> TrustRoot:
    everyone = tuple(range(len(officers)))
    return TrustRoot(
        authority=authority,
        version=1,
        keys=tuple(
            Key(name=f"officer-{number}", spki=key.spki)
            for number, key in enumerate(officers, start=1)
        ),
        roles=tuple(
            Role(name=name, threshold=1 if name in SINGLE_ROLES else quorum, keys=everyone)
            for name in sorted(set(ROLE_OF.values()))
        ),
        nonce=secrets.token_bytes(NONCE_BYTES),
    )


def _first_orders(layout: Layout, authority: str, permit: SigningKey) -> list[Order]:
    return [
        read_policy(layout.policy, authority, 1),
        Delegation(
            authority=authority,
            serial=1,
            permit_spki=permit.spki,
            span_ms=DELEGATION_SPAN_MS,
            least_policy_version=1,
        ),
    ]


def _fill_store(
    layout: Layout, root: Envelope, orders: list[Order], officers: list[SigningKey]
) -> None:
    store = Store(layout.store)
    found(store, root)
    store.close()
    state = load_state(layout)
    for order in orders:
        accept_order(state, _sign(order, officers))
    state.store.close()


def _sign(order: Order, officers: list[SigningKey]) -> Envelope:
    kind, payload = encode_order(order)
    return seal(kind, payload, officers)


def _ed25519_pem() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
