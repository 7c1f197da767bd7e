"""Every error flopgate raises, in one tree, split by whose fault it is.

    FlopgateError
    |- PeerError               what came in is wrong; the sender must change it
    |  |- MalformedError       the bytes are not a message of this protocol
    |  |  |- UnknownVersionError   a payload type or format this software does not know
    |  |  '- OversizedError        a field, list or message above its limit
    |  |- ForgedError          a signature, proof or token does not hold
    |  |- MisdirectedError     genuine, but for another host, authority, run or request
    |  '- HistoryError         genuine, but at odds with what was signed before (law 4)
    |- MisuseError             our caller broke the contract of a function
    '- EnvironmentFault        this machine must be mended
       |- ConfigError          a configuration file, key file or token file
       |- ClockError           a clock that steps back or contradicts another
       |- StorageError         ledger or store cannot be read or written
       |- DriverError          the accelerator driver or its sampler
       '- TpmError             the TPM that holds the host key

A refusal of permission is a value, not an error (DESIGN section 5). Every error carries a stable
``code`` (dotted, lower case) and a sentence that says what to do.
"""

from __future__ import annotations


class FlopgateError(Exception):
    """Base of all errors of this project.

    Attributes:
        code: stable id, ``component.subject.event``.
        detail: one sentence: what is wrong, with the figures.
        remedy: one sentence: what to do, or empty.
    """

    default_code = "flopgate.error"

    def __init__(self, detail: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(detail, code, remedy)
        self.code = code or self.default_code
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.code}: {self.detail}"
        return f"{text}. {self.remedy}" if self.remedy else text


class PeerError(FlopgateError):
    """What came in is wrong; state is unchanged."""

    default_code = "peer.error"


class MalformedError(PeerError):
    """The bytes are not a message of this protocol."""

    default_code = "peer.malformed"


class UnknownVersionError(MalformedError):
    """A payload type or format that this software does not know."""

    default_code = "peer.version.unknown"


class OversizedError(MalformedError):
    """A field, list or message above its limit."""

    default_code = "peer.oversized"


class ForgedError(PeerError):
    """A signature, proof or token does not hold."""

    default_code = "peer.forged"


class MisdirectedError(PeerError):
    """Genuine, but made for another host, authority, run or request."""

    default_code = "peer.misdirected"


class HistoryError(PeerError):
    """Genuine, but at odds with what was signed before."""

    default_code = "peer.history"


class MisuseError(FlopgateError):
    """Our own caller broke the contract of a function."""

    default_code = "misuse.error"


class EnvironmentFault(FlopgateError):
    """This machine must be mended before work can go on."""

    default_code = "environment.fault"


class ConfigError(EnvironmentFault):
    """A configuration file, key file or token file cannot be used."""

    default_code = "config.error"


class ClockError(EnvironmentFault):
    """A clock stepped back or contradicts another."""

    default_code = "clock.error"


class StorageError(EnvironmentFault):
    """Ledger or store cannot be read or written."""

    default_code = "storage.error"


class DriverError(EnvironmentFault):
    """The accelerator driver or its sampler does not answer."""

    default_code = "driver.error"


class TpmError(EnvironmentFault):
    """The TPM does not answer, or is not the one that holds the host key."""

    default_code = "tpm.error"
