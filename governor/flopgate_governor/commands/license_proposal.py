"""What officers are asked to approve: licenses for the hosts of a file."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence

from flopgate_governor.clocks import unix_ms
from flopgate_governor.desk.officer_keys import public_key
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority, load_authority_id
from flopgate_proto.amounts import parse_span_ms, parse_tflop
from flopgate_proto.errors import ConfigError
from flopgate_proto.files import AskingHost
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import Policy


def proposed(
    arguments: argparse.Namespace,
    layout: Layout,
    delivered: Sequence[AskingHost],
    policy: Policy,
) -> LicenseApproval:
    """For the hosts of a file, by the policy in force and what the command line says.

    Raises:
        ConfigError: the policy lets none be given, or a value cannot be.
    """
    reserve = any(one.wish.reserve for one in delivered)
    kind = "reserve" if reserve else "license"
    span_ms = policy.reserve_span_ms if reserve else policy.license_span_ms
    if not span_ms:
        raise ConfigError(
            f"the policy in force lets no {kind} be given",
            code="license.none-by-policy",
            remedy=f"Officers sign a policy with {kind}_span_ms: `flopgate-governor policy apply`.",
        )
    most = policy.reserve_headroom_max_tflop if reserve else policy.license_headroom_max_tflop
    now_ms = unix_ms()
    within_ms = parse_span_ms(arguments.within) if arguments.within else policy.license_age_ms
    openers = tuple(public_key(path) for path in arguments.opener)
    needed = arguments.openers_needed
    return LicenseApproval(
        authority=load_authority(layout),
        authority_id=load_authority_id(layout),
        requests=tuple(one.request for one in delivered),
        not_before_unix_ms=now_ms,
        not_after_unix_ms=now_ms + within_ms,
        span_ms=parse_span_ms(arguments.span)
        if arguments.span
        else min(span_ms, max(one.wish.span_ms for one in delivered)),
        headroom_max_tflop=_headroom_tflop(arguments.headroom) if arguments.headroom else most,
        reserve=reserve,
        nonce=secrets.token_bytes(NONCE_BYTES),
        reason=arguments.reason,
        opener_spkis=openers,
        opener_threshold=len(openers) if needed is None else needed,
    )


def _headroom_tflop(text: str) -> int:
    headroom_tflop = parse_tflop(text)
    if not headroom_tflop:
        raise ConfigError(
            f"--headroom is {text}: less than a teraFLOP lets nothing run",
            code="license.headroom",
            remedy="Write what one host may do, as in 1e22.",
        )
    return headroom_tflop
