"""What a Prometheus is told of the desk: numbers of the journal, made when it asks, valid before any session.

Names begin with `trading_`, units are base units, and no label is an order's or a person's. Who may ask is
the gate's say: a token for reading, which a scraper keeps in a file. The metrics of a session
(trading/metrics.py) are tables of the lake, and are not told here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from console.alerts import AlertLine, alerts_of
from console.desk import Desk
from console.incidents import IncidentLine, incidents_of
from console.signals import last_signals_of
from console.slo import counted_of, judgement_of, windows_of
from console.stuck import stuck_of
from console.totals import AskedFor, Totals
from resources.journal import records
from resources.watch_signs import last_beat
from trading.advisor_calls import Purpose
from trading.alerts import Reason
from trading.clock import Phase
from trading.errors import BadInput
from trading.findings import STUCK_AFTER
from trading.lifecycle import IntentState
from trading.sessions import Calendar
from trading.slos import Level, Objective, Tally, burn_of
from trading.values import MICROS, Side

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ORDER_STATUSES = ("prepared", "working", "partial_fill", "filled", "cancelled", "rejected", "unknown")
MESSAGE_STATUSES = ("waiting", "delivered", "dead")

COUNTS = (
    "count_messages_by_status",
    "count_deliveries_by_reason",
    "count_incidents_by_kind",
)

BUDGET = "budget"
"""The window of an error budget: the last sessions (trading/slos.py), beside those of minutes and hours."""

Rows = Sequence[records.Row]


def exposition_of(desk: Desk, totals: Totals) -> bytes:
    """Return everything that a scraper is told, in Prometheus' text format, all as of one moment.

    `totals` holds what was counted for the scrape before.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(desk, totals))
    return bytes(generate_latest(registry))


class Family(NamedTuple):
    """Hold one family that a scraper is told of: `kind` is counter or gauge, `name` as in its samples."""

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str


def families_of(desk: Desk) -> tuple[Family, ...]:
    """Return every family that a scraper is told of, in its order."""
    return tuple(
        Family(
            name=family.name + ("_total" if family.type == "counter" else ""),
            kind=family.type,
            labels=tuple(family._labelnames),  # noqa: SLF001 - prometheus-client tells them nowhere else
            says=family.documentation,
        )
        for family in _Collector(desk, Totals()).collect()
    )


class _Collector:
    """Give the families of one desk; prometheus-client asks at each scrape."""

    def __init__(self, desk: Desk, totals: Totals) -> None:
        self._desk = desk
        self._totals = totals

    def describe(self) -> list[Any]:
        """Name nothing beforehand: a look at the journal at registration would be one too many."""
        return []

    def collect(self) -> Iterator[Any]:
        """Give every family, in the order of its name's part."""
        desk = self._desk
        counts = desk.journal.answers(COUNTS)
        totals = self._totals.rows(desk.journal, books=desk.books, lane=desk.lane)
        alerts = alerts_of(desk)
        yield _gauge(
            "trading_desk_info",
            "Which profile the desk runs in; always 1.",
            ("mode",),
            [((desk.lane,), 1.0)],
        )
        yield from _of_control(desk)
        yield from _of_intents(desk, totals)
        yield from _of_alerts(alerts)
        yield from _of_messages(counts)
        incidents = incidents_of(desk)
        yield from _of_incidents(desk, counts["count_incidents_by_kind"], incidents)
        yield from _of_sessions(desk)
        yield from _of_watch(desk)
        yield from _of_signals(desk)
        yield from _of_service_levels(desk, incidents)
        yield from _of_advisor(desk)


def _of_control(desk: Desk) -> Iterator[Any]:
    control = desk.journal.run_control()
    accounts = sorted({outline.account for outline in desk.books.values()})
    halted = [halt.account for halt in desk.journal.halts()]
    yield _gauge(
        "trading_kill_switch_on",
        "Whether all trading is halted: 1 or 0.",
        (),
        [((), float(control.kill_switch_on))],
    )
    yield _gauge(
        "trading_paused", "Whether all trading is paused: 1 or 0.", (), [((), float(control.paused))]
    )
    yield _gauge(
        "trading_halts",
        "Halts in force of an account and its instruments.",
        ("account",),
        [((account,), float(halted.count(account))) for account in accounts],
    )


def _of_intents(desk: Desk, totals: Mapping[str, Rows]) -> Iterator[Any]:
    states = [state.value for state in IntentState]
    yield _gauge(
        "trading_intents",
        "Intents of all sessions, by the state that they are in.",
        ("book", "state"),
        _filled(desk, totals["count_intents_by_state"], "intents", label="state", labels=states),
    )
    yield _gauge(
        "trading_orders",
        "Orders of all sessions, by the status that they are in.",
        ("book", "status"),
        _filled(desk, totals["count_orders_by_status"], "orders", label="status", labels=ORDER_STATUSES),
    )
    yield _counter(
        "trading_order_attempts",
        "Attempts to send an order, by the status that the order is in now.",
        ("book", "status"),
        _filled(desk, totals["count_orders_by_status"], "attempts", label="status", labels=ORDER_STATUSES),
    )
    sides = [side.value for side in Side]
    fills = totals["count_fills_by_side"]
    yield _counter(
        "trading_fills",
        "Executions that were booked.",
        ("book", "side"),
        _filled(desk, fills, "fills", label="side", labels=sides),
    )
    yield _counter(
        "trading_filled_shares",
        "Shares that were bought or sold.",
        ("book", "side"),
        _filled(desk, fills, "quantity", label="side", labels=sides),
    )
    stuck = stuck_of(desk, older_than_s=int(STUCK_AFTER.total_seconds()))
    yield _gauge(
        "trading_intents_stuck",
        "Intents whose outcome at the broker is not proven for too long.",
        ("book",),
        [((book,), float(sum(1 for row in stuck if row.book == book))) for book in desk.books],
    )


def _of_alerts(alerts: Iterable[AlertLine]) -> Iterator[Any]:
    yield _gauge(
        "trading_alerts",
        "Alerts that fire; always 1.",
        ("alertname", "book", "severity", "state", "about"),
        sorted(((row.code, row.book, row.severity.value, row.state.value, row.about), 1.0) for row in alerts),
    )


def _of_messages(counts: Mapping[str, Rows]) -> Iterator[Any]:
    channels = sorted({row["channel"] for row in counts["count_messages_by_status"]})
    known = {
        (row["channel"], row["severity"], row["status"]): float(row["messages"])
        for row in counts["count_messages_by_status"]
    }
    severities = ("critical", "warning")
    yield _gauge(
        "trading_messages",
        "Messages to people, by whether they were delivered, wait, or were given up (dead).",
        ("channel", "severity", "status"),
        [
            ((channel, severity, status), known.get((channel, severity, status), 0.0))
            for channel in channels
            for severity in severities
            for status in MESSAGE_STATUSES
        ],
    )
    tried = {
        (row["channel"], row["reason"]): float(row["deliveries"])
        for row in counts["count_deliveries_by_reason"]
    }
    yield _counter(
        "trading_deliveries",
        "Attempts to deliver a message, by what came of them.",
        ("channel", "reason"),
        [
            ((channel, reason.value), tried.get((channel, reason.value), 0.0))
            for channel in channels
            for reason in Reason
        ],
    )


def _of_incidents(desk: Desk, rows: Rows, incidents: Iterable[IncidentLine]) -> Iterator[Any]:
    # What is of no book, such as a full disk, is of no account.
    accounts = ["", *sorted({outline.account for outline in desk.books.values()})]
    yield _counter(
        "trading_incidents",
        "Incidents that were recorded.",
        ("account", "kind"),
        [
            ((row["account"], row["kind"]), float(row["incidents"]))
            for row in rows
            if row["account"] in accounts
        ],
    )
    is_open = [row.account for row in incidents if row.is_open]
    yield _gauge(
        "trading_incidents_open",
        "Incidents that nobody has answered.",
        ("account",),
        [((account,), float(is_open.count(account))) for account in accounts],
    )


def _of_sessions(desk: Desk) -> Iterator[Any]:
    closes: list[tuple[tuple[str, ...], float]] = []
    behind: list[tuple[tuple[str, ...], float]] = []
    cash: list[tuple[tuple[str, ...], float]] = []
    realised: list[tuple[tuple[str, ...], float]] = []
    for book, outline in desk.books.items():
        record = desk.journal.last_settled(book=book, lane=desk.lane)
        count = _behind(desk, book, None if record is None else record.session)
        if count is not None:
            behind.append(((book,), float(count)))
        if record is None or record.closing is None:
            continue
        closes.append(((book,), desk.calendar(outline).closes_at(record.session).timestamp()))
        named = (book, outline.currency)
        cash.append((named, record.closing.cash_micros / MICROS))
        realised.append((named, record.closing.realised_micros / MICROS))
    yield _gauge(
        "trading_settled_close_timestamp_seconds",
        "When the last settled session closed; nothing before the first one is settled.",
        ("book",),
        closes,
    )
    yield _gauge(
        "trading_sessions_behind",
        "Closed sessions that are not settled; nothing before one was begun.",
        ("book",),
        behind,
    )
    yield _gauge("trading_cash", "Cash after the last settled session.", ("book", "currency"), cash)
    yield _gauge(
        "trading_realised_pnl",
        "Proceeds less average cost since the book was opened.",
        ("book", "currency"),
        realised,
    )


def _of_watch(desk: Desk) -> Iterator[Any]:
    beat = last_beat(desk.settings.profile_dir)
    yield _gauge(
        "trading_watch_timestamp_seconds",
        "When the watch over runs and checks last looked; nothing before its first look.",
        (),
        [] if beat is None else [((), beat.timestamp())],
    )


def _of_signals(desk: Desk) -> Iterator[Any]:
    books = last_signals_of(desk)
    yield _counter(
        "trading_signal_windows",
        "Looks for quotes before a decision, while the market was not closed.",
        ("book",),
        [((one.book,), float(one.windows)) for one in books],
    )
    yield _counter(
        "trading_signal_windows_empty",
        "Looks for quotes that gave no signal.",
        ("book",),
        [((one.book,), float(one.empty)) for one in books],
    )
    yield _gauge(
        "trading_signals_held",
        "Whether promotion and live trading are held back since quotes stopped: 1 or 0.",
        ("book",),
        [((one.book,), float(bool(one.held))) for one in books],
    )
    yield _gauge(
        "trading_signal_lag_seconds",
        "For how long quotes were due at the last look; nothing before the first one.",
        ("book",),
        [((one.book,), float(one.last.lag_s)) for one in books if one.last is not None],
    )


def _of_service_levels(desk: Desk, incidents: Sequence[IncidentLine]) -> Iterator[Any]:
    counted = counted_of(desk)
    standings = counted.standings()
    level = judgement_of(standings, incidents).level
    yield _gauge(
        "trading_level",
        "Which level is in force, of normal, watch and incident: 1 or 0.",
        ("level",),
        [((one.name.lower(),), float(one is level)) for one in Level],
    )
    yield _gauge(
        "trading_slo_target_ratio",
        "Which share of what an objective counts is promised to be good.",
        ("objective",),
        [((one.objective.value,), one.target) for one in standings],
    )
    windows = {
        one.objective.value: (
            *((row.window, Tally(row.good, row.total)) for row in windows_of(one, counted)),
            (BUDGET, Tally(one.good, one.total)),
        )
        for one in standings
    }
    yield _gauge(
        "trading_slo_events",
        "What an objective counted within a window, by whether it was good.",
        ("objective", "window", "outcome"),
        [
            ((objective, window, outcome), float(count))
            for objective, tallies in windows.items()
            for window, tally in tallies
            for outcome, count in (("good", tally.good), ("bad", tally.bad))
        ],
    )
    yield _gauge(
        "trading_slo_burn_rate",
        "How many times as fast as it may an error budget burned over a window; nothing without data.",
        ("objective", "window"),
        [
            ((objective, window), burn)
            for objective, tallies in windows.items()
            for window, tally in tallies
            if (burn := burn_of(tally, Objective(objective))) is not None
        ],
    )
    yield _gauge(
        "trading_slo_error_budget_left_ratio",
        "The unspent share of an error budget, below 0 where it is overspent; nothing without data.",
        ("objective",),
        [((one.objective.value,), one.budget_left) for one in standings if one.budget_left is not None],
    )


def _of_advisor(desk: Desk) -> Iterator[Any]:
    counted = desk.advisor_totals.counted(desk.journal, lane=desk.lane)
    asked = [AskedFor(book, purpose.value) for book in desk.books for purpose in Purpose]

    def told(*parts: tuple[str, str]) -> list[tuple[tuple[str, ...], float]]:
        return [
            ((*of, label) if label else tuple(of), float(counted.get(of, {}).get(name, 0)))
            for of in asked
            for label, name in parts
        ]

    yield _counter(
        "trading_advisor_calls",
        "Questions to models, by whether one was answered, or failed; others were held back.",
        ("book", "purpose", "outcome"),
        told(("answered", "answered"), ("failed", "failed"), ("held_back", "held_back")),
    )
    yield _counter(
        "trading_advisor_tokens",
        "Tokens that models read and wrote.",
        ("book", "purpose", "kind"),
        told(("prompt", "prompt_tokens"), ("completion", "completion_tokens")),
    )
    yield _counter(
        "trading_advisor_cost_usd",
        "What questions to models cost, by the configured prices.",
        ("book", "purpose"),
        [(labels, micros / MICROS) for labels, micros in told(("", "cost_micros"))],
    )
    yield _counter(
        "trading_advisor_intents",
        "Intents that models were asked about, each as often as a question was.",
        ("book", "purpose"),
        told(("", "intents")),
    )
    yield _counter(
        "trading_advisor_runs",
        "Runs that asked a model.",
        ("book", "purpose"),
        told(("", "runs")),
    )


def _behind(desk: Desk, book: str, settled: date | None) -> int | None:
    """Return how many sessions have closed since the last settled one, or since the first that was begun.

    `None` where no day is known yet: of a book that nobody has begun, nothing is behind.
    """
    outline = desk.books[book]
    try:
        today = desk.today(outline)
    except BadInput:
        return None
    first = settled
    if first is None:
        # Before it is settled there is no other: the next one opens after it.
        begun = desk.latest(outline)
        if begun is None:
            return None
        first = begun.session
    calendar = desk.calendar(outline)
    # A simulated clock is asked for a session; a real one answers any day.
    asked = today if today in calendar else calendar.previous(today)
    now = desk.clock(outline).now(asked, Phase.SETTLE)
    return closed_since_settled(calendar, first=first, settled=settled, today=today, now=now)


def closed_since_settled(
    calendar: Calendar, *, first: date, settled: date | None, today: date, now: datetime
) -> int:
    """Return how many sessions from `first` up to `today` have closed since the last `settled` one."""
    return sum(
        1
        for session in calendar.between(first, today)
        if (settled is None or session > settled) and calendar.closes_at(session) <= now
    )


def _filled(
    desk: Desk, rows: Rows, value: str, *, label: str, labels: Sequence[str]
) -> list[tuple[tuple[str, ...], float]]:
    """Return a sample for each book and value of a label: what was never counted is zero, not absent."""
    known: Counter[tuple[str, str]] = Counter()
    for row in rows:
        known[row["book"], row[label]] += row[value]
    return [((book, one), float(known[book, one])) for book in desk.books for one in labels]


def _gauge(
    name: str, says: str, labels: Sequence[str], samples: Iterable[tuple[tuple[str, ...], float]]
) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return _family(GaugeMetricFamily, name, says, labels, samples)


def _counter(
    name: str, says: str, labels: Sequence[str], samples: Iterable[tuple[tuple[str, ...], float]]
) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return _family(CounterMetricFamily, name, says, labels, samples)


def _family(
    kind: Callable[..., Any],
    name: str,
    says: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Any:
    family = kind(name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
