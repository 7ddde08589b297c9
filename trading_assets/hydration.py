"""How a session's inputs are read: which question each origin is asked, and what is wrong with an answer.

Shared by the stage `input_envelopes`, which keeps what was read, and by `trading inputs smoke`, which only
looks. The rules of reading are trading/inputs.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

from trading.brokers import Broker
from trading.inputs import (
    ORIGINS,
    Ask,
    Failed,
    InputRow,
    InputSource,
    Origin,
    Record,
    broker_order_payload,
    hydrated,
    journal_order_payload,
    orders_refused,
    quote_payload,
    quotes_refused,
    status_payload,
    statuses_refused,
)
from trading.journal import Journal
from trading.order_tables import order_status_rows
from trading.quotes import AcceptedQuotes, WindowReader
from trading_assets.stage import BookGraph

Payloads = Iterable[Mapping[str, Any]]

REAL, MOCK = "real", "mock"


def hydrated_rows(
    graph: BookGraph,
    session: date,
    *,
    windows: Mapping[str, WindowReader],
    accepted: AcceptedQuotes,
    brokers: Mapping[str, Broker],
    journal: Journal,
    now: datetime,
) -> tuple[InputRow, ...]:
    """Return every source of a session's scan as it is now, each from the first of its origins that answers.

    Nothing is sent and nothing is stored.
    """
    asks = _asks(graph, session, windows=windows, brokers=brokers, journal=journal, now=now)
    left = {InputSource.MARKET_QUOTE: accepted.fallback_reason(graph.calendar.previous(session))}
    return tuple(
        _hydrated(graph, session, source, asks[source], now=now, left=left.get(source, ""))
        for source in InputSource
    )


def origin_reads(
    graph: BookGraph,
    session: date,
    *,
    windows: Mapping[str, WindowReader],
    brokers: Mapping[str, Broker],
    journal: Journal,
    now: datetime,
    asks_broker: bool,
) -> list[tuple[InputRow, bool]]:
    """Return how each origin of each source answers by itself, and whether it was asked.

    Unless `asks_broker` the broker is left alone, and what is told of it is empty.
    """
    asks = _asks(graph, session, windows=windows, brokers=brokers, journal=journal, now=now)
    return [
        (
            _hydrated(graph, session, source, [ask if is_asked else _nobody(ask)], now=now),
            is_asked,
        )
        for source in InputSource
        for ask in asks[source]
        for is_asked in [asks_broker or ask.origin is not Origin.BROKER]
    ]


def _nobody(ask: Ask) -> Ask:
    return Ask(ask.origin, tuple)


def _asks(
    graph: BookGraph,
    session: date,
    *,
    windows: Mapping[str, WindowReader],
    brokers: Mapping[str, Broker],
    journal: Journal,
    now: datetime,
) -> Mapping[InputSource, Sequence[Ask]]:
    """Return the question to each origin of each source, in the order in which they are asked."""
    questions: dict[tuple[InputSource, Origin], Callable[[], Payloads]] = {
        (InputSource.MARKET_QUOTE, Origin.LAKE): partial(_quotes, graph, session, windows),
        (InputSource.ACCOUNT_ORDERS, Origin.BROKER): partial(_broker_orders, graph, session, brokers, now),
        (InputSource.ACCOUNT_ORDERS, Origin.JOURNAL): partial(_journal_orders, graph, session, journal),
        (InputSource.ORDER_STATUS, Origin.JOURNAL): partial(_statuses, graph, session, journal),
    }
    origins = {**ORIGINS, InputSource.ACCOUNT_ORDERS: graph.config.account_orders}
    return {
        source: [Ask(origin, questions[source, origin]) for origin in origins[source]]
        for source in InputSource
    }


def _hydrated(
    graph: BookGraph,
    session: date,
    source: InputSource,
    asks: Sequence[Ask],
    *,
    now: datetime,
    left: str = "",
) -> InputRow:
    known_by = graph.calendar.opens_at(session)
    refuses: dict[InputSource, Callable[[Sequence[Record]], Failed | None]] = {
        InputSource.MARKET_QUOTE: partial(
            quotes_refused, expected_on=graph.calendar.previous(session), known_by=known_by
        ),
        InputSource.ACCOUNT_ORDERS: orders_refused,
        InputSource.ORDER_STATUS: partial(statuses_refused, before=session),
    }
    return hydrated(
        source,
        asks,
        session=session,
        now=now,
        refuses=refuses[source],
        keeps=source is not InputSource.MARKET_QUOTE,
        left=left,
    )


def _quotes(graph: BookGraph, session: date, windows: Mapping[str, WindowReader]) -> Payloads:
    mode = MOCK if graph.lane == "simulated" else REAL
    return [quote_payload(quote, mode=mode) for quote in windows[graph.name].quotes_before(session)]


def _broker_orders(graph: BookGraph, session: date, brokers: Mapping[str, Broker], now: datetime) -> Payloads:
    orders = brokers[graph.name].orders(since=graph.watched_since(session), now=now)
    return [broker_order_payload(order) for order in orders]


def _journal_orders(graph: BookGraph, session: date, journal: Journal) -> Payloads:
    days = graph.calendar.between(graph.watched_since(session), session)
    return [journal_order_payload(order) for day in days for order in journal.orders(**graph.where(day))]


def _statuses(graph: BookGraph, session: date, journal: Journal) -> Payloads:
    """Return where the intents of the session before stand; what came before it is settled."""
    before = graph.session_before(session)
    if before is None:
        return []
    where = graph.where(before)
    rows = order_status_rows(journal.intents(**where), journal.orders(**where), journal.fills(**where))
    return [status_payload(row) for row in rows]
