"""What stands on every page: the mode, whether trading runs, the exchanges' time, who is signed in, HALT.

The pages themselves are overview.py and its neighbours; the markup is `templates/base.html`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from console.actions import confirmation_of
from console.book_outlines import BookOutline
from console.desk import Desk
from console.freshness import freshness_of
from console.serving import address, serving_port
from resources.settings import Profile
from trading.clock import Phase
from trading.control import RunState, cooling, state_of
from trading.journal import RunControl

PAGES = (
    ("/", "Overview"),
    ("/approvals", "Approvals"),
    ("/intents", "Intents"),
    ("/positions", "Positions"),
    ("/orders", "Orders"),
    ("/incidents", "Incidents"),
    ("/weeks", "Weeks"),
    ("/slo", "Service levels"),
    ("/costs", "Costs"),
    ("/replays", "Replays"),
    ("/settings", "Settings"),
)
"""The pages that lead everywhere, in the order in which a morning goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Hold who looks: their name, what they may do, and the token that their forms carry."""

    name: str
    may_trade: bool
    is_admin: bool
    csrf_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTime:
    """Hold what time it is at an exchange; on simulated days each book has its own."""

    label: str
    at: datetime
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Hold what every page shows. `dagster` is where the graph's pages answer, empty while they do not.

    `state` is the one that holds back most of any account; `stale` says that quotes are behind. `confirm` is
    the word that ends the halt or pause in force, empty without one; `timezone` is the operator's.
    """

    mode: str
    control: RunControl
    state: RunState
    stale: bool
    confirm: str
    times: tuple[ExchangeTime, ...]
    timezone: str
    dagster: str
    visitor: Visitor
    path: str
    pages: tuple[tuple[str, str], ...] = PAGES


def frame_of(desk: Desk, visitor: Visitor, path: str) -> Frame:
    """Return the frame of a page for somebody."""
    control = desk.journal.run_control()
    port = serving_port(desk.settings)
    return Frame(
        mode=desk.lane,
        control=control,
        state=state_of(control, is_cooling=_is_cooling(desk)),
        stale=freshness_of(desk).stale,
        confirm=confirmation_of(control) if control.kill_switch_on or control.paused else "",
        times=_times(desk),
        timezone=desk.settings.display_timezone,
        dagster=address(port) if port is not None else "",
        visitor=visitor,
        path=path,
    )


def _is_cooling(desk: Desk) -> bool:
    """Say whether the breaker of some book's account is open."""
    cooldowns = desk.journal.cooldowns()
    return bool(cooldowns) and any(
        cooling(cooldowns, account=book.account, lane=desk.lane, now=at) is not None
        for book in desk.books.values()
        if (at := exchange_now(desk, book)) is not None
    )


def _times(desk: Desk) -> tuple[ExchangeTime, ...]:
    """Return one time an exchange, or one a book where each book has a day of its own."""
    is_simulated = desk.settings.profile is Profile.SIMULATED
    found = {}
    for book in desk.books.values():
        calendar = desk.calendar(book)
        at = exchange_now(desk, book)
        label = f"{book.name} {calendar.name}" if is_simulated else calendar.name
        if at is not None:
            found[label] = ExchangeTime(label=label, at=at, timezone=calendar.timezone)
    return tuple(found.values())


def exchange_now(desk: Desk, book: BookOutline) -> datetime | None:
    """Return the time of a book's exchange; on simulated days that of its latest step, `None` before any."""
    record = desk.latest(book)
    if record is None:
        return None
    if record.settled_at is not None:
        phase = Phase.SETTLE
    else:
        phase = Phase.DECIDE if record.decided_at is None else Phase.EXECUTE
    return desk.clock(book).now(record.session, phase)


def link_to(page: str, /, **asked: object) -> str:
    """Return a page's address with what is asked of it, without what is empty."""
    given = {name: str(value) for name, value in asked.items() if value not in {None, ""}}
    return f"{page}?{urlencode(given)}" if given else page


def session_link(dagster: str, book: str, asset: str, session: str) -> str:
    """Return where the graph's pages show one session of a stage with its runs; empty while they are down."""
    return f"{dagster}/assets/{book}/{asset}?view=partitions&partition={session}" if dagster else ""
