# What flopgate uses of tpm2_pytss, which has no types and is an extra: linting goes without it.

from enum import IntEnum
from typing import Self

class TSS2_Exception(RuntimeError):
    rc: int
    error: int

class ESYS_TR(int):
    OWNER: ESYS_TR

class TPM2_ALG(IntEnum):
    NULL = 0x10
    SHA256 = 0x0B

class TPM2_CAP(IntEnum):
    HANDLES = 1
    TPM_PROPERTIES = 6

class TPM2_RH(IntEnum):
    NULL = 0x40000007

class TPM2_ST(IntEnum):
    HASHCHECK = 0x8024

class TPMA_NV(int):
    @classmethod
    def parse(cls, value: str) -> Self: ...

class TPMS_NV_PUBLIC:
    attributes: int
    def __init__(
        self, *, nvIndex: int, nameAlg: TPM2_ALG, attributes: TPMA_NV, dataSize: int
    ) -> None: ...

class TPM2B_NV_PUBLIC:
    nvPublic: TPMS_NV_PUBLIC
    def __init__(self, *, nvPublic: TPMS_NV_PUBLIC) -> None: ...

class TPMS_CLOCK_INFO:
    clock: int
    resetCount: int
    restartCount: int
    safe: int

class TPMS_TIME_INFO:
    clockInfo: TPMS_CLOCK_INFO

class TPMA_OBJECT(int):
    @classmethod
    def parse(cls, value: str) -> Self: ...

class _Structure:
    def marshal(self) -> bytes: ...
    @classmethod
    def unmarshal(cls, buf: bytes) -> tuple[Self, int]: ...

class _Sized:
    def __bytes__(self) -> bytes: ...

class TPM2B_PRIVATE(_Structure): ...

class TPM2B_PUBLIC(_Structure):
    @classmethod
    def parse(cls, alg: str, objectAttributes: TPMA_OBJECT) -> Self: ...
    def to_der(self) -> bytes: ...

class TPMT_SIG_SCHEME:
    def __init__(self, *, scheme: TPM2_ALG) -> None: ...

class TPMT_TK_HASHCHECK:
    def __init__(self, *, tag: TPM2_ST, hierarchy: TPM2_RH, digest: bytes) -> None: ...

class _ECDSA:
    signatureR: _Sized
    signatureS: _Sized

class _SignatureUnion:
    ecdsa: _ECDSA

class TPMT_SIGNATURE(_Structure):
    signature: _SignatureUnion

class _Property:
    property: int
    value: int

class _Capabilities:
    handles: list[int]
    tpmProperties: list[_Property]

class TPMS_CAPABILITY_DATA:
    data: _Capabilities

class ESAPI:
    def __init__(self, tcti: str) -> None: ...
    def get_capability(
        self, capability: TPM2_CAP, prop: int, property_count: int
    ) -> tuple[bool, TPMS_CAPABILITY_DATA]: ...
    def tr_from_tpmpublic(self, handle: int) -> ESYS_TR: ...
    def flush_context(self, flush_handle: ESYS_TR) -> None: ...
    def create_primary(
        self, in_sensitive: None, in_public: TPM2B_PUBLIC, primary_handle: ESYS_TR
    ) -> tuple[ESYS_TR, TPM2B_PUBLIC, object, object, object]: ...
    def create(
        self, parent_handle: ESYS_TR, in_sensitive: None, in_public: TPM2B_PUBLIC
    ) -> tuple[TPM2B_PRIVATE, TPM2B_PUBLIC, object, object, object]: ...
    def load(
        self, parent_handle: ESYS_TR, in_private: TPM2B_PRIVATE, in_public: TPM2B_PUBLIC
    ) -> ESYS_TR: ...
    def sign(
        self,
        key_handle: ESYS_TR,
        digest: bytes,
        in_scheme: TPMT_SIG_SCHEME,
        validation: TPMT_TK_HASHCHECK,
    ) -> TPMT_SIGNATURE: ...
    def quote(
        self, sign_handle: ESYS_TR, pcr_select: str, qualifying_data: bytes
    ) -> tuple[_Sized, TPMT_SIGNATURE]: ...
    def certify(
        self,
        object_handle: ESYS_TR,
        sign_handle: ESYS_TR,
        qualifying_data: bytes,
        in_scheme: TPMT_SIG_SCHEME,
    ) -> tuple[_Sized, TPMT_SIGNATURE]: ...
    def nv_define_space(
        self, auth: None, public_info: TPM2B_NV_PUBLIC, auth_handle: ESYS_TR
    ) -> ESYS_TR: ...
    def nv_increment(self, nv_index: ESYS_TR, auth_handle: ESYS_TR) -> None: ...
    def nv_read(
        self, nv_index: ESYS_TR, size: int, offset: int, auth_handle: ESYS_TR
    ) -> _Sized: ...
    def nv_read_public(self, nv_index: ESYS_TR) -> tuple[TPM2B_NV_PUBLIC, object]: ...
    def read_clock(self) -> TPMS_TIME_INFO: ...
    def close(self) -> None: ...
