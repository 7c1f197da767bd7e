"""A TPM 2.0 through the TSS: host key, attestation key. Blocks as long as the TPM takes.

Both keys are P-256 under the storage root key that TCG's template gives (owner hierarchy, without
an authorization value): made in the TPM, fixed to it, never to be exported. What lies on disk is
wrapped by that TPM, and of no use to any other.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_RH,
    TPM2_ST,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPMA_OBJECT,
    TPMT_SIG_SCHEME,
    TPMT_SIGNATURE,
    TPMT_TK_HASHCHECK,
)

from flopgate_agent.tpm.wire import (
    COUNTER_INDEX,
    OTHER,
    REFUSED,
    SPENT_INDEX,
    UNREACHABLE,
)
from flopgate_agent.tpm_child.counter import Counter
from flopgate_agent.tpm_child.failing import FailedError, reported

_FIXED: Final = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda"
_ROOT: Final = ("ecc256:null:aes128cfb", f"{_FIXED}|restricted|decrypt")
_HOST: Final = ("ecc256:ecdsa-sha256:null", f"{_FIXED}|sign")
_ATTESTATION: Final = ("ecc256:ecdsa-sha256:null", f"{_FIXED}|sign|restricted")

_TRANSIENT_FIRST: Final = 0x80000000
_HANDLES_MAX: Final = 16
KEYS: Final = ("host", "attestation")
Blobs = dict[str, tuple[bytes, bytes]]
"""Public and wrapped private part of each of `KEYS`."""


def _template(kind: tuple[str, str]) -> TPM2B_PUBLIC:
    algorithm, attributes = kind
    return TPM2B_PUBLIC.parse(algorithm, objectAttributes=TPMA_OBJECT.parse(attributes))


class TpmDevice:
    """One connection. ``tcti`` names the TPM as the TSS does: ``device:/dev/tpmrm0``.

    Raises:
        FailedError: nothing answers there, or it is no TPM with P-256 keys.
    """

    def __init__(self, tcti: str) -> None:
        with reported(f"no TPM at {tcti}", UNREACHABLE):
            self.esys = ESAPI(tcti)
        with reported("make room"):
            self._flush()
        with reported("make the storage root key"):
            self._root = self.esys.create_primary(None, _template(_ROOT), ESYS_TR.OWNER)[0]
        self._handles: dict[str, ESYS_TR] = {}
        self._publics: dict[str, bytes] = {}
        self.counter: Final = Counter(self.esys, COUNTER_INDEX, orderly=True)
        self.spent: Final = Counter(self.esys, SPENT_INDEX, orderly=False)

    def _flush(self) -> None:
        """Drop what a child that was killed left loaded.

        The kernel's resource manager shows this connection nobody else's objects, and without one
        the connection is the only one.
        """
        _, found = self.esys.get_capability(TPM2_CAP.HANDLES, _TRANSIENT_FIRST, _HANDLES_MAX)
        for handle in found.data.handles:
            self.esys.flush_context(self.esys.tr_from_tpmpublic(handle))

    def make(self) -> Blobs:
        """New keys, to be kept and loaded."""
        blobs = {}
        for name, kind in zip(KEYS, (_HOST, _ATTESTATION), strict=True):
            with reported(f"make the {name} key"):
                private, public, *_ = self.esys.create(self._root, None, _template(kind))
            blobs[name] = (public.marshal(), private.marshal())
        return blobs

    def load(self, blobs: Blobs) -> bytes:
        """Put kept keys into the TPM; the host key's SubjectPublicKeyInfo.

        Raises:
            FailedError: they were made by another TPM, or by this one before it was cleared.
        """
        for name, (public, private) in blobs.items():
            # TPM2B_PUBLIC is the size in two bytes, and TPMT_PUBLIC.
            self._publics[name] = public[2:]
            with reported(f"load the {name} key", OTHER):
                self._handles[name] = self.esys.load(
                    self._root,
                    TPM2B_PRIVATE.unmarshal(private)[0],
                    TPM2B_PUBLIC.unmarshal(public)[0],
                )
        with reported("read the host key", OTHER):
            return TPM2B_PUBLIC.unmarshal(blobs["host"][0])[0].to_der()

    def sign(self, digest: bytes) -> bytes:
        """DER ECDSA signature of the host key over a SHA-256 digest."""
        with reported("sign"):
            signature = self.esys.sign(
                self._handle("host"),
                digest,
                TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
                TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL, digest=b""),
            )
        return der_of(signature)

    def quote(self, nonce: bytes, pcrs: str) -> dict[str, bytes]:
        """What the attestation key signs of these PCRs and of the host key, over a nonce."""
        with reported("quote"):
            quote, quoted = self.esys.quote(self._handle("attestation"), pcrs, nonce)
        with reported("certify the host key"):
            certification, certified = self.esys.certify(
                self._handle("host"),
                self._handle("attestation"),
                nonce,
                TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
            )
        return {
            "attestation_public": self._publics["attestation"],
            "host_public": self._publics["host"],
            "quote": bytes(quote),
            "quote_signature": der_of(quoted),
            "certification": bytes(certification),
            "certification_signature": der_of(certified),
        }

    def _handle(self, name: str) -> ESYS_TR:
        if name not in self._handles:
            raise FailedError(REFUSED, f"no {name} key is loaded")
        return self._handles[name]


def der_of(signature: TPMT_SIGNATURE) -> bytes:
    """The two numbers of a TPM's ECDSA signature, as verifiers take them."""
    both = signature.signature.ecdsa
    return encode_dss_signature(
        int.from_bytes(bytes(both.signatureR), "big"), int.from_bytes(bytes(both.signatureS), "big")
    )
