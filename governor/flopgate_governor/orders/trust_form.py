"""The form of a trust root: TOML that names officers, their keys, and who signs what."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flopgate_governor.toml_files import check_keys, read_toml
from flopgate_proto.amounts import counted
from flopgate_proto.codec import decode_order, encode_order
from flopgate_proto.errors import ConfigError, PeerError
from flopgate_proto.keys import VerifyingKey, key_digest
from flopgate_proto.trust import ROLE_OF, Trust
from flopgate_proto.values.orders import Key, Role, TrustRoot

ROLES = sorted(set(ROLE_OF.values()))


def root_text(root: TrustRoot) -> str:
    """A root in the words of its form; ``read_root`` reads it back, its version apart."""
    lines = [
        f"# Version {root.version} is in force; a proposal takes the next number itself.",
        "# Keys of one officer's name count once. A key is the base64 of its SubjectPublicKeyInfo.",
    ]
    for key in root.keys:
        lines += ["", f"# Key id {key_digest(key.spki).hex()}", "[[officers]]"]
        lines += [f"name = {json.dumps(key.name)}"]
        lines += [f"key = {json.dumps(base64.b64encode(key.spki).decode())}"]
    for role in root.roles:
        keys = [root.keys[index] for index in role.keys]
        names = list(dict.fromkeys(key.name for key in keys))
        lines += ["", f"[roles.{role.name}]", f"threshold = {role.threshold}"]
        lines += [f"officers = {json.dumps(names)}"]
    return "\n".join(lines)


def root_document(root: TrustRoot) -> dict[str, Any]:
    """A root for programs; keys are told by their ids."""
    return {
        "version": root.version,
        "officers": [{"name": key.name, "key_id": key_digest(key.spki).hex()} for key in root.keys],
        "roles": {
            role.name: {
                "threshold": role.threshold,
                "officers": sorted({root.keys[index].name for index in role.keys}),
            }
            for role in root.roles
        },
    }


def read_root(path: Path, before: Trust) -> TrustRoot:
    """A root from its form.

    Raises:
        ConfigError: a key is unknown or missing, or a role could never be filled.
    """
    document = read_toml(path)
    check_keys(document, ("officers", "roles"), str(path))
    keys = tuple(_key(entry, path) for entry in _tables(document, path))
    roles = document.get("roles", {})
    if not isinstance(roles, dict):
        raise _wrong(path, "roles is no table")
    check_keys(roles, ROLES, f"{path} [roles]")
    root = TrustRoot(
        authority=before.authority,
        version=before.root.version + 1,
        keys=keys,
        roles=tuple(_role(name, roles[name], keys, path) for name in sorted(roles)),
        authority_id=before.authority_id,
    )
    _check(root, path)
    return root


def _check(root: TrustRoot, path: Path) -> None:
    """What the protocol refuses, and what nobody could live by."""
    for role in root.roles:
        officers = {root.keys[index].name for index in role.keys}
        if len(officers) < role.threshold:
            holders = f"{counted(len(officers), 'officer')} hold{'s' * (len(officers) == 1)} it"
            raise ConfigError(
                f"{path}:{_threshold_line(path, role.name)}: role {role.name} takes "
                f"{role.threshold}, {holders}",
                code="trust-form.quorum",
                remedy="Name more officers, of different names, or a smaller threshold.",
            )
    try:
        decode_order(*encode_order(root))
        for key in root.keys:
            VerifyingKey(key.spki)
    except (PeerError, ValueError) as error:
        raise _wrong(path, str(error)) from error
    if "root" not in {role.name for role in root.roles}:
        raise _wrong(path, "nobody could sign the next root: there is no [roles.root]")


def _threshold_line(path: Path, role: str) -> int:
    """The line of a role's threshold, or of its table; the parser tells none."""
    table = 0
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip()
        if text.startswith("["):
            if table:
                break
            table = number if re.match(rf"\[\s*roles\s*\.\s*[\"']?{role}\b", text) else 0
        elif table and re.match(r"[\"']?threshold\b", text):
            return number
    return table or 1


def _tables(document: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    tables = document.get("officers", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise _wrong(path, "officers is no list of tables")
    return tables


def _key(entry: Mapping[str, Any], path: Path) -> Key:
    check_keys(entry, ("name", "key"), f"{path} [[officers]]")
    name, key = entry.get("name"), entry.get("key")
    if not isinstance(name, str) or not isinstance(key, str):
        raise _wrong(path, "an officer needs a name and a key")
    try:
        return Key(name=name, spki=base64.b64decode(key, validate=True))
    except binascii.Error as error:
        raise _wrong(path, f"the key of {name!r} is no base64") from error


def _role(name: str, entry: object, keys: tuple[Key, ...], path: Path) -> Role:
    if not isinstance(entry, dict):
        raise _wrong(path, f"roles.{name} is no table")
    check_keys(entry, ("threshold", "officers"), f"{path} [roles.{name}]")
    threshold, officers = entry.get("threshold"), entry.get("officers")
    if not isinstance(threshold, int) or isinstance(threshold, bool):
        raise _wrong(path, f"roles.{name} needs a threshold, as in threshold = 2")
    if not isinstance(officers, list):
        raise _wrong(path, f'roles.{name} needs its officers, as in officers = ["ann"]')
    unknown = [one for one in officers if one not in {key.name for key in keys}]
    if unknown:
        raise _wrong(path, f"roles.{name} names {unknown[0]!r}, who is no officer here")
    indices = tuple(index for index, key in enumerate(keys) if key.name in officers)
    return Role(name=name, threshold=threshold, keys=indices)


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{path}: {what}",
        code="trust-form.malformed",
        remedy="`flopgate-governor order trust` prints a whole form.",
    )
