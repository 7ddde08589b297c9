"""The REST API's questions: what the command line's reading verbs show, as typed JSON. They change nothing.

What each view holds is made where the verb has it from (console/); its form is shapes.py, changes are
changing.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from console import approvals as pending_approvals
from console.actions import confirmation_of
from console.agreement import disagreements
from console.alerts import AlertLine, SilenceLine, alerts_of, silences_of
from console.approvals import Pending, Preview
from console.book_outlines import BookOutline, require_book
from console.deliveries import DeliveryFilter, DeliveryLine, Place, deliveries_of
from console.desk import Desk
from console.doctor import Diagnosis, diagnose
from console.explain import Explained, explain
from console.freshness import Freshness, freshness_of
from console.holdings import Holdings, holdings_of
from console.incidents import IncidentLine, incidents_of, planned_actions
from console.lookup import find_intent
from console.order_trace import Trace, trace
from console.orders import OrderLine, orders_of
from console.status import Progress, Status, progress_of, status_of
from console.stuck import Stuck, stuck_of
from console.web.described import PROBLEMS
from console.web.identities import Role
from console.web.paging import LIMIT_DEFAULT, LIMIT_MAX, cursor_of, named_by, page_of
from console.web.permission import needs
from console.web.shapes import list_of, listed, one, one_of
from console.why import WhyNot, why
from resources.setting_names import CHANNELS
from trading.alerts import Reason
from trading.errors import BadInput
from trading.findings import STUCK_AFTER
from trading.incident_log import Action
from trading.journal import Cooldown, Halt, JournalIntent, OutboxMessage, RunControl, SessionRecord
from trading.lifecycle import IntentState

BookQuery = Annotated[str | None, Query(description="One book; all when left out.", examples=["us_five"])]
SessionQuery = Annotated[
    date | None,
    Query(description="A session; each book's latest one when left out.", examples=["2013-02-28"]),
]
ReasonQuery = Annotated[Reason | None, Query(description="What came of the attempt; all when left out.")]
ChannelQuery = Annotated[
    str | None,
    Query(description=f"One of {', '.join(CHANNELS)}; all when left out.", max_length=60),
]
SinceQuery = Annotated[date | None, Query(description="From this day of UTC on.", examples=["2013-02-28"])]
CursorQuery = Annotated[
    str | None, Query(description="Where the page begins: `next` of the one before.", max_length=2000)
]
LimitQuery = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many items at most.")]
IdPath = Annotated[
    str,
    Path(
        description="An intent, its key, an order (ours or the broker's), an execution, or SYMBOL@SESSION; "
        "any unique beginning will do.",
        examples=["AAPL@2013-02-28"],
        max_length=200,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOfSession:
    """Hold what became of one intent of a session; `order` is its line as `trading orders` has it."""

    book: str
    session: date
    currency: str
    order: OrderLine


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """Hold how far one session of a book has come; instants are null until a step is taken."""

    book: str
    session: date
    progress: Progress
    decided_at: datetime | None
    settled_at: datetime | None
    carried_by: str
    refused: str
    currency: str
    cash_micros: int | None
    realised_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlInForce:
    """Hold the run control in force; `confirm` is the word that ends the halt or pause, empty without one."""

    control: RunControl
    confirm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickLook:
    """Hold whether journal, audit log and lake belong together; every row is compared by `trading verify`."""

    agrees: bool
    disagreements: tuple[str, ...]


def at_one_moment(view: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a view be of one moment of the journal, however often it looks."""

    @functools.wraps(view)
    def looked(request: Request, *values: Any, **named: Any) -> dict[str, Any]:
        desk = desk_of(request)
        with desk.journal.at_one_moment() as journal:
            request.state.desk = replace(desk, journal=journal)
            return view(request, *values, **named)

    return looked


NUMBER_MAX = 2**62
"""Above every number that a row is known by, and what a database still takes."""

router = APIRouter(dependencies=[needs(Role.VIEWER)], responses=PROBLEMS)


@router.get("/status", tags=["look"], response_model=one_of(Status))
@at_one_moment
def status(request: Request, book: BookQuery = None, session: SessionQuery = None) -> dict[str, Any]:
    """Return the morning check: one verdict, how far each book is, its funnel, P&L, what needs a person."""
    desk, fresh = look(request, book)
    return one(status_of(desk, book=book, session=session), fresh)


@router.get("/why", tags=["look"], response_model=list_of(WhyNot))
@at_one_moment
def why_not(request: Request, book: BookQuery = None, session: SessionQuery = None) -> dict[str, Any]:
    """Return for each book why nothing was traded: the first stage at zero and its reason."""
    desk, fresh = look(request, book)
    return listed([why(desk, book=outline, session=session) for outline in desk.chosen(book)], fresh)


@router.get("/approvals", tags=["approvals"], response_model=list_of(Pending))
@at_one_moment
def approvals(
    request: Request, book: BookQuery = None, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT
) -> dict[str, Any]:
    """Return what waits for a person, the soonest to expire first."""
    desk, fresh = look(request, book)
    rows = pending_approvals.pending_of(desk, book)
    page, following = page_of(rows, lambda row: [row.intent_id], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/approvals/{identity}", tags=["approvals"], response_model=one_of(Preview))
@at_one_moment
def preview(request: Request, identity: IdPath) -> dict[str, Any]:
    """Return what an approval would do, and what it has to name: `payload_hash` and `version`."""
    desk, fresh = look(request, None)
    return one(pending_approvals.preview(desk, find_intent(desk, identity)), fresh)


@router.get("/intents", tags=["intents"], response_model=list_of(JournalIntent))
@at_one_moment
def intents(
    request: Request,
    *,
    book: BookQuery = None,
    session: SessionQuery = None,
    state: Annotated[IntentState | None, Query(description="Only those in this state.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return the intents of a session, in the order in which they execute."""
    desk, fresh = look(request, book)
    rows = [
        row
        for outline in desk.chosen(book)
        if (asked := desk.session(outline, session)) is not None
        for row in desk.journal.intents(book=outline.name, lane=desk.lane, session=asked)
        if state is None or row.state is state
    ]
    page, following = page_of(rows, lambda row: [row.intent_id], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/intents/{identity}", tags=["intents"], response_model=one_of(Explained))
@at_one_moment
def explained(request: Request, identity: IdPath) -> dict[str, Any]:
    """Return an intent and what each guard said of it: observed, limit, the largest quantity that passes."""
    desk, fresh = look(request, None)
    return one(explain(desk, identity), fresh)


@router.get("/positions", tags=["look"], response_model=list_of(Holdings))
@at_one_moment
def positions(request: Request, book: BookQuery = None, session: SessionQuery = None) -> dict[str, Any]:
    """Return what each book holds after a settled session: cash, shares, cost, worth."""
    desk, fresh = look(request, book)
    return listed([holdings_of(desk, outline, session) for outline in desk.chosen(book)], fresh)


@router.get("/orders", tags=["orders"], response_model=list_of(OrderOfSession))
@at_one_moment
def orders(
    request: Request,
    *,
    book: BookQuery = None,
    session: SessionQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return what became of each intent of a session: blocked, waiting, sent, filled, at what price."""
    desk, fresh = look(request, book)
    rows = [
        OrderOfSession(book=found.book, session=found.session, currency=found.currency, order=order)
        for outline in desk.chosen(book)
        if (found := orders_of(desk, outline, session)).session is not None
        for order in found.orders
    ]
    page, following = page_of(rows, lambda row: [row.order.intent_id], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/orders/{identity}", tags=["orders"], response_model=one_of(Trace))
@at_one_moment
def traced(request: Request, identity: IdPath) -> dict[str, Any]:
    """Return where an order came from: quotes, score, verdicts, advice, approver, sends, fills, result."""
    desk, fresh = look(request, None)
    return one(trace(desk, identity), fresh)


@router.get("/stuck", tags=["orders"], response_model=list_of(Stuck))
@at_one_moment
def stuck(
    request: Request,
    book: BookQuery = None,
    older_than_s: Annotated[int, Query(ge=0, le=10**9, description="For how many seconds at least.")] = int(
        STUCK_AFTER.total_seconds()
    ),
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return intents whose outcome at the broker is not proven for too long, the longest first."""
    desk, fresh = look(request, book)
    rows = stuck_of(desk, book=book, older_than_s=older_than_s)
    page, following = page_of(rows, lambda row: [row.intent_id], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/sessions", tags=["look"], response_model=list_of(SessionLine))
@at_one_moment
def sessions(
    request: Request,
    book: Annotated[str, Query(description="A book.", examples=["us_five"])],
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return the sessions of a book, the latest first."""
    desk, fresh = look(request, book)
    outline = require_book(desk.books, book)
    found = desk.journal.sessions(
        book=book, lane=desk.lane, last=limit + 1, before=_day(cursor) if cursor is not None else None
    )
    page = found[::-1][:limit]
    following = cursor_of([page[-1].session.isoformat()]) if len(found) > limit else None
    return listed([_session_line(desk, outline, row) for row in page], fresh, following=following)


@router.get("/incidents", tags=["incidents"], response_model=list_of(IncidentLine))
@at_one_moment
def incidents(
    request: Request, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT
) -> dict[str, Any]:
    """Return the incidents, the latest first: what each halts, who took it on or answered it, what to do."""
    desk, fresh = look(request, None)
    rows = incidents_of(desk)
    page, following = page_of(rows, lambda row: [str(row.incident_id)], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/incidents/actions", tags=["incidents"], response_model=list_of(Action))
@at_one_moment
def incident_actions(
    request: Request,
    *,
    book: BookQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return who is to do what by when so that incidents do not happen again, what is open first."""
    desk, fresh = look(request, book)
    rows = planned_actions(desk, book=book)
    page, following = page_of(
        rows, lambda row: [str(row.incident_id), str(row.number)], cursor=cursor, limit=limit
    )
    return listed(page, fresh, following=following)


@router.get("/halts", tags=["incidents"], response_model=list_of(Halt))
@at_one_moment
def halts(request: Request, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the accounts and instruments that are halted; `POST /halts/lift` ends one as it is here."""
    desk, fresh = look(request, None)
    rows = desk.journal.halts()
    page, following = page_of(rows, lambda row: [row.account, row.symbol], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/cooldowns", tags=["incidents"], response_model=list_of(Cooldown))
@at_one_moment
def cooldowns(
    request: Request, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT
) -> dict[str, Any]:
    """Return each account's last cooldown, over or not; `POST /cooldowns/end` ends one as it is here."""
    desk, fresh = look(request, None)
    rows = [row for row in desk.journal.cooldowns() if row.lane == desk.lane]
    page, following = page_of(rows, lambda row: [row.account], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/alerts", tags=["incidents"], response_model=list_of(AlertLine))
@at_one_moment
def alerts(
    request: Request,
    *,
    book: BookQuery = None,
    ended: Annotated[bool, Query(description="Those that are over, too.")] = False,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return the alerts that fire, the worst first: acknowledged, silenced and inhibited ones as well."""
    desk, fresh = look(request, book)
    rows = alerts_of(desk, book=book, is_all=ended)
    page, following = page_of(rows, lambda row: [row.fingerprint], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/silences", tags=["incidents"], response_model=list_of(SilenceLine))
@at_one_moment
def silences(
    request: Request, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT
) -> dict[str, Any]:
    """Return all silences, in force or over, the latest first."""
    desk, fresh = look(request, None)
    rows = silences_of(desk)
    page, following = page_of(rows, lambda row: [row.silence_id], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/messages", tags=["incidents"], response_model=list_of(OutboxMessage))
@at_one_moment
def messages(
    request: Request, cursor: CursorQuery = None, limit: LimitQuery = LIMIT_DEFAULT
) -> dict[str, Any]:
    """Return the messages to people, delivered or not, the latest first."""
    desk, fresh = look(request, None)
    rows = desk.journal.outbox()[::-1]
    page, following = page_of(rows, lambda row: [str(row.outbox_id)], cursor=cursor, limit=limit)
    return listed(page, fresh, following=following)


@router.get("/deliveries", tags=["incidents"], response_model=list_of(DeliveryLine))
@at_one_moment
def deliveries(
    request: Request,
    *,
    reason: ReasonQuery = None,
    channel: ChannelQuery = None,
    since: SinceQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT_DEFAULT,
) -> dict[str, Any]:
    """Return the attempts to tell people by what came of each and by channel, the latest message first."""
    desk, fresh = look(request, None)
    wanted = DeliveryFilter(reason=reason, channel=channel, since=since)
    before = None if cursor is None else _place_of(named_by(cursor))
    found = deliveries_of(desk, wanted, last=limit + 1, before=before)
    page = found[:limit]
    following = cursor_of(_name_of(page[-1])) if len(found) > limit else None
    return listed(page, fresh, following=following)


def _name_of(row: DeliveryLine) -> list[str]:
    return [str(row.outbox_id), str(row.attempt)]


def _place_of(name: list[str]) -> Place:
    """Return where a page of the delivery log begins; raises `BadInput`."""
    try:
        outbox_id, attempt = map(int, name)
    except ValueError as error:
        raise BadInput("cursor: names no row of this list; begin without one") from error
    if not (0 <= outbox_id <= NUMBER_MAX and 0 <= attempt <= NUMBER_MAX):
        raise BadInput("cursor: names no row of this list; begin without one")
    return outbox_id, attempt


@router.get("/control", tags=["control"], response_model=one_of(ControlInForce))
@at_one_moment
def control(request: Request) -> dict[str, Any]:
    """Return whether trading runs, is paused or halted, by whom and why, and the word that ends that."""
    desk, fresh = look(request, None)
    found = desk.journal.run_control()
    confirm = confirmation_of(found) if found.kill_switch_on or found.paused else ""
    return one(ControlInForce(control=found, confirm=confirm), fresh)


@router.get("/verify", tags=["look"], response_model=one_of(QuickLook))
@at_one_moment
def verify(request: Request) -> dict[str, Any]:
    """Return whether the stores belong together at all, by a quick look."""
    desk, fresh = look(request, None)
    found = disagreements(desk)
    return one(QuickLook(agrees=not found, disagreements=found), fresh)


@router.get("/doctor", tags=["look"], response_model=one_of(Diagnosis))
def doctor(request: Request) -> dict[str, Any]:
    """Return whether this installation is fit to trade, each check with what to do about it."""
    desk, fresh = look(request, None)
    return one(diagnose(lambda: desk), fresh)


def desk_of(request: Request) -> Desk:
    """Return the desk that the server looks at, for a view that of its moment."""
    desk: Desk = getattr(request.state, "desk", request.app.state.desk)
    return desk


def look(request: Request, book: str | None) -> tuple[Desk, Freshness]:
    """Return the desk, and how fresh a look at a book, or at all of them, is."""
    desk = desk_of(request)
    return desk, freshness_of(desk, desk.chosen(book))


def _day(cursor: str) -> date:
    name = named_by(cursor)
    try:
        return date.fromisoformat(name[0])
    except (ValueError, IndexError) as error:
        raise BadInput("cursor: names no session; begin without one") from error


def _session_line(desk: Desk, book: BookOutline, row: SessionRecord) -> SessionLine:
    # Of a settled session the row alone says how far it is.
    intents = (
        desk.journal.intents(book=book.name, lane=desk.lane, session=row.session)
        if row.settled_at is None
        else []
    )
    return SessionLine(
        book=row.book,
        session=row.session,
        progress=progress_of(row, intents),
        decided_at=row.decided_at,
        settled_at=row.settled_at,
        carried_by=row.carried_by,
        refused=row.refused,
        currency=book.currency,
        cash_micros=row.closing.cash_micros if row.closing else None,
        realised_micros=row.closing.realised_micros if row.closing else None,
    )
