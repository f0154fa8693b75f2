"""Keys that replace identities, and what may leave the catalogue.

The catalogue holds paths and UIDs and is private as a whole. Everything downstream of it
(stores, runs, reports, logs) names patients, studies and stacks by these keys only, which
only the holder of the catalogue's salt can trace back. That is pseudonymised, never anonymised.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from dicomgeom.errors import WrongUse

KEY_BYTES = 16
"""Length of a key: 128 bits of an HMAC-SHA256."""

MINIMUM_SALT_BYTES = 16
"""A shorter salt could be found by trying them all."""

SPLIT_KEY = b"anatprep: which split a patient belongs to"
"""Not a secret, and separate from the salt: two catalogues of the same patients split alike."""


def new_salt() -> bytes:
    """Make 32 random bytes."""
    return secrets.token_bytes(32)


def read_salt(path: Path) -> bytes:
    """Read a salt from a file: its bytes as they are, without surrounding white space."""
    try:
        salt = path.read_bytes().strip()
    except OSError as error:
        raise WrongUse(f"salt file {path} cannot be read ({error.strerror}); give a readable file") from error
    if len(salt) < MINIMUM_SALT_BYTES:
        raise WrongUse(f"salt file {path} holds {len(salt)} bytes; at least {MINIMUM_SALT_BYTES} are needed")
    return salt


def hashed(salt: bytes, text: str) -> bytes:
    """Key of an identity: the first 16 bytes of HMAC-SHA256(salt, text)."""
    return hmac.new(salt, text.encode("utf-8"), hashlib.sha256).digest()[:KEY_BYTES]


def split_position(patient: str) -> float:
    """Where a patient stands in [0, 1) when patients are split: equal in every catalogue.

    Sixteen bits: enough to split by, too few to tell patients apart by.
    """
    digest = hmac.new(SPLIT_KEY, patient.encode("utf-8"), hashlib.sha256).digest()
    return int.from_bytes(digest[:2], "big") / 65536
