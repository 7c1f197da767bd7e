"""Orders that must be refused, and with which error; and what every case is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flopgate_proto.codec import encode_order, envelope_to_object
from flopgate_proto.envelope import Envelope, seal
from vectors import inputs
from vectors.order_inputs import AUTHORITY_ID, pause, trust_root

Case = dict[str, Any]


def case_of(name: str, operation: str, error: str, code: str, **arguments: Any) -> Case:
    """One case, as the file holds it."""
    return {
        "name": name,
        "operation": operation,
        "arguments": arguments,
        "error": error,
        "code": code,
    }


def cases(envelopes: Mapping[str, Envelope]) -> list[Case]:
    """Of orders; ``envelopes`` are the valid statements by the name of their vector."""
    first, second = envelopes["trust-root-1"], envelopes["trust-root-2"]
    alone = replace(first, signatures=first.signatures[:1])
    new_only = replace(second, signatures=second.signatures[1:])
    foreign_pause = replace(pause(emergency=False), authority="other.example")
    kind, payload = encode_order(foreign_pause)
    foreign = seal(kind, payload, [inputs.KEYS["officer-0"]])
    elsewhere = replace(pause(emergency=False), authority_id=bytes(32))
    rehearsed = seal(*encode_order(elsewhere), [inputs.KEYS["officer-0"]])
    two = [inputs.KEYS[name] for name in ("officer-0", "officer-1")]
    again = seal(*encode_order(replace(trust_root(1), nonce=bytes(16))), two)
    same_version = replace(trust_root(1), nonce=b"", authority_id=AUTHORITY_ID)
    old = seal(*encode_order(same_version), two)
    policy = envelopes["policy"]
    half = replace(policy, signatures=policy.signatures[:1])

    def order(name: str, envelope: Envelope, error: str, code: str) -> Case:
        arguments = {
            "trust_root": envelope_to_object(first),
            "envelope": envelope_to_object(envelope),
        }
        return case_of(name, "verify-order", error, code, **arguments)

    def pinned(name: str, envelope: Envelope, digest: bytes, error: str, code: str) -> Case:
        arguments = {"envelope": envelope_to_object(envelope), "digest": digest.hex()}
        return case_of(name, "trust-pinned", error, code, **arguments)

    def successor(name: str, old: Envelope, new: Envelope, error: str, code: str) -> Case:
        arguments = {"trust_root": envelope_to_object(old), "envelope": envelope_to_object(new)}
        return case_of(name, "trust-successor", error, code, **arguments)

    def misdirected(code: str) -> tuple[str, str]:
        return "MisdirectedError", code

    return [
        pinned("pin-of-another-root", first, bytes(32), "MisdirectedError", "trust-root.pin"),
        pinned("root-below-threshold", alone, first.digest, "ForgedError", "envelope.quorum"),
        pinned("pin-of-a-later-root", second, second.digest, *misdirected("trust-root.first")),
        successor("root-of-no-higher-version", first, old, "HistoryError", "trust-root.version"),
        successor("root-that-founds-anew", first, again, *misdirected("order.other-authority")),
        order("order-of-the-same-name", rehearsed, *misdirected("order.other-authority")),
        successor("root-without-old-quorum", first, new_only, "ForgedError", "envelope.quorum"),
        order("policy-below-quorum", half, "ForgedError", "envelope.quorum"),
        order("order-of-another-authority", foreign, "MisdirectedError", "order.authority"),
        order("role-not-named", envelopes["license-approval"], "ForgedError", "order.role"),
        order(
            "report-is-no-order",
            envelopes["report-first"],
            "UnknownVersionError",
            "order.type.unknown",
        ),
    ]
