"""Spans of licenses, as officers read them."""

import pytest

from flopgate_governor.licenses.words import status_lines
from flopgate_proto.v1 import flopgate_pb2 as pb

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.mark.parametrize(
    ("used_ms", "told"),
    [
        (0, "0s"),
        (30 * MINUTE_MS, "30m"),
        (90 * MINUTE_MS + 29_999, "1h30m"),
        (2 * HOUR_MS - 1, "2h"),
        (30 * HOUR_MS + 29 * MINUTE_MS, "1d6h"),
        (48 * HOUR_MS, "2d"),
    ],
)
def test_what_is_used_of_a_license_is_told_to_the_minute_at_first(used_ms: int, told: str) -> None:
    status = pb.LicenseStatus(
        used_ms=used_ms, span_ms=168 * HOUR_MS, single_use=pb.SINGLE_USE_SOFTWARE
    )
    assert f"  used {told} of 7d  " in status_lines(status)[0]
