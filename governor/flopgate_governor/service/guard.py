"""Holds every RPC against the authorization table before its handler runs, and counts them.

A caller has so many calls under way at most; who has no certificate counts by his address. Streams
of daily life are counted apart (`service.hub`): there a newer one makes an older one go.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flopgate_governor.service.authorization import ALLOWED, LINK, Identity, Role, allowed, identify

SAN = "x509_subject_alternative_name"
CALLS_MAX: Final = 16
"""Most calls of one caller under way at once."""
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    # Generic in its stubs only.
    Interceptor = grpc.aio.ServerInterceptor


class Calls:
    """Calls under way, by caller. ``refused``: how many were too many so far."""

    def __init__(self) -> None:
        self.refused = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str, at_most: int) -> Iterator[bool]:
        """Count one for as long as the block lasts; whether there was room for it."""
        room = self._of[caller] < at_most
        self._of[caller] += room
        self.refused += not room
        try:
            yield room
        finally:
            self._of[caller] -= room
            if not self._of[caller]:
                del self._of[caller]


class Guard(Interceptor):
    """Refuses what the table does not allow, and what is too much."""

    def __init__(self, authority: str, calls: Calls) -> None:
        self._authority = authority
        self._calls = calls

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap the handler of a call in a check of its caller."""
        return self._guarded(await continuation(handler_call_details), handler_call_details.method)

    def _guarded(self, handler: Handler | None, method: str) -> Any:
        if handler is None:
            return handler  # a method that no service has: gRPC says so
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(handler.stream_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(handler.stream_unary, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, behaviour: Any, method: str) -> Any:
        async def guarded(request: object, context: Context) -> object:
            caller = await self._check(method, context)
            if method == LINK:
                return await behaviour(request, context)
            with self._calls.one(caller, CALLS_MAX) as room:
                await _refuse_without(room, context)
                return await behaviour(request, context)

        return guarded

    def _stream(self, behaviour: Any, method: str) -> Any:
        # gRPC takes both forms, and its own services use one each.
        if inspect.isasyncgenfunction(behaviour):

            async def guarded(request: object, context: Context) -> AsyncIterator[object]:
                caller = await self._check(method, context)
                with self._calls.one(caller, CALLS_MAX) as room:
                    await _refuse_without(room, context)
                    async for reply in behaviour(request, context):
                        yield reply

            return guarded
        return self._unary(behaviour, method)

    async def _check(self, method: str, context: Context) -> str:
        """Whose call it is, in words."""
        caller = identity_of(self._authority, context)
        if not allowed(method, caller.role):
            known = "" if method in ALLOWED else " (unknown)"
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{caller.role.value} may not call {method}{known}",
            )
        return address_of(context) if caller.role is Role.ANYONE else caller.text


async def _refuse_without(room: bool, context: Context) -> None:
    if not room:
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"calls.many: {CALLS_MAX} calls of this caller are under way. Wait for one to end.",
        )


def identity_of(authority: str, context: Context) -> Identity:
    """The caller, by its TLS client certificate."""
    names = context.auth_context().get(SAN, ())
    return identify(authority, list(names))


def key_of(context: Context) -> bytes:
    """SubjectPublicKeyInfo of the caller's TLS certificate, DER; empty without one."""
    # A list; the stubs say bytes.
    pems = cast("list[bytes]", context.auth_context().get("x509_pem_cert", []))
    if not pems:
        return b""
    key = x509.load_pem_x509_certificate(pems[0]).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def address_of(context: Context) -> str:
    """From where somebody calls, without the port."""
    return context.peer().rpartition(":")[0]
