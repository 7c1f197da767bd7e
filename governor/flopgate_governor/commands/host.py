"""Show hosts: where their chains stand, and what holds for them."""

from __future__ import annotations

import argparse

from google.protobuf.json_format import MessageToJson

from flopgate_governor.commands.status import host_lines
from flopgate_governor.desk.client import status
from flopgate_governor.desk.output import add_directory, show
from flopgate_governor.files import Layout
from flopgate_governor.licenses.words import excused_until_ms
from flopgate_governor.views.identities import one_of
from flopgate_proto.command_line import Actions
from flopgate_proto.v1 import flopgate_pb2 as pb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``host list`` and ``host show``."""
    actions = Actions(parser)
    listed = actions.add("list", "every host, one a line, or those of a cluster")
    listed.add_argument("--cluster", metavar="NAME", help="only of this cluster")
    shown = actions.add("show", "one host with its lanes")
    shown.add_argument("host", metavar="HOST", help="its id, or the digits it begins with")
    for one in (listed, shown):
        add_directory(one)
        one.add_argument(
            "--json", action="store_true", help="for programs: protobuf JSON, bytes in base64"
        )


def run(arguments: argparse.Namespace) -> None:
    """Ask the running governor and print."""
    reply = status(Layout(arguments.dir))
    if arguments.action == "list":
        hosts = [h for h in reply.hosts if arguments.cluster in (None, h.cluster)]
        lines = [host_lines(host, reply.governor_unix_ms)[0] for host in hosts]
        found = pb.GetStatusReply(hosts=hosts)
    else:
        host = _one(arguments.host, reply)
        excused = excused_until_ms(reply.licenses)
        lines = host_lines(host, reply.governor_unix_ms, excused.get(host.host_id, 0))
        lines.insert(1, f"  id {host.host_id.hex()}")
        found = pb.GetStatusReply(hosts=[host])
    if arguments.json:
        show(MessageToJson(found, preserving_proto_field_name=True))
    else:
        show("\n".join(lines) or "no host")


def _one(text: str, reply: pb.GetStatusReply) -> pb.HostStatus:
    known = {host.host_id: host for host in reply.hosts}
    remedy = "Copy its digits from `flopgate-governor host list`."
    return known[one_of(text, known, "host", code="host.unknown", remedy=remedy, least=1)]
