"""Ed25519 signatures (RFC 8032): a secret stays with its owner, the public key is for everyone.

A secret is written `glp_<base64url of the 32-byte seed>`, the installation's own, which signs the
head of its ledger, `gll_…`; a public key `ed25519:<base64 of 32 bytes>`, a signature as base64 of
64 bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from greenlight.core.errors import BadInput

SECRET_PREFIX = "glp_"
LEDGER_PREFIX = "gll_"
PUBLIC_PREFIX = "ed25519:"
SEED_BYTES = 32


def new_secret(random: Callable[[int], bytes], prefix: str = SECRET_PREFIX) -> str:
    """A new secret, a person's by default; `random(n)` gives n bytes from a cryptographic
    generator."""
    seed = random(SEED_BYTES)
    return prefix + base64.urlsafe_b64encode(seed).decode().rstrip("=")


def public_key(secret: str) -> str:
    """The public key that belongs to a secret.

    Raises:
        BadInput: the text is no secret (the message does not repeat it).
    """
    raw = _private(secret).public_key().public_bytes_raw()
    return PUBLIC_PREFIX + base64.b64encode(raw).decode()


def sign(secret: str, data: bytes) -> str:
    """Sign `data`.

    Raises:
        BadInput: the text is no secret (the message does not repeat it).
    """
    return base64.b64encode(_private(secret).sign(data)).decode()


def verify(public: str, data: bytes, signature: str) -> bool:
    """Whether the owner of the public key signed exactly `data`; False for anything malformed.

    That includes a key that is spelt in another way, so that one key is never taken for two.
    """
    if not public.startswith(PUBLIC_PREFIX):
        return False
    try:
        raw = base64.b64decode(public.removeprefix(PUBLIC_PREFIX), validate=True)
        if PUBLIC_PREFIX + base64.b64encode(raw).decode() != public:
            return False
        signed = base64.b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(signed, data)
    except (ValueError, InvalidSignature):
        return False
    return True


def _private(secret: str) -> Ed25519PrivateKey:
    prefix, body = secret[: len(SECRET_PREFIX)], secret[len(SECRET_PREFIX) :]
    try:
        seed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        seed = b""
    if prefix not in (SECRET_PREFIX, LEDGER_PREFIX) or len(seed) != SEED_BYTES:
        raise BadInput(
            f"that is no key: expected {SECRET_PREFIX} (a person's) or {LEDGER_PREFIX} (a "
            "ledger's) and 43 characters"
        )
    return Ed25519PrivateKey.from_private_bytes(seed)
