"""Ed25519: only the owner of a key can sign, and anything malformed verifies as false."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.adapters.signing import LEDGER_PREFIX, new_secret, public_key, sign, verify
from greenlight.core.errors import BadInput

SECRET = new_secret(lambda count: bytes(range(count)))
PUBLIC = public_key(SECRET)
DIGITS = string.ascii_letters + string.digits + "+/"


def test_the_first_example_of_the_rfc() -> None:
    """RFC 8032, section 7.1, test 1: an empty message."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    secret = new_secret(lambda _: seed)
    assert public_key(secret) == "ed25519:" + base64.b64encode(public).decode()
    assert base64.b64decode(sign(secret, b"")) == signature


def test_secrets_are_written_so_that_scanners_know_them() -> None:
    assert SECRET.startswith("glp_") and len(SECRET) == 47
    assert PUBLIC.startswith("ed25519:") and len(PUBLIC) == 52
    assert SECRET[4:] not in PUBLIC


def test_a_ledgers_key_is_told_from_a_persons() -> None:
    """G5: it signs like any other."""
    secret = new_secret(lambda count: bytes(range(count)), LEDGER_PREFIX)
    assert secret == "gll_" + SECRET[4:]
    assert verify(public_key(secret), b"data", sign(secret, b"data"))


@given(st.binary(), st.binary())
def test_a_signature_holds_for_its_bytes_only(data: bytes, other: bytes) -> None:
    signature = sign(SECRET, data)
    assert verify(PUBLIC, data, signature)
    assert verify(PUBLIC, other, signature) == (data == other)


def test_a_signature_holds_for_its_key_only() -> None:
    """G1: a person is proved by their own key."""
    other = public_key(new_secret(lambda count: b"x" * count))
    assert not verify(other, b"data", sign(SECRET, b"data"))


def test_a_key_has_one_spelling() -> None:
    """G1: base64 leaves two bits of a key's last digit unused, so that four texts are its bytes."""
    signature = sign(SECRET, b"data")
    last = PUBLIC[-2]
    others = [f"{PUBLIC[:-2]}{digit}=" for digit in DIGITS if digit != last]
    same = [
        other for other in others if base64.b64decode(other[8:]) == base64.b64decode(PUBLIC[8:])
    ]
    assert len(same) == 3
    assert not any(verify(other, b"data", signature) for other in others)


@given(st.text(), st.text())
def test_anything_malformed_is_false(public: str, signature: str) -> None:
    assert not verify(public, b"data", sign(SECRET, b"data"))
    assert not verify(PUBLIC, b"data", signature)


@pytest.mark.parametrize(
    "secret", ["", "glp_", SECRET[:-1], SECRET + "A", SECRET[4:], "glp_" + "é" * 43, PUBLIC]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(BadInput) as error:
        sign(secret, b"data")
    assert len(secret) < 5 or secret not in str(error.value)
