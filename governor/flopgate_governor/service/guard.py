"""Holds every RPC against the authorization table before its handler runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from flopgate_governor.service.authorization import ALLOWED, Identity, allowed, identify

SAN = "x509_subject_alternative_name"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    # Generic in its stubs only.
    Interceptor = grpc.aio.ServerInterceptor


class Guard(Interceptor):
    """Refuses what the table does not allow."""

    def __init__(self, authority: str) -> None:
        self._authority = authority

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
            await self._check(method, context)
            return await behaviour(request, context)

        return guarded

    def _stream(self, behaviour: Any, method: str) -> Any:
        # gRPC takes both forms, and its own services use one each.
        if inspect.isasyncgenfunction(behaviour):

            async def guarded(request: object, context: Context) -> AsyncIterator[object]:
                await self._check(method, context)
                async for reply in behaviour(request, context):
                    yield reply

            return guarded
        return self._unary(behaviour, method)

    async def _check(self, method: str, context: Context) -> None:
        role = identity_of(self._authority, context).role
        if not allowed(method, role):
            known = "" if method in ALLOWED else " (unknown)"
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, f"{role.value} may not call {method}{known}"
            )


def identity_of(authority: str, context: Context) -> Identity:
    """The caller, by its TLS client certificate."""
    names = context.auth_context().get(SAN, ())
    return identify(authority, list(names))
