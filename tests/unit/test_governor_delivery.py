"""A delivery of which nothing more comes ends."""

import asyncio
from typing import Any

import pytest

from flopgate_governor.service import licenses
from flopgate_governor.service.authorization import Role, uri_of
from flopgate_governor.service.guard import SAN
from flopgate_governor.service.licenses import LicenseService
from tests.support.governor import AUTHORITY


class EndedError(Exception):
    """What a context's abort raises."""


class SilentOfficer:
    """A gRPC context whose peer opens a delivery and says nothing."""

    def auth_context(self) -> dict[str, list[bytes]]:
        """Whose certificate it has."""
        return {SAN: [uri_of(AUTHORITY, Role.OFFICER, "alice").encode()]}

    async def read(self) -> bytes:
        """Nothing ever comes."""
        await asyncio.Event().wait()
        return b""

    async def abort(self, code: Any, detail: str) -> None:
        """End the call."""
        raise EndedError(code.name, detail)


def test_who_opens_a_delivery_and_says_nothing_is_told_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(licenses, "READ_S", 0.01)
    nothing: Any = None  # no report comes to be committed
    officer: Any = SilentOfficer()
    call = LicenseService(nothing, AUTHORITY).deliver(nothing, officer)
    with pytest.raises(EndedError, match=r"DEADLINE_EXCEEDED.*deliver\.slow"):
        asyncio.run(asyncio.wait_for(call, 20))
