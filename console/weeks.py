"""A week of a book looked back on: how it went, and whether all of it was in order, from what is stored.

The rules are trading/weekly_health.py and trading/compliance.py; a week's numbers are those of its daily
reports, `trading slo`, incidents, `trading verify` and `trading evidence check`. Reading changes nothing; the
graph asks here as well, and writes what was found (trading_assets/stages/weeks.py).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from console.agreement import disagreements
from console.book_outlines import BookOutline
from console.desk import Desk, desk_of
from console.exit_codes import ExitCode
from console.filed_evidence import check_evidence
from console.incident_reviews import review_of
from console.incidents import incidents_of, planned_actions
from console.reports import REPORTS, content_of
from console.slo import standings_of
from console.verify import lake_inputs_sha, missing_link, verify
from resources.clocks import system_now
from resources.evidence import stored_verdicts
from resources.settings import Profile, Settings
from trading.advisor_calls import AdvisorCall, spent
from trading.audit import Tell, instant_from_text
from trading.clock import Phase
from trading.compliance import (
    ApprovalSeen,
    AuditFacts,
    ControlSeen,
    IntentSeen,
    InvariantSeen,
    MismatchSeen,
    WeekAudit,
    audited,
)
from trading.errors import BadInput, LakeError
from trading.journal import JournalEvent, JournalIntent, SessionRecord
from trading.sessions import Calendar
from trading.slos import Objective
from trading.timetable import span_of
from trading.values import Slot, micros_from_text
from trading.weekly_health import (
    AlertFigures,
    IncidentSeen,
    Kept,
    Outcome,
    SessionSeen,
    WeekFacts,
    WeekHealth,
    alert_figures,
    health_of,
)
from trading.weeks import Week, missing_weeks, week_from_text, week_of_date

HEALTH, AUDIT = "weekly_health", "weekly_audit"
HEALTH_HTML, HEALTH_JSON = "health.html", "health.json"
AUDIT_HTML, AUDIT_JSON = "audit.html", "audit.json"

TOP_REASON = "execution.blocked_reason_top."
"""How the metrics are called that count what was blocked, by reason."""

NOT_CONTROL = frozenset(
    {
        "executor_began",
        "evidence_filed",
        "flatten_previewed",
        "alert_acknowledged",
        "silence_set",
        "silence_ended",
        "incident_acknowledged",
        "incident_acted",
        "incident_resolved",
        "incident_action_planned",
        "incident_action_done",
    }
)
"""The kinds of events that bear a name and change nothing of what may be traded."""

UNNAMED_CONTROL = frozenset({"halted", "advisor_stepped_back"})
"""What changes what may be traded, and the rules may do by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFound:
    """Hold a week's health summary, and where its page lies, empty until the graph has written it."""

    health: WeekHealth
    html: str

    @property
    def exit_code(self) -> ExitCode:
        """Return attention where the week asks for a person."""
        return ExitCode.ATTENTION if self.health.outcome is Outcome.ATTENTION else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFound:
    """Hold a week's compliance audit, and where its page lies, empty until the graph has written it."""

    audit: WeekAudit
    html: str

    def at(self, html: str) -> AuditFound:
        """Return the same audit with its page at another place."""
        return replace(self, html=html)

    @property
    def exit_code(self) -> ExitCode:
        """Return attention where the audit found something."""
        is_found = self.audit.critical or self.audit.warnings
        return ExitCode.ATTENTION if is_found else ExitCode.DONE


class DeskWeeks:
    """Look back on weeks for the graph; a `WeekRecords` of trading_assets/stages/weeks.py."""

    def __init__(self, settings: Settings) -> None:
        """Look at the desk of these settings."""
        self._settings = settings

    @cached_property
    def _desk(self) -> Desk:
        return desk_of(self._settings)

    def missing(self, book: str) -> tuple[str, ...]:
        """Return the weeks of a book that are over and not looked back on yet, ascending."""
        outline = self._desk.one(book)
        return tuple(week.name for week in weeks_missing(self._desk, outline))

    def health(self, book: str, week: Week) -> WeekHealth:
        """Return the health summary of a week."""
        return week_health(self._desk, self._desk.one(book), week)

    def audit(self, book: str, week: Week, tell: Callable[[str], None]) -> WeekAudit:
        """Return the compliance audit of a week; `tell` is told how far a long look is."""
        return week_audit(self._desk, self._desk.one(book), week, tell=tell)


def latest_week(desk: Desk, outline: BookOutline) -> Week:
    """Return the week to show where none is named: of the book's latest session, or of today before any."""
    latest = desk.latest(outline)
    return week_of_date(latest.session if latest is not None else desk.today(outline))


def week_asked(desk: Desk, outline: BookOutline, text: str) -> Week:
    """Return the week of a name; raises `BadInput` where it is none, or has not begun at the book's exchange.

    Simulated days end with the data: its last session is today.
    """
    week = week_from_text(text)
    if desk.settings.profile is Profile.SIMULATED:
        today = desk.today(outline)
        has_begun = week.monday <= today
    else:
        now = system_now()
        today, has_begun = now.date(), week.span(desk.calendar(outline))[0] <= now
    if not has_begun:
        raise BadInput(f"week {week.name}: has not begun; today is {today}, in {week_of_date(today).name}")
    return week


def weeks_missing(desk: Desk, outline: BookOutline) -> tuple[Week, ...]:
    """Return the weeks from the book's first session on that are over and have no summary or no audit yet."""
    question = "find_all_sessions"
    begun = [
        date.fromisoformat(row["session"])
        for row in desk.journal.answers((question,))[question]
        if (row["book"], row["lane"]) == (outline.name, desk.lane) and row["opening_sha"]
    ]
    if not begun:
        return ()
    made = set(weeks_made(desk, outline, HEALTH)) & set(weeks_made(desk, outline, AUDIT))
    return missing_weeks(
        desk.calendar(outline), first=min(begun), now=_now(desk, outline, max(begun)), made=made
    )


def weeks_made(desk: Desk, outline: BookOutline, asset: str) -> tuple[str, ...]:
    """Return the weeks of which the graph has made a summary or an audit, ascending."""
    return tuple(desk.lake.partitions(outline.name, asset))


def _now(desk: Desk, outline: BookOutline, latest: date) -> datetime:
    """Return the time by which weeks are over; a simulated week is when its last session is settled."""
    if desk.settings.profile is not Profile.SIMULATED:
        return system_now()
    calendar, week = desk.calendar(outline), week_of_date(latest)
    record = desk.journal.session_record(book=outline.name, lane=desk.lane, session=latest)
    is_last = week.sessions(calendar)[-1] == latest
    is_settled = record is not None and record.settled_at is not None
    return week.span(calendar)[1 if is_last and is_settled else 0]


def _as_of(desk: Desk, outline: BookOutline, week: Week) -> datetime:
    """Return the instant of a look: now, or on simulated days that of the last session that was run.

    What stands, as what is left of a budget, stands then: a look at an earlier week is no look back in time.
    """
    if desk.settings.profile is not Profile.SIMULATED:
        return system_now()
    latest = desk.latest(outline)
    if latest is None:
        return week.span(desk.calendar(outline))[0]
    return desk.clock(outline).now(latest.session, Phase.SETTLE)


# ---------------------------------------------------------------------------------------------- health


def health_found(desk: Desk, outline: BookOutline, week: Week) -> HealthFound:
    """Return a week's health summary as of now, with the place of the page that was written of it."""
    return HealthFound(health=week_health(desk, outline, week), html=_page(desk, outline, week, HEALTH_HTML))


def week_health(desk: Desk, outline: BookOutline, week: Week) -> WeekHealth:
    """Return the health summary of a week from what is stored."""
    calendar = desk.calendar(outline)
    standings = standings_of(desk, book=outline.name)
    sessions = sessions_seen(desk, outline, week)
    contents = [content_of(desk, outline, row.session) or {} for row in sessions]
    metrics = [_metrics(content) for content in contents]
    calls = [call for row in sessions for call in _calls(desk, outline, row.session)]
    first, past = week.span(calendar)
    days = (week.monday + timedelta(days=number) for number in range(5))
    return health_of(
        WeekFacts(
            book=outline.name,
            title=outline.title,
            mode=desk.lane,
            week=week,
            as_of=_as_of(desk, outline, week),
            currency=outline.currency,
            closed=tuple((day, calendar.why_closed(day)) for day in days if day not in calendar),
            sessions=sessions,
            blocked=_added(
                {
                    name.removeprefix(TOP_REASON): int(value or 0)
                    for name, value in numbers.items()
                    if name.startswith(TOP_REASON)
                }
                for numbers in metrics
            ),
            quarantined=_added(content.get("quarantined", {}) for content in contents),
            alerts=_alerts(desk, outline, first=first, past=past),
            incidents=incidents_in(desk, outline, first=first, past=past),
            planned=planned_actions(desk, book=outline.name),
            standings=standings,
            calls=tuple(calls),
            advisor_step=next(
                (content["advice"]["step"] for content in reversed(contents) if content.get("advice")), ""
            ),
        )
    )


def sessions_seen(desk: Desk, outline: BookOutline, week: Week) -> tuple[SessionSeen, ...]:
    """Return every session of a week from the book's first one on, run or not, as the journal knows it."""
    where = {"book": outline.name, "lane": desk.lane}
    burned, calendar = _availability(desk, outline), desk.calendar(outline)
    begun = desk.journal.sessions(**where, last=1, before=week.sunday + timedelta(days=1))
    if not begun:
        return ()
    is_first_week = not desk.journal.sessions(**where, last=1, before=week.monday)
    counts = desk.journal.intent_counts(**where, first=week.monday, last=week.sunday)
    found: list[SessionSeen] = []
    for session in week.sessions(calendar):
        record = desk.journal.session_record(**where, session=session)
        if is_first_week and not found and (record is None or not record.opening_sha):
            continue
        is_due = session in burned or _is_past(desk, calendar, session)
        kept, why = _kept(record, burned.get(session), is_due=is_due)
        seen = SessionSeen(session=session, kept=kept, why=why)
        if record is not None and record.decided_at is not None:
            own = counts.get(session)
            seen = seen._replace(
                intents=own.intents if own else 0,
                blocked=own.blocked if own else 0,
                filled=own.filled if own else 0,
                orders=len(desk.journal.orders(**where, session=session)),
            )
        found.append(_with_report(seen, desk, outline))
    return tuple(found)


def _availability(desk: Desk, outline: BookOutline) -> dict[date, float | None]:
    """Return how the budget of availability burned in each session that counts: 0 where all was in time."""
    standing = next(
        one for one in standings_of(desk, book=outline.name) if one.objective is Objective.AVAILABILITY
    )
    return dict(standing.burn_by_session)


def _kept(record: SessionRecord | None, burn: float | None, *, is_due: bool) -> tuple[Kept, str]:
    """Return how a session went; `burn` is what it took of the budget, `None` where it is not counted."""
    if record is None or not record.opening_sha:
        return (Kept.MISSED, "nobody ran it") if is_due else (Kept.OPEN, "it is not due yet")
    if record.settled_at is None:
        told = record.refused or "it was begun and not settled"
        return (Kept.MISSED, told) if is_due else (Kept.OPEN, told)
    if record.decided_at is None:
        by = f"carried by {record.carried_by}" if record.carried_by else "settled"
        return Kept.MISSED, f"{by}: nothing was decided"
    if burn is None:
        return Kept.UNJUDGED, "service levels do not reach back so far"
    if burn > 0:
        return Kept.LATE, "decided after the open, or settled more than an hour after the close"
    return Kept.IN_TIME, ""


def _is_past(desk: Desk, calendar: Calendar, session: date) -> bool:
    """Say whether the time of a session is long over; a simulated one's is not before it was run."""
    return desk.settings.profile is not Profile.SIMULATED and span_of(calendar, session)[1] <= system_now()


def _with_report(seen: SessionSeen, desk: Desk, outline: BookOutline) -> SessionSeen:
    """Return a session with the numbers of its daily report, and what its advice cost."""
    calls = _calls(desk, outline, seen.session)
    seen = seen._replace(cost_usd_micros=spent(calls).cost_micros if calls else None)
    content = content_of(desk, outline, seen.session)
    if content is None:
        return seen
    numbers, pnl = _metrics(content), content.get("pnl", {})
    return seen._replace(
        has_report=True,
        slippage_bps=numbers.get("execution.slippage_bps"),
        pnl_micros=_micros(pnl.get("session_pnl")),
        equity_micros=_micros(pnl.get("equity")),
        drawdown=numbers.get("pnl.drawdown"),
        exposure=numbers.get("exposure.gross"),
        quarantined=sum(content.get("quarantined", {}).values()),
    )


def _metrics(content: Mapping[str, Any]) -> dict[str, float | None]:
    return {row["name"]: row["value"] for row in content.get("metrics", {}).get("items", ())}


def _micros(text: str | None) -> int | None:
    return None if text is None else micros_from_text(text)


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            added[name] = added.get(name, 0) + count
    return added


def _calls(desk: Desk, outline: BookOutline, session: date) -> list[AdvisorCall]:
    return desk.journal.advisor_calls_of(book=outline.name, session=session)


def _alerts(desk: Desk, outline: BookOutline, *, first: datetime, past: datetime) -> AlertFigures:
    """Return the figures of a book's alerts, and of those that are of no book."""
    events = [event for event in desk.journal.alert_events(first=0) if event.at < past]
    policy = tomllib.loads((desk.settings.config_dir / "alerts.toml").read_text(encoding="utf-8"))
    return alert_figures(
        [event for event in events if event.book in {"", outline.name}],
        desk.journal.deliveries(),
        first=first,
        past=past,
        acted_at=[event.at for event in _acts(desk, outline, first=first, past=past) if event.actor],
        repeat_interval_s=int(policy["route"]["repeat_interval_s"]),
    )


def incidents_in(
    desk: Desk, outline: BookOutline, *, first: datetime, past: datetime, is_open_too: bool = False
) -> tuple[IncidentSeen, ...]:
    """Return the incidents between two instants, ascending; with `is_open_too` those still open."""
    found = []
    for row in reversed(incidents_of(desk, book=outline.name)):
        if first <= row.at < past or (is_open_too and row.is_open and row.at < past):
            review = review_of(desk, row.incident_id)
            found.append(
                IncidentSeen(
                    incident_id=row.incident_id,
                    at=row.at,
                    kind=row.kind,
                    severity=review.severity,
                    detect_s=review.detect_s,
                    recover_s=review.recover_s,
                    is_open=row.is_open,
                )
            )
    return tuple(found)


# ---------------------------------------------------------------------------------------------- audit


def audit_found(desk: Desk, outline: BookOutline, week: Week, *, tell: Tell) -> AuditFound:
    """Return a week's compliance audit as of now, with the place of the page that was written of it."""
    return AuditFound(
        audit=week_audit(desk, outline, week, tell=tell), html=_page(desk, outline, week, AUDIT_HTML)
    )


def week_audit(desk: Desk, outline: BookOutline, week: Week, *, tell: Tell) -> WeekAudit:
    """Return the compliance audit of a week; the stores are verified now, and that is told with its time."""
    first, past = week.span(desk.calendar(outline))
    verified = verify(desk, book=outline.name, tell=tell)
    evidence = check_evidence(desk, book=outline.name)
    sessions = sessions_seen(desk, outline, week)
    intents = [
        row
        for seen in sessions
        for row in desk.journal.intents(book=outline.name, lane=desk.lane, session=seen.session)
    ]
    return audited(
        AuditFacts(
            book=outline.name,
            title=outline.title,
            mode=desk.lane,
            week=week,
            as_of=_as_of(desk, outline, week),
            sessions=sessions,
            intents=tuple(_intents(desk, outline, intents)),
            approvals=tuple(_approvals(desk, intents)),
            limits_before=_limits_before(desk, outline, week),
            files=files_now(desk),
            files_before=files_before(desk, outline, week),
            controls=tuple(_control(event) for event in _acts(desk, outline, first=first, past=past)),
            invariants=tuple(
                InvariantSeen(
                    invariant=row.invariant,
                    says=row.says,
                    standing=row.standing.value,
                    looked_at=row.looked_at,
                    why=row.why,
                    violations=row.violations,
                )
                for row in verified.invariants
            ),
            evidence_rows=evidence.rows,
            is_filed=outline.name not in evidence.unfiled,
            evidence=evidence.missing,
            incidents=incidents_in(desk, outline, first=first, past=past, is_open_too=True),
            mismatches=tuple(MismatchSeen("stores", told, "trading doctor") for told in disagreements(desk)),
        )
    )


def _intents(desk: Desk, outline: BookOutline, rows: Sequence[JournalIntent]) -> Iterable[IntentSeen]:
    """Give each intent with where its way back ends; a flatten's is a person's order, and verified as one."""
    judged = stored_verdicts(desk.journal, rows)
    is_decided: dict[date, bool] = {}
    made_from: dict[date, str] = {}
    for row in rows:
        session = row.intent.session
        if session not in made_from:
            record = desk.journal.session_record(book=outline.name, lane=desk.lane, session=session)
            is_decided[session] = record is not None and bool(record.decisions_sha)
            made_from[session] = lake_inputs_sha(desk, row)
        missing = ""
        if row.intent.slot is not Slot.FLATTEN:
            missing = missing_link(
                row,
                is_decided=is_decided[session],
                verdicts=judged.get(row.intent_id, []),
                made_from=made_from[session],
            )
        yield IntentSeen(
            intent_id=row.intent_id,
            session=session,
            symbol=row.intent.symbol,
            state=row.state.value,
            payload_hash=row.payload_hash,
            limits_sha=row.limits_sha,
            missing_link=missing,
        )


def _approvals(desk: Desk, intents: Sequence[JournalIntent]) -> Iterable[ApprovalSeen]:
    """Give every answer of a person to these intents, in the order given, the first of two too."""
    symbols = {row.intent_id: row.intent.symbol for row in intents}
    found = desk.journal.answers(("find_all_approvals", "find_all_endorsements"))
    answers = [(row, row["answer"]) for row in found["find_all_approvals"]]
    answers += [(row, "endorsed") for row in found["find_all_endorsements"]]
    for row, answer in sorted(answers, key=lambda pair: pair[0]["at"]):
        if row["intent_id"] in symbols:
            yield ApprovalSeen(
                at=instant_from_text(row["at"]),
                intent_id=row["intent_id"],
                symbol=symbols[row["intent_id"]],
                answer=answer,
                actor=row["actor"],
                reason=row["reason"],
                payload_hash=row["payload_hash"],
            )


def _limits_before(desk: Desk, outline: BookOutline, week: Week) -> str:
    """Return the digest of the limits of the last intents before a week, empty without any."""
    where = {"book": outline.name, "lane": desk.lane}
    for record in reversed(desk.journal.sessions(**where, last=20, before=week.monday)):
        rows = desk.journal.intents(**where, session=record.session)
        if rows:
            return rows[-1].limits_sha
    return ""


def files_now(desk: Desk) -> dict[str, str]:
    """Return the SHA-256 of each reviewed file by its place below the folder of reviewed files."""
    folder = desk.settings.config_dir
    books = desk.settings.books_file
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".toml", ".json", ".txt"} and path.is_file()
    }
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in {**files, "the books in force": books}.items()
    }


def files_before(desk: Desk, outline: BookOutline, week: Week) -> dict[str, str] | None:
    """Return what the audit of the week before says of reviewed files, `None` where it was never written."""
    path = _folder(desk, outline) / week.previous.name / AUDIT_JSON
    try:
        found: dict[str, str] = dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path}: not an audit ({error}); materialize its week again") from error
    return found


def _acts(desk: Desk, outline: BookOutline, *, first: datetime, past: datetime) -> list[JournalEvent]:
    """Return what people, or the rules by themselves, did to trading between two instants."""
    return [
        event
        for event in desk.journal.events_around(first=first, past=past, intent_id="")
        if event.at < past
        and event.kind not in NOT_CONTROL
        and (event.actor or event.kind in UNNAMED_CONTROL)
        and event.book in {"", outline.name}
        and event.lane in {"", desk.lane}
        and event.body.get("account", outline.account) == outline.account
    ]


def _control(event: JournalEvent) -> ControlSeen:
    body = event.body
    what = " ".join(str(one) for one in (event.kind, body.get("action", ""), body.get("mode", "")) if one)
    about = " ".join(
        str(one) for one in (event.session, body.get("account", ""), body.get("symbol", "")) if one
    )
    return ControlSeen(at=event.at, what=what, about=about, actor=event.actor, reason=event.reason)


def _page(desk: Desk, outline: BookOutline, week: Week, name: str) -> str:
    path = _folder(desk, outline) / week.name / name
    return str(path) if path.exists() else ""


def _folder(desk: Desk, outline: BookOutline) -> Path:
    return desk.settings.profile_dir / REPORTS / outline.name


# ---------------------------------------------------------------------------------------- what was written


def written_of_week(desk: Desk, outline: BookOutline) -> tuple[Path, ...]:
    """Return the files that were written of weeks of a book: its health summaries and audits."""
    folder = _folder(desk, outline)
    return tuple(sorted({*folder.glob(f"*/{HEALTH_JSON}"), *folder.glob(f"*/{AUDIT_JSON}")}))


def page_of_week(desk: Desk, outline: BookOutline, name: str, file: str) -> bytes | None:
    """Return a file that was written of a week, `None` where there is none; raises `BadInput` for no week."""
    path = _folder(desk, outline) / week_from_text(name).name / file
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
