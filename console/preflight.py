"""Whether live execution of each book would be denied, and for what. Reads no secret.

Whether the routes lead anywhere is asked by a process of its own (route_looks.py).
The rule is trading/preflight.py; it stands in front of a live broker in resources/profiles.py too.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from console.desk import Desk
from console.route_looks import RouteSeen, routes_seen
from console.signals import why_held
from resources.advisor_ladder import ladder_log
from resources.evidence_ledger import read_ledger
from resources.settings import PREFIX, Profile, given_variables
from trading.errors import BadSetting
from trading.preflight import OK, REMEDIES, LiveFacts, denials
from trading.promotion import Token
from trading.values import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class BookPreflight:
    """Hold one book's answer: `code` is the first denial or OK, `denials` each with what to do about it."""

    book: str
    code: str
    denials: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Hold the answers of all books, and the profile they are given in.

    `routes` are the adapters over a network that the books' routes name, and whether each can take orders.
    """

    profile: str
    is_ok: bool
    books: tuple[BookPreflight, ...]
    routes: tuple[RouteSeen, ...]


def preflight(desk: Desk, *, book: str | None = None) -> Preflight:
    """Return what live execution is denied for, by book; raises `BadSetting` where limits cannot be read."""
    settings, given = desk.settings, given_variables()
    books = []
    for name in sorted(outline.name for outline in desk.chosen(book)):
        facts = LiveFacts(
            is_execution_enabled=settings.execution_enabled,
            is_live_allowed=settings.live_allowed and settings.profile is Profile.LIVE,
            has_app_key=bool(given.get(f"{PREFIX}BROKER_APP_KEY")),
            has_app_secret=bool(given.get(f"{PREFIX}BROKER_APP_SECRET")),
            account_no=settings.broker_account_no or "",
            base_url=settings.broker_base_url or "",
            allowlist=_allowlist(name, settings.config_dir / "limits.toml"),
            promotion=_promotion(desk, name),
            are_signals_held=bool(why_held(desk, name)),
            is_advisor_stepped_back=ladder_log(desk.journal, name).stepped_back is not None,
        )
        found = denials(facts)
        books.append(
            BookPreflight(
                book=name,
                code=found[0].value if found else OK,
                denials=tuple((denial.value, REMEDIES[denial]) for denial in found),
            )
        )
    routes = routes_seen(desk, [one.book for one in books])
    return Preflight(
        profile=settings.profile.value,
        is_ok=all(one.code == OK for one in books) and all(route.is_ok for route in routes),
        books=tuple(books),
        routes=routes,
    )


def _promotion(desk: Desk, book: str) -> Token:
    """Return how a book's promotion stands: missing at once where nothing was ever filed."""
    if not read_ledger(desk.journal).rows:
        return Token.MISSING
    from resources.profiles import Profiled

    return Profiled(desk.settings).promotion(book)


def _allowlist(book: str, path: Path) -> tuple[Symbol, ...]:
    """Return a book's allowlist as the file has it; reading verbs read plainly."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        own = content.get(book, {}).get("allowlist", content["default"].get("allowlist", []))
    except (OSError, ValueError, KeyError) as error:
        raise BadSetting(f"{path}: {error}; restore the file, without limits nothing is traded") from error
    return tuple(Symbol(symbol) for symbol in own)
