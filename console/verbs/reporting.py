"""The verbs of reports: of a session, of a week, and whether all of a week was in order.

They read what is stored, as of now; what the graph wrote of it is console/reports.py and console/weeks.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import Desk, open_desk
from console.render import NONE, instant, money, pairs, table
from console.verbs import texts
from console.verbs.options import (
    READING,
    JsonOption,
    OneBookOption,
    SessionOption,
    day_or_none,
    show,
    tell,
)
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from datetime import date

    from console.book_outlines import BookOutline
    from console.weeks import AuditFound, HealthFound
    from resources.week_pages import WeekWriter
    from trading.compliance import WeekAudit
    from trading.weekly_health import WeekHealth
    from trading.weeks import Week

WeekOption = Annotated[
    str | None,
    typer.Option(
        "--week", metavar="YYYY-Www", help="An ISO week, as 2013-W09; that of the latest session if left out."
    ),
]
WriteOption = Annotated[
    bool, typer.Option("--write", help="Write the page and its JSON beside the daily reports, too.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    reports = typer.Typer(help=help_of(report), invoke_without_command=True)
    reports.callback(help=help_of(report))(report)
    reports.command("week", help=help_of(report_week))(report_week)
    reports.command("audit", help=help_of(report_audit))(report_audit)
    app.add_typer(reports, name="report", rich_help_panel=READING)


def report(
    context: typer.Context,
    *,
    book: OneBookOption = None,
    session: SessionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a session's report lies, and show its headline numbers; `week` and `audit` are of a week.

    trading report --book us_five
    Exit codes: 0 done, 2 no report yet, or no session of that date.
    """
    if context.invoked_subcommand is not None:
        return
    from console.reports import latest_report, report_of

    desk = open_desk()
    outline = desk.one(book)
    asked = day_or_none(session)
    found = latest_report(desk, outline) if asked is None else report_of(desk, outline, asked)
    show(found, texts.report, as_json=as_json)


def report_week(
    *,
    book: OneBookOption = None,
    week: WeekOption = None,
    write: WriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a week went: sessions, orders, P&L, alerts, incidents, error budgets, what the model cost.

    Every session is named, also one that nobody ran. The graph writes each week's page by itself.

    trading report week --book us_five
    trading report week --book us_five --week 2013-W09 --json
    Exit codes: 0 all well or no session, 3 something asks for a person.
    """
    from console.weeks import health_found

    desk = open_desk()
    outline = desk.one(book)
    asked = _week(desk, outline, week)
    found = health_found(desk, outline, asked)
    if write:
        _writer(desk).write_health(found.health)
        found = health_found(desk, outline, asked)
    show(found, _health, as_json=as_json, code=found.exit_code)


def report_audit(
    *,
    book: OneBookOption = None,
    week: WeekOption = None,
    write: WriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Audit a week: lineage, approvals, limits, halts, invariants, audit log, evidence, standing mismatches.

    The stores are verified now. What could not be checked is told as such, and is no pass.

    trading report audit --book us_five
    trading report audit --book us_five --week 2013-W09 --json
    Exit codes: 0 nothing was found, 3 something was.
    """
    from console.weeks import audit_found

    desk = open_desk()
    outline = desk.one(book)
    asked = _week(desk, outline, week)
    found = audit_found(desk, outline, asked, tell=tell)
    if write:
        html, _ = _writer(desk).write_audit(found.audit)
        found = found.at(str(html))
    show(found, _audit, as_json=as_json, code=found.exit_code)


def _week(desk: Desk, outline: BookOutline, asked: str | None) -> Week:
    from console.weeks import latest_week, week_asked

    return latest_week(desk, outline) if asked is None else week_asked(desk, outline, asked)


def _writer(desk: Desk) -> WeekWriter:
    from console.reports import REPORTS
    from resources.week_pages import WeekWriter

    return WeekWriter(desk.settings.profile_dir / REPORTS)


def _health(view: HealthFound) -> str:
    """Return a week's health: the outcome first, then its numbers, a line a session, and what burned."""
    health = view.health
    lines = [f"{health.book} {health.week}: {health.outcome.value}   [{health.mode.upper()}]"]
    lines += [f"  ! {line}" for line in health.attention]
    lines += ["", pairs(_numbers(health)), "", _sessions(health)]
    budgets = [
        (row.objective, _ratio(row.burn, ".2f"), _ratio(row.burned, ".2%"), _ratio(row.budget_left, ".1%"))
        for row in health.budgets
    ]
    lines += ["", table(("objective", "burn rate", "of a window", "budget left"), budgets)]
    for title, counts in (
        ("blocked", health.blocked),
        ("alert", health.alerts.by_code),
        ("quarantined", health.quarantined),
    ):
        if counts:
            lines += ["", table((title, "times"), counts)]
    if view.html:
        lines += ["", f"page  {view.html}"]
    return "\n".join(lines)


def _numbers(health: WeekHealth) -> dict[str, object]:
    alerts, cost = health.alerts, health.cost
    return {
        "as of": instant(health.as_of),
        "sessions": f"{health.run} of {health.expected} run, {health.late} late, {health.missed} missed",
        "P&L": money(health.pnl_micros, health.currency),
        "equity": money(health.equity_micros, health.currency),
        "drawdown": _ratio(health.drawdown_max, ".2%"),
        "exposure": _ratio(health.exposure_max, ".2%"),
        "slippage, bps": _ratio(health.slippage_bps_max, ".2f"),
        "orders": health.orders,
        "alerts": f"{alerts.begun} begun, {alerts.sent} sent, {alerts.failed} sends failed, "
        f"{alerts.unaddressed} without an address",
        "duplicates": _ratio(alerts.duplicate_rate, ".1%"),
        "over by themselves": _ratio(alerts.false_positive_rate, ".1%"),
        "incidents": len(health.incidents),
        "time to see, s": health.detect_s_p95,
        "time to end, s": health.recover_s_p95,
        "advisor": health.advisor_step,
        "model cost, USD": NONE if cost is None else f"{cost.spent.cost_micros / 1e6:.6f}",
        "an intent, USD": NONE
        if cost is None or cost.intent_usd_micros_mean is None
        else f"{cost.intent_usd_micros_mean / 1e6:.6f}",
    }


def _sessions(health: WeekHealth) -> str:
    rows: dict[date, tuple[object, ...]] = {
        row.session: (row.session, row.kept, row.orders, row.blocked, money(row.pnl_micros), row.why)
        for row in health.sessions
    }
    rows |= {day: (day, "closed", None, None, None, why) for day, why in health.closed}
    return table(("session", "went", "sent", "blocked", "P&L", "why"), [rows[day] for day in sorted(rows)])


def _ratio(value: float | None, written: str) -> str:
    return NONE if value is None else format(value, written)


def _audit(view: AuditFound) -> str:
    """Return a week's audit: the outcome, a line an area, then each finding and where to look."""
    audit: WeekAudit = view.audit
    lines = [
        f"{audit.book} {audit.week}: {audit.outcome}   [{audit.mode.upper()}]",
        f"verified {instant(audit.as_of)}; {audit.linked:,} of {audit.intents:,} intents lead back",
        "",
        table(
            ("area", "outcome", "looked at"),
            [(row.area, row.outcome, row.looked_at) for row in audit.areas],
        ),
    ]
    for one in audit.findings:
        lines += ["", f"{one.grade.value.upper()}  {one.area.value}  {one.subject}: {one.detail}"]
        lines.append(f"      → {one.look}")
    for title, rows in (
        (
            "answers of people",
            [f"{one.symbol} {one.answer} by {one.actor}: {one.payload_hash}" for one in audit.approvals],
        ),
        (
            "changes",
            [f"{one.what} {one.on}: {one.before or NONE} → {one.after or NONE}" for one in audit.changes],
        ),
    ):
        if rows:
            lines += ["", title, *(f"  {row}" for row in rows)]
    if view.html:
        lines += ["", f"page  {view.html}"]
    return "\n".join(lines)
