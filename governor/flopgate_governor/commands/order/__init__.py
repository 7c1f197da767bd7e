"""Orders of officers: propose, show, approve, submit, and what waits to come into force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "propose": "sign an order at once, or write a draft of it",
    "show": "say in words what a draft orders, and its digest",
    "approve": "sign the exact bytes of a draft with one officer's key",
    "submit": "give a draft that enough officers approved to the governor",
    "list": "orders that wait, and those that never came into force",
    "trust": "the trust root in force, as the form of the next one",
}
"""Each action's help."""
