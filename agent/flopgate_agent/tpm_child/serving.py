"""Requests of the gate, carried out one by one."""

from __future__ import annotations

from typing import Final

from flopgate_agent.tpm.wire import REFUSED, Message
from flopgate_agent.tpm_child.device import KEYS, Blobs, TpmDevice
from flopgate_agent.tpm_child.failing import FailedError


class Served:
    """The TPM at ``tcti``, opened by the first request."""

    def __init__(self, tcti: str) -> None:
        self._tcti: Final = tcti
        self._device: TpmDevice | None = None

    def answer(self, request: Message) -> Message:
        """Do what one request asks for; a failure is an answer."""
        try:
            if self._device is None:
                self._device = TpmDevice(self._tcti)
            return self._carry_out(self._device, request)
        except FailedError as error:
            return {"error": error.code, "detail": error.detail}

    def _carry_out(self, device: TpmDevice, request: Message) -> Message:
        match request["op"]:
            case "probe":
                return {}
            case "make":
                return {"keys": _blobs_to(device.make())}
            case "load":
                return {"spki": device.load(_blobs_from(request["keys"])).hex()}
            case "sign":
                return {"signature": device.sign(bytes.fromhex(request["digest"])).hex()}
            case "define":
                device.counter.define()
                return _seen(device)
            case "seen":
                return _seen(device)
            case "clock":
                return device.counter.clock()
            case "reach":
                again = bool(request.get("again"))
                device.counter.reach(int(request["counter"]), again=again)
                return {}
            case "spent":
                device.spent.define()
                return {"spent": device.spent.value()}
            case "spend":
                again = bool(request.get("again"))
                device.spent.reach(int(request["counter"]), again=again)
                return {}
            case "quote":
                quote = device.quote(bytes.fromhex(request["nonce"]), str(request["pcrs"]))
                return {name: part.hex() for name, part in quote.items()}
            case op:
                raise FailedError(REFUSED, f"unknown request {op!r}")


def _seen(device: TpmDevice) -> Message:
    return {**device.counter.seen(), "spent": device.spent.value()}


def _blobs_to(blobs: Blobs) -> Message:
    return {name: [one.hex() for one in parts] for name, parts in blobs.items()}


def _blobs_from(message: Message) -> Blobs:
    return {
        name: (bytes.fromhex(message[name][0]), bytes.fromhex(message[name][1])) for name in KEYS
    }
