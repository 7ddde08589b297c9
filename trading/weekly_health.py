"""The weekly health summary: what a desk's week came to, and what of it asks for a person. Pure.

What happened comes in, session by session, as the daily reports, the journal and the service levels tell it;
a session that nobody ran is named, and what nobody measured is no data. Which week is which is weeks.py, what
was in order compliance.py; who gathers the facts is console/weeks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from trading.advisor_calls import AdvisorCall, Spent, cost_by_intent, spent, spent_by
from trading.alert_groups import Labels, Told, labels_of
from trading.alert_log import ACKNOWLEDGED, ALERT, TOLD, is_needed
from trading.alerts import ALERTNAME, Reason
from trading.incident_log import Action
from trading.incident_review import percentile_s
from trading.journal import Delivery, JournalEvent
from trading.reporting import plain_value
from trading.slos import WINDOW_SESSIONS, Standing
from trading.weeks import Week

HEALTH_VERSION = "weekly_health.v1"


class Kept(StrEnum):
    """Say how a session went by the timetable; service levels judge no session of long ago."""

    IN_TIME = "in time"
    LATE = "late"
    MISSED = "missed"
    OPEN = "not over"
    UNJUDGED = "run, not judged"


RUN = frozenset({Kept.IN_TIME, Kept.LATE, Kept.UNJUDGED})
"""How a session went that somebody decided and settled."""


class Outcome(StrEnum):
    """Say what a week comes to; one without a session is its own outcome, never all well."""

    ALL_WELL = "all well"
    ATTENTION = "attention"
    NO_SESSION = "no session"


class SessionSeen(NamedTuple):
    """Hold one session of the week; numbers are `None` where there is no data. Money in micro-units.

    `why` says why it was late or missed. `blocked` counts intents that guards stopped, `orders` what was
    sent, `filled` intents with a fill; `cost_usd_micros` is what its advice cost, in micro-dollars.
    """

    session: date
    kept: Kept
    why: str
    has_report: bool = False
    intents: int | None = None
    blocked: int | None = None
    orders: int | None = None
    filled: int | None = None
    slippage_bps: float | None = None
    pnl_micros: int | None = None
    equity_micros: int | None = None
    drawdown: float | None = None
    exposure: float | None = None
    quarantined: int | None = None
    cost_usd_micros: int | None = None


class IncidentSeen(NamedTuple):
    """Hold one incident of the week; seconds to see and to end it, `None` where an end is not known."""

    incident_id: int
    at: datetime
    kind: str
    severity: str
    detect_s: int | None
    recover_s: int | None
    is_open: bool


class BudgetSeen(NamedTuple):
    """Hold how one objective's error budget burned. `None` where nothing was counted.

    `burn` is the mean burn rate of the week's sessions (at 1 a budget lasts just its window), `burned` the
    share of a window's budget that they took, `budget_left` what is left of it now.
    """

    objective: str
    sessions: int
    burn: float | None
    burned: float | None
    budget_left: float | None


class CodeCount(NamedTuple):
    """Hold how often something of one name happened."""

    name: str
    number: int


class RunCost(NamedTuple):
    """Hold what one run's questions to models cost, in micro-dollars."""

    run_id: str
    questions: int
    cost_usd_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFigures:
    """Hold the alerts of a week. Rates are `None` where there was nothing to have a share of.

    `begun` counts alerts that began to fire, `messages` what people were to be told, `sent` what arrived and
    `failed` sends that did not; `unaddressed` counts messages with nobody to send to. A duplicate is a
    message without news, or one that arrived twice.
    `ended` counts alerts that ended; false positives are those of them that nobody acknowledged and during
    which nobody did anything: they were over by themselves.
    """

    begun: int
    by_code: tuple[CodeCount, ...]
    messages: int
    sent: int
    failed: int
    unaddressed: int
    duplicates: int
    duplicate_rate: float | None
    ended: int
    by_themselves: int
    false_positive_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """Hold what models were asked in a week, and what it cost, in micro-dollars."""

    spent: Spent
    by_run: tuple[RunCost, ...]
    intents: int
    intent_usd_micros_mean: int | None
    intent_usd_micros_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekFacts:
    """Hold what a week's summary is made from. `as_of` is the UTC instant at which it was gathered.

    `closed` are the weekdays without a session and why; `advisor_step` is the ladder's of the last decided
    session, empty where none is known. `quarantined` counts rows by reason. `planned` is what somebody is to
    do so that an incident, of any week, does not happen again.
    """

    book: str
    title: str
    mode: str
    week: Week
    as_of: datetime
    currency: str
    closed: tuple[tuple[date, str], ...]
    sessions: tuple[SessionSeen, ...]
    blocked: Mapping[str, int]
    quarantined: Mapping[str, int]
    alerts: AlertFigures
    incidents: tuple[IncidentSeen, ...]
    planned: tuple[Action, ...]
    standings: tuple[Standing, ...]
    calls: tuple[AdvisorCall, ...]
    advisor_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekHealth:
    """Hold the health summary of one week of one book, ready to be shown. Money in micro-units.

    Sums are over the sessions with data, `None` where none has any. `cost` is `None` where no model was
    asked. `attention` says what asks for a person, the worst first.
    """

    book: str
    title: str
    mode: str
    week: str
    first: date
    last: date
    as_of: datetime
    currency: str
    outcome: Outcome
    attention: tuple[str, ...]
    closed: tuple[tuple[date, str], ...]
    expected: int
    run: int
    late: int
    missed: int
    sessions: tuple[SessionSeen, ...]
    intents: int | None
    orders: int | None
    filled: int | None
    blocked: tuple[CodeCount, ...]
    slippage_bps_max: float | None
    pnl_micros: int | None
    equity_micros: int | None
    drawdown_max: float | None
    exposure_max: float | None
    alerts: AlertFigures
    incidents: tuple[IncidentSeen, ...]
    detect_s_p95: int | None
    recover_s_p95: int | None
    budgets: tuple[BudgetSeen, ...]
    cost: ModelCost | None
    quarantined: tuple[CodeCount, ...]
    advisor_step: str

    def payload(self) -> dict[str, Any]:
        """Return the summary as JSON values: money as exact decimal strings, times RFC 3339 in UTC."""
        return {"schema_version": HEALTH_VERSION, **plain_value(self)}


def health_of(facts: WeekFacts) -> WeekHealth:
    """Return the health summary of a week."""
    sessions, week = facts.sessions, facts.week
    budgets = tuple(_budget(standing, week) for standing in facts.standings)
    attention = tuple(_attention(facts, budgets))
    outcome = Outcome.ATTENTION if attention else Outcome.ALL_WELL
    return WeekHealth(
        book=facts.book,
        title=facts.title,
        mode=facts.mode,
        week=week.name,
        first=week.monday,
        last=week.sunday,
        as_of=facts.as_of,
        currency=facts.currency,
        outcome=outcome if sessions or attention else Outcome.NO_SESSION,
        attention=attention,
        closed=facts.closed,
        expected=sum(1 for row in sessions if row.kept is not Kept.OPEN),
        run=sum(1 for row in sessions if row.kept in RUN),
        late=sum(1 for row in sessions if row.kept is Kept.LATE),
        missed=sum(1 for row in sessions if row.kept is Kept.MISSED),
        sessions=sessions,
        intents=_total(sessions, lambda row: row.intents),
        orders=_total(sessions, lambda row: row.orders),
        filled=_total(sessions, lambda row: row.filled),
        blocked=_counts(facts.blocked),
        slippage_bps_max=_largest(sessions, lambda row: row.slippage_bps),
        pnl_micros=_total(sessions, lambda row: row.pnl_micros),
        equity_micros=next(
            (row.equity_micros for row in reversed(sessions) if row.equity_micros is not None), None
        ),
        drawdown_max=_largest(sessions, lambda row: row.drawdown),
        exposure_max=_largest(sessions, lambda row: row.exposure),
        alerts=facts.alerts,
        incidents=facts.incidents,
        detect_s_p95=percentile_s(row.detect_s for row in facts.incidents),
        recover_s_p95=percentile_s(row.recover_s for row in facts.incidents),
        budgets=budgets,
        cost=cost_of(facts.calls),
        quarantined=_counts(facts.quarantined),
        advisor_step=facts.advisor_step,
    )


def alert_figures(
    events: Iterable[JournalEvent],
    deliveries: Iterable[Delivery],
    *,
    first: datetime,
    past: datetime,
    acted_at: Sequence[datetime],
    repeat_interval_s: int,
) -> AlertFigures:
    """Return the figures of alerts between two instants, from all events of alerts up to the second.

    `acted_at` are the instants at which people did something; `deliveries` are all attempts to tell them.
    """
    firing: dict[str, tuple[datetime, bool]] = {}
    told: dict[Labels, Told] = {}
    codes: dict[str, int] = {}
    messages = needless = ended = by_themselves = 0
    for event in events:
        body, is_within = event.body, first <= event.at < past
        if event.kind == ALERT and body["is_firing"]:
            firing[body["fingerprint"]] = (event.at, False)
            if is_within:
                code = str(body["labels"].get(ALERTNAME, ""))
                codes[code] = codes.get(code, 0) + 1
        elif event.kind == ALERT:
            began_at, is_known = firing.pop(body["fingerprint"], (event.at, False))
            if is_within:
                ended += 1
                by_themselves += not is_known and not any(began_at <= at <= event.at for at in acted_at)
        elif event.kind == ACKNOWLEDGED and body["fingerprint"] in firing:
            firing[body["fingerprint"]] = (firing[body["fingerprint"]][0], True)
        elif event.kind == TOLD:
            group = labels_of(body["group"])
            needed = is_needed(body, told.get(group), at=event.at, repeat_interval_s=repeat_interval_s)
            told[group] = Told(frozenset(body["firing"]), frozenset(body["resolved"]), event.at)
            messages += is_within
            needless += is_within and not needed
    tries = [one for one in deliveries if first <= one.at < past]
    sent = [(one.channel, one.outbox_id) for one in tries if one.is_delivered]
    duplicates = needless + len(sent) - len(set(sent))
    of = messages + len(sent) - len(set(sent))
    return AlertFigures(
        begun=sum(codes.values()),
        by_code=_counts(codes),
        messages=messages,
        sent=len(sent),
        failed=sum(Reason(one.reason).is_failed_send for one in tries),
        unaddressed=len(
            {(one.channel, one.outbox_id) for one in tries if Reason(one.reason).is_without_address}
        ),
        duplicates=duplicates,
        duplicate_rate=duplicates / of if of else None,
        ended=ended,
        by_themselves=by_themselves,
        false_positive_rate=by_themselves / ended if ended else None,
    )


def cost_of(calls: Sequence[AdvisorCall]) -> ModelCost | None:
    """Return what models were asked and what it cost, by run and by intent; `None` without a question."""
    if not calls:
        return None
    intents = sorted(cost_by_intent(calls).values())
    return ModelCost(
        spent=spent(calls),
        by_run=tuple(
            RunCost(run_id, total.calls, total.cost_micros)
            for run_id, total in spent_by(calls, lambda call: call.run_id).items()
        ),
        intents=len(intents),
        intent_usd_micros_mean=sum(intents) // len(intents) if intents else None,
        intent_usd_micros_max=intents[-1] if intents else None,
    )


def _attention(facts: WeekFacts, budgets: Iterable[BudgetSeen]) -> Iterable[str]:
    for row in facts.sessions:
        if row.kept in {Kept.MISSED, Kept.LATE}:
            yield f"{row.session} {row.kept.value}: {row.why}"
    for incident in facts.incidents:
        if incident.is_open:
            yield f"incident {incident.incident_id} {incident.kind} is open"
    for action in facts.planned:
        if action.is_overdue(facts.as_of.date()):
            yield action.owed
    for row in facts.sessions:
        if row.kept in RUN and not row.has_report:
            yield f"{row.session} has no daily report: its numbers are not in the sums"
    for budget in budgets:
        if budget.budget_left is not None and budget.budget_left <= 0:
            yield f"{budget.objective} has spent its error budget"
    if facts.alerts.failed:
        yield f"{facts.alerts.failed} sends of alerts did not arrive at once"


def _budget(standing: Standing, week: Week) -> BudgetSeen:
    burns = [
        burn
        for session, burn in standing.burn_by_session
        if week.monday <= session <= week.sunday and burn is not None
    ]
    return BudgetSeen(
        objective=standing.objective.value,
        sessions=len(burns),
        burn=sum(burns) / len(burns) if burns else None,
        burned=sum(burns) / WINDOW_SESSIONS if burns else None,
        budget_left=standing.budget_left,
    )


def _counts(counts: Mapping[str, int]) -> tuple[CodeCount, ...]:
    return tuple(CodeCount(*pair) for pair in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _total(rows: Iterable[SessionSeen], of: Callable[[SessionSeen], int | None]) -> int | None:
    known = [value for row in rows if (value := of(row)) is not None]
    return sum(known) if known else None


def _largest(rows: Iterable[SessionSeen], of: Callable[[SessionSeen], float | None]) -> float | None:
    return max((value for row in rows if (value := of(row)) is not None), default=None)
