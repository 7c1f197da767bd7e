"""What is asked of the API server: strategic merge patches, which leave all else as it is. Pure.

Kubernetes API, `NodeSpec.taints` (merged by key and effect) and `NodeStatus.conditions` (by type).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

TAINT_KEY: Final = "flopgate-not-permitted"
CONDITION: Final = "FlopgatePermitted"
_NO_LABEL: Final = re.compile(r"[^A-Za-z0-9._-]")
_LABEL_MAX: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """Whether pods may be placed on this node, and why not.

    Attributes:
        reason: stable id, empty where they may.
        message: in words.
    """

    reason: str
    message: str

    @property
    def may_start(self) -> bool:
        """Whether a pod may be placed here."""
        return not self.reason


def taint(now: Permitted) -> dict[str, Any]:
    """Patch of the node: new pods stay away, those that run stay."""
    if now.may_start:
        # Whatever stands there under our key and effect is taken away, and nothing else.
        one = {"$patch": "delete", "key": TAINT_KEY, "effect": "NoSchedule"}
    else:
        one = {"key": TAINT_KEY, "value": _label(now.reason), "effect": "NoSchedule"}
    return {"spec": {"taints": [one]}}


def condition(now: Permitted, *, changed: str, heartbeat: str) -> dict[str, Any]:
    """Patch of the node's status; moments as RFC 3339."""
    return {
        "status": {
            "conditions": [
                {
                    "type": CONDITION,
                    "status": "True" if now.may_start else "False",
                    "reason": _camel(now.reason) if now.reason else "Permitted",
                    "message": now.message,
                    "lastTransitionTime": changed,
                    "lastHeartbeatTime": heartbeat,
                }
            ]
        }
    }


def _label(reason: str) -> str:
    """A reason as a label's value may be."""
    return _NO_LABEL.sub("-", reason)[:_LABEL_MAX].strip("._-") or "unknown"


def _camel(reason: str) -> str:
    """A reason as conditions have them: pause.latched is PauseLatched."""
    parts = re.split(r"[^A-Za-z0-9]+", reason)
    return "".join(part[:1].upper() + part[1:] for part in parts) or "Unknown"
