"""The key that signs checkpoints of the audit log (Ed25519), in a folder beside the log.

The private half never leaves the folder and is in no log or report. The public half is what people take
away: with it, and nothing else, anybody can verify a log. What is signed is trading/audit.py.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from trading.audit import Sign, Signatory
from trading.errors import BadSetting

PRIVATE_NAME = "audit_ed25519"
PUBLIC_NAME = "audit_ed25519.pub"
NEW_NAME = "audit_ed25519.new"
"""The private half until its first signature is on disk: a crash between the two is told from a tampering."""

KEY_ID_DIGITS = 16
"""Hexadecimal digits of a key's id: the beginning of the digest of its public half."""


class SigningKey(NamedTuple):
    """Hold what signs, and whose signatures they are."""

    signatory: Signatory
    sign: Sign


def has_key(folder: Path) -> bool:
    """Say whether a folder's key has signed: either half of it is there, and it is not still a new one."""
    is_new = (folder / NEW_NAME).exists()
    return (folder / PRIVATE_NAME).exists() or ((folder / PUBLIC_NAME).exists() and not is_new)


def signing_key(folder: Path, *, may_make: bool) -> SigningKey:
    """Return the key of a folder, made where there is none and `may_make`.

    Put it in use once what it signed first is on disk. Raises `BadSetting` where there is none and it may
    not be made, where others could read it, and where its halves are no pair.
    """
    path = folder / PRIVATE_NAME
    if not path.exists() and not (folder / NEW_NAME).exists():
        if not may_make or has_key(folder):
            raise BadSetting(
                f"signing key {path}: is missing, but checkpoints were signed with it or its public half is"
                " there; restore it from a copy, or move the log, its checkpoints and the keys away together"
                " to begin anew"
            )
        _make(folder)
    private = _private(path if path.exists() else folder / NEW_NAME)
    _put_public(folder / PUBLIC_NAME, private.public_key())
    return SigningKey(_signatory(private.public_key()), private.sign)


def put_in_use(folder: Path) -> None:
    """Say of a new key that it has signed: from here on its signatures must be there."""
    if (folder / NEW_NAME).exists() and not (folder / PRIVATE_NAME).exists():
        (folder / NEW_NAME).rename(folder / PRIVATE_NAME)
        sync_folder(folder)


def signatory_of(path: Path) -> Signatory:
    """Return whose signatures a public key tells; raises `BadSetting` where the file holds none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError as error:
        raise BadSetting(f"public key {path}: is missing; put back the copy that was taken away") from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BadSetting(f"public key {path}: cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadSetting(f"public key {path}: is no Ed25519 key")
    return _signatory(key)


def _signatory(key: Ed25519PublicKey) -> Signatory:
    def is_signed(content: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signatory(key_id=hashlib.sha256(raw).hexdigest()[:KEY_ID_DIGITS], is_signed=is_signed)


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        is_open = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        if is_open:
            raise BadSetting(f"signing key {path}: others can read it; chmod 600, and ask who did")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        # Not the parser's own words: they may quote what it could not read.
        raise BadSetting(
            f"signing key {path}: cannot be read ({type(error).__name__}); restore it from a copy"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSetting(f"signing key {path}: is no Ed25519 key")
    return key


def _make(folder: Path) -> None:
    """Put a new private key in a folder, whole and durable or not at all; the first of two makers wins."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before anything is signed, so that a power loss never leaves checkpoints without their key.
    sync_folder(folder.parent)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _put_new(folder / NEW_NAME, pem, mode=0o600)


def _put_public(path: Path, key: Ed25519PublicKey) -> None:
    """Put the public half beside the private one; raises `BadSetting` where another one is there."""
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not path.exists():
        _put_new(path, pem, mode=0o644)
    if path.read_bytes() != pem:
        raise BadSetting(
            f"public key {path}: is not of the key beside it; compare it with the copy taken away"
        )


def _put_new(path: Path, content: bytes, *, mode: int) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as their content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
