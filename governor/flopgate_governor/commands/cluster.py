"""List clusters, explain why hosts are one, or rule what makes up a cluster."""

from __future__ import annotations

import argparse
import json
import secrets

from google.protobuf.json_format import MessageToDict, MessageToJson

from flopgate_governor.clusters.words import ClusterExplained, explain_lines, explained, list_lines
from flopgate_governor.commands.signing import add_signing_arguments, sign_and_submit
from flopgate_governor.desk.client import status
from flopgate_governor.desk.output import add_directory, show
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority
from flopgate_proto.command_line import Actions
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import ClusterRuling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``cluster list``, ``explain``, ``confirm`` and ``apart``."""
    actions = Actions(parser)
    listing = actions.add("list", "all clusters, and what waits for officers")
    explain = actions.add("explain", "why two hosts or clusters are one, or two")
    for name in ("a", "b"):
        explain.add_argument(
            name, metavar=name.upper(), help="a declared cluster, or the beginning of a host's id"
        )
    for asking in (listing, explain):
        add_directory(asking)
        asking.add_argument("--json", action="store_true", help="for programs")
    confirm = actions.add("confirm", "rule that declared clusters are one")
    confirm.add_argument("clusters", nargs="+", metavar="NAME", help="two or more, as declared")
    apart = actions.add("apart", "rule that clusters hang together with nothing else")
    apart.add_argument("clusters", nargs="+", metavar="NAME", help="as declared")
    for ruling in (confirm, apart):
        ruling.add_argument("--reason", required=True, metavar="TEXT", help="kept in the log")
        add_signing_arguments(ruling)


def run(arguments: argparse.Namespace) -> None:
    """Ask and print, or sign and submit."""
    match arguments.action:
        case "list":
            reply = status(Layout(arguments.dir))
            shown = MessageToJson(_clusters_only(reply), preserving_proto_field_name=True)
            show(shown if arguments.json else "\n".join(list_lines(reply)) or "no cluster")
        case "explain":
            reply = status(Layout(arguments.dir))
            what = explained(reply, arguments.a, arguments.b)
            show(as_json(what) if arguments.json else "\n".join(explain_lines(reply, what)))
        case _:
            sign_and_submit(
                arguments,
                ClusterRuling(
                    authority=load_authority(Layout(arguments.dir)),
                    clusters=tuple(arguments.clusters),
                    apart=arguments.action == "apart",
                    nonce=secrets.token_bytes(NONCE_BYTES),
                    reason=arguments.reason,
                ),
            )


def _clusters_only(reply: pb.GetStatusReply) -> pb.GetStatusReply:
    return pb.GetStatusReply(
        authority=reply.authority,
        clusters=reply.clusters,
        merges=reply.merges,
        threshold_tflop_per_s=reply.threshold_tflop_per_s,
        capacity_basis=reply.capacity_basis,
        cluster_link_mbit_per_s=reply.cluster_link_mbit_per_s,
    )


def as_json(what: ClusterExplained) -> str:
    """For programs: whether they are one, the way between them, and what is not in force."""
    document = {
        "a": what.a,
        "b": what.b,
        "one": what.path is not None,
        "path": [_dict(merge) for merge in what.path or ()],
        "between": [_dict(merge) for merge in what.between],
    }
    return json.dumps(document, indent=2)


def _dict(merge: pb.MergeStatus) -> object:
    return MessageToDict(merge, preserving_proto_field_name=True)
