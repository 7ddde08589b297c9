"""Whether a decision's window gave signals: looked at before each scan, kept, and told while it is not so.

Shared by the stage `candidates`, which looks whether it goes on or refuses. What a window means is
trading/signal_continuity.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from trading.alerts import (
    SIGNALS_LATCHED,
    AlertKeeper,
    AlertPolicy,
    Deliverer,
    evaluate_watched,
    judged_watched,
    tell,
)
from trading.candidates import Candidate, Chosen
from trading.errors import LakeError
from trading.inputs import CONTRACT_VIOLATION, InputRow, InputSource, InputStatus
from trading.quotes import AcceptedQuotes
from trading.signal_continuity import Poll, SignalKeeper, Window, due_at, session_state_at, window_of
from trading_assets.stage import BookGraph

LOOKED_BACK_SESSIONS = 10
"""How far back the end of the stream, and the symbols that are traded, are looked for."""

UNSEEN = frozenset({Chosen.NO_QUOTE, Chosen.INSUFFICIENT_HISTORY})
"""What a scan says of a symbol that it could not judge: no signal, whatever its price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Hold what tells people of a latch."""

    policy: AlertPolicy
    keeper: AlertKeeper
    notifier: Deliverer


def keep_window(
    graph: BookGraph,
    session: date,
    *,
    signals: SignalKeeper,
    accepted: AcceptedQuotes,
    inputs: Sequence[InputRow],
    scanned: Sequence[Candidate] | None,
    told: Told,
    now: datetime,
) -> Window:
    """Store what one look for a session's signals found, and tell of a latch that is set or over.

    `scanned` is `None` where the scan refused: then the quotes that were there count, whatever held it up.
    """
    where = {"book": graph.name, "lane": graph.lane}
    read = signals.window_before(**where, session=session)
    poll = _poll(
        graph,
        session,
        cursor=read.read_to if read is not None else None,
        accepted=accepted,
        quotes=next((row for row in inputs if row.source is InputSource.MARKET_QUOTE), None),
        scanned=scanned,
        now=now,
    )
    window = window_of(poll, book=graph.name, session=session, earlier=signals.last_window(**where))
    is_new = signals.keep(window, lane=graph.lane, now=now)
    if is_new and (window.after.is_set or window.before.is_set):
        _tell(graph, window, told, now=now)
    return window


def _poll(
    graph: BookGraph,
    session: date,
    *,
    cursor: date | None,
    accepted: AcceptedQuotes,
    quotes: InputRow | None,
    scanned: Sequence[Candidate] | None,
    now: datetime,
) -> Poll:
    earlier = graph.calendar.before(session, LOOKED_BACK_SESSIONS)
    tail = next((day for day in reversed(earlier) if accepted.has_all([day])), None)
    due = due_at(graph.calendar, now)
    is_read = quotes is not None and quotes.status is InputStatus.READY
    has_advanced = tail is not None and (cursor is None or tail > cursor)
    rows = quotes.records if quotes is not None and is_read and has_advanced else 0
    seen = rows if scanned is None else sum(1 for row in scanned if row.reason not in UNSEEN)
    is_invalid = quotes is not None and CONTRACT_VIOLATION in quotes.error_codes
    return Poll(
        looked_at=now,
        session_state=session_state_at(graph.calendar, now),
        is_configured=tail is not None or cursor is not None,
        universe=_universe(session, accepted, scanned),
        invalid=quotes.remark if quotes is not None and is_invalid else "",
        cursor=cursor,
        tail=tail,
        rows=rows,
        signals=min(seen, rows),
        due=min(due[0], earlier[-1]) if due and earlier else None,
        due_at=due[1] if due and earlier else None,
    )


def _universe(session: date, accepted: AcceptedQuotes, scanned: Sequence[Candidate] | None) -> int | None:
    """Return how many symbols are known to be traded, `None` where nobody can say."""
    if scanned is not None:
        return len(scanned)
    try:
        return len(accepted.last_before(session, LOOKED_BACK_SESSIONS)) or None
    except LakeError:
        return None


def _tell(graph: BookGraph, window: Window, told: Told, *, now: datetime) -> None:
    watched = {SIGNALS_LATCHED: int(window.after.is_set)}
    alerts = evaluate_watched(watched, told.policy.rules, book=graph.name, session=window.session)
    tell(
        alerts,
        codes=judged_watched(watched, told.policy.rules),
        keeper=told.keeper,
        policy=told.policy,
        book=graph.name,
        session=window.session,
        now=now,
    )
    told.notifier.deliver(now)
