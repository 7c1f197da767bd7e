"""``flopgate-agent k8s-taint``: keeps pods from a node while flopgate lets no job start there."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flopgate_agent.host_status import Status, add_file_argument, lanes_of, read_status, why_not
from flopgate_agent.kubernetes.api import ACCOUNT, ApiServer, in_pod
from flopgate_agent.kubernetes.patches import Permitted, condition, taint
from flopgate_agent.logs import log_json
from flopgate_proto.errors import ConfigError, EnvironmentFault

AGAIN_S: Final = 60.0
"""Said again so often: whoever took a taint away or deleted the node's status is put right."""
_LOG: Final = logging.getLogger("flopgate.k8s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_file_argument(parser)
    parser.add_argument("--node", help="name of the node (else NODE_NAME in the environment)")
    parser.add_argument(
        "--api-server", metavar="URL", help="where Kubernetes is asked (as every pod is told)"
    )
    parser.add_argument(
        "--account", type=Path, default=ACCOUNT, metavar="DIR", help="of the service account"
    )
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (2)"
    )
    parser.add_argument("--once", action="store_true", help="say it once, and end")


def run(arguments: argparse.Namespace) -> int:
    """Until SIGTERM. The taint stays as it is then: nobody looks any more."""
    node = arguments.node or os.environ.get("NODE_NAME")
    if not node:
        raise ConfigError("no node is named", code="k8s.node", remedy="Give --node or NODE_NAME.")
    url: str = arguments.api_server or in_pod()
    if not url.startswith("https://"):
        raise ConfigError(f"{url} is not https", code="k8s.url", remedy="Name an https address.")
    api = ApiServer(url, arguments.account, node)
    if arguments.once:
        _say(api, permitted(arguments.file), _now())
        return 0
    log_json()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _watch(api, arguments.file, arguments.every, stop)
    return 0


def permitted(path: str) -> Permitted:
    """What the gate says; that nobody can tell keeps pods away, too."""
    try:
        lanes = lanes_of(read_status(path), None)
    except EnvironmentFault as error:
        return Permitted(reason=error.code, message=f"{error.detail}. {error.remedy}")
    shut = [lane for lane in lanes if not lane["may_start"]]
    if shut:
        return Permitted(reason=_reason(shut[0]), message="; ".join(map(why_not, shut)))
    return Permitted(reason="", message="jobs may start")


def _reason(lane: Status) -> str:
    return str(lane["stop_reason"]) or "opening"


def _watch(api: ApiServer, path: str, every_s: float, stop: threading.Event) -> None:
    said: Permitted | None = None
    changed, said_s = _now(), 0.0
    while not stop.wait(every_s if said is not None else 0):
        now = permitted(path)
        if said is None or said.reason != now.reason:
            changed = _now()
            _LOG.info("%s", now.message)
        elif time.monotonic() - said_s < AGAIN_S:
            continue
        try:
            _say(api, now, changed)
        except EnvironmentFault as error:
            _LOG.error("%s", error)
            stop.wait(every_s)
            continue
        said, said_s = now, time.monotonic()


def _say(api: ApiServer, now: Permitted, changed: str) -> None:
    # The taint first: it is what keeps pods away.
    api.patch(taint(now))
    api.patch(condition(now, changed=changed, heartbeat=_now()), "/status")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
