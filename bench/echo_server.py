"""A bidirectional stream that does nothing: ``python -m bench.echo_server DIR ADDRESS``.

What grpc.aio itself costs, with the governor's own TLS credentials (DIR is its directory).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_tls

METHOD = "/bench.Echo/Echo"


async def echo(messages: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    """Send each message back."""
    async for message in messages:
        yield message


async def serve(layout: Layout, address: str) -> None:
    """Serve until killed."""
    tls = load_tls(layout)
    credential = tls.server(["127.0.0.1"], dt.datetime.now(dt.UTC))
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    handlers: dict[str, Any] = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(METHOD.split("/")[1], handlers)]
    )
    server.add_secure_port(
        address,
        grpc.ssl_server_credentials(
            [(credential.key_pem, credential.certificate_pem)],
            tls.certificate_pem,
            require_client_auth=True,
        ),
    )
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(Layout(Path(sys.argv[1])), sys.argv[2]))
