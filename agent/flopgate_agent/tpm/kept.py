"""What a gate keeps of its keys in the TPM: no secret, and of no use without that TPM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flopgate_agent.replacing import keep_host_key
from flopgate_agent.toml_table import read_bytes
from flopgate_agent.tpm.rollback import Base
from flopgate_agent.tpm.wire import Message, decode, encode
from flopgate_proto.errors import ConfigError

_FORMAT: Final = 1
_KEYS: Final = ("host", "attestation")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKeys:
    """Both keys as the TPM wrapped them, and where its counter stood then."""

    keys: Message
    base: Base


def write(path: Path, kept: KeptKeys) -> None:
    """Durable when this returns; a crash leaves the whole file or none.

    Raises:
        StorageError: it cannot be kept.
    """
    base = {"counter": kept.base.counter, "reset_count": kept.base.reset_count}
    keep_host_key(path, encode({"format": _FORMAT, "keys": kept.keys, "base": base}))


def read(path: Path) -> KeptKeys:
    """What `write` wrote.

    Raises:
        ConfigError: it is something else.
    """
    try:
        message = decode(read_bytes(path))
        return KeptKeys(keys=_keys(message), base=_base(message))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not what this version of the gate wrote: {error!r}",
            code="key.tpm-file",
            remedy="Restore it from a backup: without it the key in the TPM cannot be used.",
        ) from error


def _keys(message: Message) -> Message:
    if message["format"] != _FORMAT:
        raise ValueError(f"format {message['format']!r}")
    return {name: [_hex(one) for one in _pair(message["keys"][name])] for name in _KEYS}


def _base(message: Message) -> Base:
    counter, resets = (message["base"][name] for name in ("counter", "reset_count"))
    if type(counter) is not int or type(resets) is not int:
        raise TypeError("base")
    return Base(counter=counter, reset_count=resets)


def _pair(parts: Any) -> list[Any]:
    if not isinstance(parts, list) or len(parts) != 2:  # noqa: PLR2004 - public and private
        raise TypeError("key")
    return parts


def _hex(one: Any) -> str:
    return bytes.fromhex(one).hex()
