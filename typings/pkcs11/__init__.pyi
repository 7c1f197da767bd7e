# What flopgate uses of python-pkcs11, which has no types and is an extra: linting goes without it.

from enum import IntEnum
from typing import Any

class PKCS11Error(RuntimeError): ...

class ObjectClass(IntEnum):
    PUBLIC_KEY = 2
    PRIVATE_KEY = 3

class Attribute(IntEnum):
    EC_POINT = 0x181

class Mechanism(IntEnum):
    ECDSA = 0x1041

class Key:
    def __getitem__(self, attribute: Attribute) -> bytes: ...
    def sign(self, data: bytes, *, mechanism: Mechanism) -> bytes: ...

class Session:
    def get_key(self, *, object_class: ObjectClass, label: str) -> Key: ...
    def close(self) -> None: ...

class Token:
    def open(self, *, user_pin: str) -> Session: ...

class Library:
    def get_token(self, *, token_label: str) -> Token: ...

def lib(so: str) -> Library: ...
def __getattr__(name: str) -> Any: ...
