"""How a browser signs in: by a link that works once and for a minute, for a session that its cookie names.

The link's code is written to a file by `trading console` and taken out of it by the server: whoever can write
the state folder may sign in. Sessions live in the server alone and end with it. Tokens are tokens.py.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from console.web.identities import Actor, Role, require_name, role_named
from console.web.secret_file import SecretFile
from console.web.tokens import SECRET_BYTES, digest_of

LINK_S_MAX = 60
"""How long a one-time link is good for."""

IDLE_MAX = timedelta(hours=8)
SESSION_MAX = timedelta(hours=16)
"""Nobody is signed in longer than a long day, or after hours without a request."""

SESSIONS_MAX = 200
FILE = "links.json"
SIGN_IN_PATH = "/sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Hold a browser that is signed in."""

    actor: Actor
    began_at: datetime
    seen_at: datetime


class Links:
    """Keep the one-time links that were printed and not yet used."""

    def __init__(self, folder: Path) -> None:
        """Take the console's folder in the profile."""
        self._file = SecretFile(folder / FILE)

    def issue(self, *, name: str, role: Role, now: datetime) -> str:
        """Return the code of a new link, good once within a minute; kept is its digest."""
        code = secrets.token_urlsafe(SECRET_BYTES)
        row = {
            "digest": digest_of(code),
            "name": require_name(name),
            "role": role.value,
            "at": now.isoformat(),
        }
        with self._file.changing() as rows:
            rows[:] = [one for one in rows if _is_good(one, now)] + [row]
        return code

    def has(self, code: str) -> bool:
        """Say whether a code is one of ours; nothing is taken, and nobody waited for."""
        wanted = digest_of(code)
        return any(secrets.compare_digest(str(row.get("digest", "")), wanted) for row in self._file.rows())

    def redeem(self, code: str, *, now: datetime) -> tuple[str, Role] | None:
        """Return who signs in by a code, and take it out, so that nobody does again; else `None`."""
        wanted = digest_of(code)
        with self._file.changing() as rows:
            found = [row for row in rows if secrets.compare_digest(str(row.get("digest", "")), wanted)]
            rows[:] = [row for row in rows if row not in found and _is_good(row, now)]
        good = [row for row in found if _is_good(row, now)]
        return (str(good[0]["name"]), role_named(str(good[0]["role"]))) if good else None


class Sessions:
    """Keep the browsers that are signed in, by the digest of what their cookie says."""

    def __init__(self) -> None:
        self._by_digest: dict[str, Session] = {}

    def begin(self, *, name: str, role: Role, now: datetime) -> str:
        """Return the cookie of a new session."""
        cookie = secrets.token_urlsafe(SECRET_BYTES)
        key = digest_of(cookie)
        actor = Actor(
            name=name, role=role, key=f"browser {key[:12]}", csrf_token=secrets.token_urlsafe(SECRET_BYTES)
        )
        self._forget_the_oldest()
        self._by_digest[key] = Session(actor=actor, began_at=now, seen_at=now)
        return cookie

    def recognise(self, cookie: str, *, now: datetime) -> Actor | None:
        """Return who a cookie says is signed in, `None` where nobody is, or not any more."""
        # Found by the digest of 256 random bits: what a lookup's time could tell is of no use to a guesser.
        key = digest_of(cookie)
        session = self._by_digest.get(key)
        if session is None:
            return None
        if now - session.seen_at > IDLE_MAX or now - session.began_at > SESSION_MAX:
            del self._by_digest[key]
            return None
        self._by_digest[key] = Session(actor=session.actor, began_at=session.began_at, seen_at=now)
        return session.actor

    def end(self, actor: Actor) -> None:
        """Sign a browser out."""
        self._by_digest = {
            key: session for key, session in self._by_digest.items() if session.actor.key != actor.key
        }

    def _forget_the_oldest(self) -> None:
        while len(self._by_digest) >= SESSIONS_MAX:
            del self._by_digest[min(self._by_digest, key=lambda key: self._by_digest[key].seen_at)]


def _is_good(row: dict[str, object], now: datetime) -> bool:
    try:
        age = now - datetime.fromisoformat(str(row["at"]))
    except (KeyError, ValueError):
        return False
    return timedelta(0) <= age <= timedelta(seconds=LINK_S_MAX)
