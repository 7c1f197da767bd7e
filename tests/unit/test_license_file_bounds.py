"""Files and paper that cost a machine more than they weigh: told before they do."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from itertools import islice
from typing import Any, Final

import pytest

from flopgate_proto.codec import PayloadType, envelope_to_object
from flopgate_proto.envelope import Envelope, Signature
from flopgate_proto.errors import OversizedError
from flopgate_proto.files import read_licenses
from flopgate_proto.files.lines import read_lines, write_lines
from flopgate_proto.limits import LICENSES_BYTES_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support import license_files
from tests.support.fixed import HOST_KEY

LONG: Final = Envelope(PayloadType.POLICY, bytes(PAYLOAD_BYTES_MAX), (Signature("k", b"s"),))
FITS: Final = MESSAGE_BYTES_MAX // PAYLOAD_BYTES_MAX - 1
"""So often a license can name it."""
MANY: Final = LICENSES_BYTES_MAX // (FITS * PAYLOAD_BYTES_MAX)
"""So many such licenses a file can hold."""


def license_file(times: int, hosts: int) -> bytes:
    """Licenses of so many hosts, each of which names the one long order so often."""
    *shared, last = read_lines("license", [license_files.license_file(HOST_KEY)])
    bodies: list[dict[str, Any]] = [{"statement": envelope_to_object(LONG)}, *map(dict, shared)]
    for number in range(hosts):
        answer = pb.Answer.FromString(license_files.license_for()[0].answer.answers[0].payload)
        answer.host_id = number.to_bytes(32, "big")
        bodies.append(
            dict(last)
            | {
                "license": answer.host_id.hex(),
                "payload": b64encode(answer.SerializeToString(deterministic=True)).decode(),
                "orders": [LONG.digest.hex()] * times,
            }
        )
    data = b"".join(write_lines("license", bodies))
    assert len(data) < MESSAGE_BYTES_MAX
    return data


def test_one_long_order_named_often_fills_no_memory() -> None:
    """A line of 70 kB would unfold to 256 MB."""
    (read,) = read_licenses([license_file(FITS, 1)])
    assert len(read.orders) == FITS
    with pytest.raises(OversizedError, match="no gate takes it"):
        list(read_licenses([license_file(1024, 1)]))


def test_what_a_whole_file_unfolds_to_is_bounded() -> None:
    read = read_licenses([license_file(FITS, MANY + 1)])
    assert sum(1 for _ in islice(read, MANY)) == MANY
    with pytest.raises(OversizedError, match="bytes of licenses"):
        next(read)


def test_a_long_row_of_hyphens_is_no_work() -> None:
    """Before, it cost its length squared: this one minutes, on an officer's machine too."""
    code = """
from flopgate_proto.errors import MalformedError
from flopgate_proto.files import read_armor
row = "-" * 250_000
for text in (row + " BEGIN FLOPGATE", "-BEGIN FLOPGATE X-" + row):
    try:
        read_armor(text)
    except MalformedError as error:
        print(error.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "armor.cut\n" * 2
