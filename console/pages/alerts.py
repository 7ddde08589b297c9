"""One alert with its causes: the run, the order or the row behind it, each one click away; and who was told.

What is known of alerts is console/alerts.py, of deliveries deliveries.py. What a rule's code asks to be shown
is said here alone; what to do about it is its runbook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import quote, urlencode

from console.alerts import AlertLine, SilenceLine, acting_at, alert_log, alert_of, silences_over
from console.deliveries import DeliveryCount, DeliveryFilter, DeliveryLine, deliveries_of, delivery_counts
from console.desk import Desk
from console.incidents import incidents_of
from console.orders import OrderLine, orders_of
from console.pages.frame import link_to
from console.pages.sessions import SHOWN as SHOWN_LINES
from console.quarantine import quarantined_rows
from console.render import counted
from console.signals import why_held
from console.stuck import stuck_of
from trading.alerts import Reason
from trading.errors import BadInput, LakeError

SHOWN = 10
"""How many orders, rows or incidents an alert lists; all stand on the page that it leads to."""

DELIVERIES_SHOWN = 100
NAME_SHOWN = 60

UI_PORT = 3000
"""Where `trading ui` serves the graph's pages unless it is told otherwise."""

LOCATION = "trading_assets"
"""The graph's name in Dagster's addresses, as workspace.yaml says it."""

SILENCE_FOR = (
    ("2 hours", timedelta(hours=2)),
    ("30 minutes", timedelta(minutes=30)),
    ("8 hours", timedelta(hours=8)),
    ("a day", timedelta(days=1)),
    ("a week", timedelta(days=7)),
)
"""How long a silence may be asked for by a form, the usual one first."""

CHECK_FAILED, SESSION_MISSED, ASSET_STALE = "check_failed", "session_missed", "asset_stale"
ON_AUTOMATION = {"tick_failed", "tick_hangs", "schedule_stopped"}
"""The alerts that are about a schedule or a sensor."""

SIGNALS_LATCHED, BROKER_DISAGREES = "signals_latched", "broker_disagrees"
ON_ROWS = {"quarantined_ratio_high", SIGNALS_LATCHED}
ON_ORDERS = {"execution_unknown_intents", "intents_stuck", "execution_approved_executed_gap_high"}
ON_QUOTES = {"market_quotes", "quarantined_quotes"}
"""The tables whose checks are about rows."""

BLOCKED = {
    "execution_blocked_rate_high",
    "portfolio_guard_blocked_ratio_high",
    "portfolio_guard_strategy_budget_exceeded_high",
}
SLIPPAGE_HIGH = "slippage_high"

LISTED = {
    **dict.fromkeys(BLOCKED, ("/intents", "blocked")),
    SLIPPAGE_HIGH: ("/orders", ""),
}
"""Where the session's lines of a code are listed, and which of them."""

BURNING = ("error_budget_burn_1h_high", "error_budget_burn_6h_high", "error_budget_burn_3d_high")
COSTLY = ("advisor_session_cost_high", "advisor_day_cost_high", "advisor_week_cost_high")
ON_PAGES = {
    "drawdown_high": ("/positions", "what is held"),
    **dict.fromkeys(BURNING, ("/slo", "what spends the error budget")),
    **dict.fromkeys(COSTLY, ("/costs", "what each question cost")),
}
"""The page that shows what a code is about, where that is no single order, row or run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Hold one thing behind an alert: what kind of thing, which one, and the page that shows it.

    A page of Dagster's is at `path` below it; `link` is empty while it is not up, and `opens` is then what
    opens it.
    """

    kind: str
    what: str
    link: str
    path: str = ""
    opens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertShown:
    """Hold one alert with what is behind it and the silences in force over it.

    `untils` are the instants that a new silence may last to, with how long that is in words.
    """

    alert: AlertLine
    silences: tuple[SilenceLine, ...]
    untils: tuple[tuple[str, datetime], ...]
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Hold the delivery log: its last attempts, of one channel or reason where they were asked for."""

    channel: str
    reason: str
    counts: tuple[DeliveryCount, ...]
    rows: tuple[DeliveryLine, ...]


def alert_shown(desk: Desk, fingerprint: str, dagster: str) -> AlertShown:
    """Return one alert by its fingerprint; raises `UnknownId`."""
    alert = alert_of(desk, fingerprint)
    now = acting_at(desk, alert_log(desk)).replace(second=0, microsecond=0)
    return AlertShown(
        alert=alert,
        silences=silences_over(desk, alert.fingerprint),
        untils=tuple((said, now + lasts) for said, lasts in SILENCE_FOR),
        causes=causes_of(desk, alert, dagster),
    )


def causes_of(desk: Desk, alert: AlertLine, dagster: str) -> tuple[Cause, ...]:
    """Return what is behind an alert, the nearest first."""
    return (
        *_in_dagster(alert, dagster),
        *_orders(desk, alert),
        *_lines(desk, alert),
        *_rows(desk, alert),
        *_listed(desk, alert),
    )


def deliveries_shown(desk: Desk, *, channel: str, reason: str) -> Deliveries:
    """Return the delivery log; raises `BadInput` for a channel or a reason that there is not."""
    if reason and reason not in set(Reason):
        raise BadInput(f"reason {reason[:NAME_SHOWN]!a}: reasons are {', '.join(Reason)}")
    wanted = DeliveryFilter(channel=channel or None, reason=Reason(reason) if reason else None)
    return Deliveries(
        channel=channel,
        reason=reason,
        counts=delivery_counts(desk, DeliveryFilter()),
        rows=deliveries_of(desk, wanted, last=DELIVERIES_SHOWN),
    )


def row_link(book: str, session: date | str, row_id: str = "") -> str:
    """Return where the quarantined rows of a session are shown, one of them marked."""
    return link_to("/quarantine", book=book, session=session, row=row_id) + ("#marked" if row_id else "")


# ------------------------------------------------------------------------------------------ in Dagster


def _in_dagster(alert: AlertLine, dagster: str) -> Iterator[Cause]:
    if alert.run_id:
        yield _page("run", alert.run_id, f"/runs/{quote(alert.run_id, safe='')}", dagster)
    if alert.code == CHECK_FAILED:
        asset, _, check = alert.about.partition(":")
        asked = urlencode({"view": "checks", "checkDetail": check})
        yield _page("check", f"{check} of {asset}", f"{_asset(alert.book, asset)}?{asked}", dagster)
    if alert.code in ON_AUTOMATION:
        kind = "schedule" if alert.about.endswith("_schedule") else "sensor"
        yield _page(kind, alert.about, _automation(kind, alert.about), dagster)
    if alert.code == ASSET_STALE:
        partitions = f"{_asset(alert.book, alert.about)}?view=partitions"
        yield _page("table", alert.about, partitions, dagster)
    if alert.code == SESSION_MISSED:
        name = f"{alert.book}__{alert.about}_schedule"
        yield _page("schedule", name, _automation("schedule", name), dagster)
        asset = "decisions" if alert.about == "decide" else "positions"
        asked = urlencode({"view": "partitions", "partition": alert.session})
        yield _page(
            "partition", f"{asset} of {alert.session}", f"{_asset(alert.book, asset)}?{asked}", dagster
        )


def _asset(book: str, asset: str) -> str:
    """Return an asset's page; what belongs to no book has a key of its name alone."""
    return "/assets/" + "/".join(quote(part, safe="") for part in (book, asset) if part)


def _automation(kind: str, name: str) -> str:
    return f"/locations/{LOCATION}/{kind}s/{quote(name, safe='')}"


def _page(kind: str, what: str, path: str, dagster: str) -> Cause:
    """Return a page of Dagster's; while it is not up, the command that serves it and the address to open."""
    if dagster:
        return Cause(kind=kind, what=what, link=f"{dagster}{path}", path=path)
    opens = (f"trading ui --port {UI_PORT}", f"http://127.0.0.1:{UI_PORT}{path}")
    return Cause(kind=kind, what=what, link="", path=path, opens=opens)


# ------------------------------------------------------------------------------------------ in the console


def _orders(desk: Desk, alert: AlertLine) -> Iterator[Cause]:
    if alert.code in ON_ORDERS and alert.book in desk.books:
        for row in stuck_of(desk, book=alert.book, older_than_s=0)[:SHOWN]:
            yield Cause(
                kind="order",
                what=f"{row.side} {row.quantity:,} {row.symbol}, {row.state.replace('_', ' ')}",
                link=f"/trace/{quote(row.intent_id, safe='')}",
            )


def _lines(desk: Desk, alert: AlertLine) -> Iterator[Cause]:
    """Give the intents of its session that an alert on blocks or on slippage is about, the worst first."""
    if alert.book not in desk.books or not alert.session:
        return
    if alert.code in BLOCKED:
        for row in _of_session(desk, alert, SHOWN_LINES["blocked"])[:SHOWN]:
            why = row.reason.replace("_", " ")
            yield Cause(
                kind="intent",
                what=f"{row.side} {row.wished:,} {row.symbol}, {why}",
                link=f"/intents/{quote(row.intent_id, safe='')}",
            )
    if alert.code == SLIPPAGE_HIGH:
        told = ((row.slippage_bps, row) for row in _of_session(desk, alert, SHOWN_LINES["filled"]))
        slipped = [(bps, row) for bps, row in told if bps is not None]
        for bps, row in sorted(slipped, key=lambda found: -found[0])[:SHOWN]:
            yield Cause(
                kind="order",
                what=f"{row.side} {row.filled_quantity:,} {row.symbol}, {bps:.1f} bps",
                link=f"/trace/{quote(row.intent_id, safe='')}",
            )


def _of_session(desk: Desk, alert: AlertLine, fits: Callable[[OrderLine], bool]) -> list[OrderLine]:
    found = orders_of(desk, desk.books[alert.book], date.fromisoformat(alert.session))
    return [row for row in found.orders if fits(row)]


def _rows(desk: Desk, alert: AlertLine) -> Iterator[Cause]:
    """Give the quarantined rows of the sessions that an alert on data is about."""
    is_on_quotes = alert.code == CHECK_FAILED and alert.about.partition(":")[0] in ON_QUOTES
    if not (alert.code in ON_ROWS or is_on_quotes) or alert.book not in desk.books or not alert.session:
        return
    session = date.fromisoformat(alert.session)
    if alert.code == SIGNALS_LATCHED:
        # A decision reads the quotes of the session before it.
        session = desk.calendar(desk.books[alert.book]).previous(session)
    try:
        rows = quarantined_rows(desk.lake, alert.book, [session])
    except LakeError as error:
        yield Cause(kind="row", what=str(error), link="")
        return
    for row in rows[:SHOWN]:
        yield Cause(
            kind="row",
            what=f"{row.symbol}: {row.reason.replace('_', ' ')}, {row.detail}",
            link=row_link(alert.book, session, row.row_id),
        )
    yield Cause(
        kind="rows",
        what=f"{counted(len(rows), 'quarantined row')} of {session}",
        link=row_link(alert.book, session),
    )


def _listed(desk: Desk, alert: AlertLine) -> Iterator[Cause]:
    if alert.code in ON_PAGES:
        path, what = ON_PAGES[alert.code]
        yield Cause(kind="page", what=what, link=path)
    if alert.book not in desk.books:
        return
    if alert.code == SIGNALS_LATCHED and (held := why_held(desk, alert.book)):
        yield Cause(kind="window", what=held, link=link_to("/why", book=alert.book, session=alert.session))
    if alert.code == BROKER_DISAGREES:
        found = [row for row in incidents_of(desk, book=alert.book) if row.is_open]
        for row in found[:SHOWN]:
            if row.intent_id:
                yield Cause(kind="order", what=row.said, link=f"/trace/{quote(row.intent_id, safe='')}")
            yield Cause(
                kind="incident", what=f"{row.incident_id}: {row.said}", link=f"/incidents/{row.incident_id}"
            )
    if alert.session:
        path, show = LISTED.get(alert.code, ("/intents", ""))
        yield Cause(
            kind="session",
            what=f"{path.strip('/')} of {alert.session}",
            link=link_to(path, book=alert.book, session=alert.session, show=show),
        )
