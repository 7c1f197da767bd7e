"""Orders that wait, and those that never came into force."""

from __future__ import annotations

import argparse

from google.protobuf.json_format import MessageToJson

from flopgate_governor.desk.client import status
from flopgate_governor.desk.output import add_directory, show
from flopgate_governor.files import Layout
from flopgate_governor.orders.words import waiting_lines
from flopgate_proto.v1 import flopgate_pb2 as pb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``order list``."""
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="for programs: protobuf JSON")


def run(arguments: argparse.Namespace) -> None:
    """Ask the running governor and print."""
    reply = status(Layout(arguments.dir))
    if arguments.json:
        told = pb.GetStatusReply(waiting=reply.waiting, fallen=reply.fallen)
        show(MessageToJson(told, preserving_proto_field_name=True))
        return
    lines = [line for waiting in reply.waiting for line in waiting_lines(waiting)]
    lines += [f"fell {one.digest.hex()}  {one.reason}: {one.detail}" for one in reply.fallen]
    show("\n".join(lines or ["no order waits"]))
