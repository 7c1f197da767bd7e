"""Writes down what the gate shows of itself, for everybody on the host (`host_status`)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message

from flopgate_agent.host_status import VERSION
from flopgate_agent.replacing import replace_file
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.words import word_of

MODE: Final = 0o644
_LOG: Final = logging.getLogger("flopgate.gate")


def status_path(door_path: Path) -> Path:
    """Where the gate with this door writes; `host_status.DEFAULT_PATH` for the door of the docs."""
    return door_path.with_suffix(".status")


class StatusFile:
    """The file, replaced as a whole. That it cannot be written is told once, and stops nothing."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """``boot_id``: hexadecimal."""
        self._path = path
        self._boot_id = boot_id
        self._failed = False

    def write(self, shown: pb.Snapshot, now_ms: int) -> None:
        """Replace it; ``now_ms`` is the host's elapsed time."""
        head = {"version": VERSION, "boot_id": self._boot_id, "written_ms": now_ms}
        data = json.dumps(head | plain(shown)).encode()
        try:
            replace_file(self._path, data, mode=MODE)
        except OSError as error:
            if not self._failed:
                _LOG.error("cannot write %s: %s", self._path, error.strerror)
            self._failed = True
        else:
            self._failed = False


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON has it: every field, names of enum values in lower case, bytes in hex."""
    return {field.name: _plain_field(message, field.name) for field in message.DESCRIPTOR.fields}


def _plain_field(message: Message, name: str) -> Any:
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if field.is_repeated:
        return [_plain_value(field, one) for one in value]
    if field.message_type is not None and not message.HasField(name):
        return None
    return _plain_value(field, value)


def _plain_value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        return word_of(field.enum_type, value)
    return value.hex() if isinstance(value, bytes) else value
