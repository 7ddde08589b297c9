"""Tokens of programs and people elsewhere: made once, shown once, kept as a digest, taken back at once.

A token is `ta_<id>_<secret>`. The id finds its row; the secret has 256 bits, so that its plain SHA-256 needs
no salt and no stretching. How a browser signs in is sign_in.py.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from console.web.identities import Actor, Role, require_name, role_named
from console.web.secret_file import SecretFile
from resources.settings import Settings
from trading.errors import BadInput, BadSetting, UnknownId

PREFIX = "ta"
SECRET_BYTES = 32
ID_BYTES = 4
LENGTH_MAX = 200
"""Longer than any token: nothing longer is looked at."""

DAYS_DEFAULT = 90
DAYS_MAX = 3650
FILE = "tokens.json"

FOLDER = "console"
"""Where a profile's tokens, links and stored answers lie."""

_NOBODY = sha256(b"").hexdigest()
"""Compared with where no row is found, so that the answer takes as long as for one that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Hold one token as it is kept: who it speaks for, and until when. The secret is not in it."""

    token_id: str
    name: str
    role: Role
    made_at: datetime
    expires_at: datetime
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """Hold a new token and its secret, this once."""

    token: Token
    secret: str


class Tokens:
    """Make, list, take back and recognise the tokens of one profile's console."""

    def __init__(self, folder: Path) -> None:
        """Take the console's folder in the profile; tokens of one profile say nothing in another."""
        self._file = SecretFile(folder / FILE)
        self._read_as: object = ()
        self._by_id: dict[str, Token] = {}

    def make(self, *, name: str, role: Role, now: datetime, days: int = DAYS_DEFAULT) -> NewToken:
        """Make a token for somebody; the secret in the answer is kept nowhere. Raises `BadInput`."""
        if not 1 <= days <= DAYS_MAX:
            raise BadInput(f"--days {days}: 1 to {DAYS_MAX}")
        token_id = secrets.token_hex(ID_BYTES)
        secret = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        token = Token(
            token_id=token_id,
            name=require_name(name),
            role=role,
            made_at=now,
            expires_at=now + timedelta(days=days),
            digest=digest_of(secret),
        )
        with self._file.changing() as rows:
            rows.append(_row(token))
        return NewToken(token=token, secret=secret)

    def all(self) -> tuple[Token, ...]:
        """Return all tokens, in the order made; raises `BadSetting` where their file is not safe."""
        return tuple(_token(row) for row in self._file.rows())

    def revoke(self, token_id: str) -> Token:
        """Take a token back: a server that runs knows at its next request. Raises `UnknownId`."""
        with self._file.changing() as rows:
            found = [row for row in rows if row.get("token_id") == token_id]
            if not found:
                raise UnknownId(f"token {token_id!r}: there is none; `trading tokens list` shows their ids")
            rows.remove(found[0])
        return _token(found[0])

    def recognise(self, secret: str, *, now: datetime) -> Actor | None:
        """Return whom a token speaks for, `None` where it is none of ours, or over."""
        self._refresh()
        parts = secret.split("_", 2)
        token = self._by_id.get(parts[1]) if len(parts) == 3 else None  # noqa: PLR2004 - prefix, id, secret
        is_right = hmac.compare_digest(digest_of(secret), token.digest if token else _NOBODY)
        if token is None or not is_right or now >= token.expires_at:
            return None
        return Actor(name=token.name, role=token.role, key=f"token {token.token_id}")

    def _refresh(self) -> None:
        """Read the file again where it changed; one that is not safe speaks for nobody."""
        state = self._file.state
        if state != self._read_as:
            self._by_id = {}
            self._by_id = {token.token_id: token for token in self.all()}
            self._read_as = state


def console_folder(settings: Settings) -> Path:
    """Return where the console of a profile keeps its tokens, links and answers."""
    return settings.profile_dir / FOLDER


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _row(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "role": token.role.value,
        "made_at": token.made_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "digest": token.digest,
    }


def _token(row: Mapping[str, Any]) -> Token:
    try:
        return Token(
            token_id=str(row["token_id"]),
            name=require_name(str(row["name"])),
            role=role_named(str(row["role"])),
            made_at=datetime.fromisoformat(row["made_at"]),
            expires_at=datetime.fromisoformat(row["expires_at"]),
            digest=str(row["digest"]),
        )
    except (KeyError, TypeError, ValueError, BadInput):
        raise BadSetting(f"{FILE}: a row is not a token of ours; revoke all, and make them anew") from None
