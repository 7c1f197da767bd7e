"""What is on record here of a draft, and what the trust root and policy in force make of it.

The store's library costs most of a start: who may do without loads this only when it is asked for.
"""

from __future__ import annotations

from typing import Any

from flopgate_governor.files import Layout
from flopgate_governor.orders.drafts import Draft
from flopgate_governor.orders.known import known_lines
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import span_text
from flopgate_proto.errors import FlopgateError
from flopgate_proto.loosening import loosened
from flopgate_proto.trust import ROLE_OF, Trust


def known_here(layout: Layout, draft: Draft) -> tuple[list[str], Trust | None]:
    """What is on record of whom a draft names, and the trust root in force.

    That it cannot be read keeps nobody from signing.
    """
    try:
        with opened(layout) as state:
            lines = known_lines(draft.payload_type, draft.order, state)
            return lines, state.book.orders.trust
    except FlopgateError as error:
        return [f"nothing here was looked up: {error}"], None


def judged(layout: Layout, draft: Draft) -> tuple[list[str], dict[str, Any]]:
    """`known_here`, who signed, what it loosens, and how long it would wait.

    Raises:
        ConfigError, StorageError: the store cannot be read.
    """
    with opened(layout) as state:
        book = state.book
        known = known_lines(draft.payload_type, draft.order, state)
    role = ROLE_OF[draft.payload_type]
    signed = sorted(book.orders.trust.officers(one.key_id for one in draft.signatures))
    needed = book.orders.trust.needed(role)
    lines = [*known, f"signatures, not checked here, of: {', '.join(signed) or 'nobody'}"]
    loosens, delay_ms = list(loosened(draft.order, book.orders.in_force)), 0
    if loosens:
        delay_ms = book.orders.in_force.delay_ms
        lines += [f"loosens: {what}" for what in loosens]
        wait = f"so it waits {span_text(delay_ms)} once it is accepted"
        lines.append(wait if delay_ms else "would not wait: no delay is set")
    told = {"known_here": known, "role": role, "needed": needed, "signed_by": signed}
    return lines, told | {"loosens": loosens, "waits_ms": delay_ms}
