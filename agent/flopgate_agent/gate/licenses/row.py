"""The row that says where all licenses of a host stand, sealed by the host key.

Whoever has the disk can put an older row back, which the TPM's counter tells, and write no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from flopgate_agent.gate.authorities.license import Asked, License, Share, Standing
from flopgate_agent.gate.memory import StoredLicenses
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.errors import PeerError, StorageError
from flopgate_proto.keys import Signer, VerifyingKey
from flopgate_proto.values import LicenseState, Refusal, SingleUse

ROW_TYPE: Final = "application/vnd.flopgate.license-row.v1+json"


Standings = Mapping[str, tuple[Standing, Standing]]
"""By authority: of licenses, and of reserves."""


def sealed(number: int, standings: Standings, signer: Signer) -> Envelope:
    """The row of this number."""
    kept = {name: [asdict(one) for one in both] for name, both in standings.items()}
    document = {"number": number, "standings": kept}
    data = json.dumps(document, default=bytes.hex, separators=(",", ":"), sort_keys=True)
    return seal(ROW_TYPE, data.encode(), [signer])


def opened(stored: StoredLicenses, host_spki: bytes) -> Standings:
    """What the row holds.

    Raises:
        StorageError: this host's gate did not write that row.
    """
    key = VerifyingKey(host_spki)
    try:
        document = json.loads(verify(stored.row, ROW_TYPE, {key.key_id: key}).payload)
        number, standings = document["number"], document["standings"]
        found = {name: (_standing(one), _standing(two)) for name, (one, two) in standings.items()}
    except (PeerError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(str(error)) from error
    if number != stored.number:
        raise _damaged(f"number {number} where {stored.number} stands")
    return found


def _damaged(why: str) -> StorageError:
    return StorageError(
        f"the ledger's row of licenses is not what this host's gate wrote: {why}",
        code="ledger.damaged",
        remedy="Keep the file as evidence and ask the authority to close its chain.",
    )


def _standing(found: dict[str, Any]) -> Standing:
    licensed, shares = found["license"], found["shares"]
    return Standing(
        state=LicenseState(found["state"]),
        license=None if licensed is None else _license(licensed),
        floor=int(found["floor"]),
        used_ms=int(found["used_ms"]),
        shares=None if shares is None else {name: Share(**one) for name, one in shares.items()},
        opening=bytes.fromhex(found["opening"]),
        ended=str(found["ended"]),
        asked=tuple(
            Asked(**{**one, **_bytes(one, "digest", "run_nonce", "boot_id")})
            for one in found["asked"]
        ),
        refusals=tuple(
            (name, Refusal(**{**one, **_bytes(one, "order_digest")}))
            for name, one in found["refusals"]
        ),
        unseen=tuple(bytes.fromhex(one) for one in found["unseen"]),
    )


def _license(found: dict[str, Any]) -> License:
    spkis = tuple(bytes.fromhex(one) for one in found["opener_spkis"])
    return License(
        **{
            **found,
            **_bytes(found, "request", "approval"),
            "single_use": SingleUse(found["single_use"]),
            "opener_spkis": spkis,
        }
    )


def _bytes(found: dict[str, Any], *names: str) -> dict[str, bytes]:
    return {name: bytes.fromhex(found[name]) for name in names}
