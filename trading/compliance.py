"""The weekly compliance audit: what of a week was in order, what not, and what nobody could judge. Pure.

Facts come in, findings go out, each with how bad it is and where to look. No rule is decided here:
what an invariant means is invariants.py, how a session went weekly_health.py, what evidence lacks
evidence_ledger.py; this says which of it a week's reader has to know. What was not checked is its own
outcome, never a pass; a day that nobody ran is a finding, never a gap in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from trading.evidence_ledger import Missing
from trading.reporting import plain_value
from trading.weekly_health import IncidentSeen, Kept, SessionSeen
from trading.weeks import Week

AUDIT_VERSION = "weekly_audit.v1"

LOG_INVARIANTS = frozenset({"INV8", "INV9"})
"""The invariants about the chain of events, its signed checkpoints and the copy of it in the audit log."""

HELD, VIOLATED = "held", "violated"

SHA_SHOWN = 12


class Grade(StrEnum):
    """Say how bad a finding is: act now, look this week, know of it, or nobody could judge it."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOT_CHECKED = "not checked"
    NOTE = "note"


class Area(StrEnum):
    """Say what part of the desk's order a finding is about."""

    SESSIONS = "sessions"
    LINEAGE = "lineage"
    APPROVALS = "approvals"
    CONFIGURATION = "configuration"
    CONTROL = "run control"
    INVARIANTS = "invariants"
    AUDIT_LOG = "audit log"
    EVIDENCE = "evidence"
    MISMATCHES = "standing mismatches"


class AreaOutcome(StrEnum):
    """Say how an area stands; where there was nothing to look at it is no data."""

    IN_ORDER = "in order"
    FINDINGS = "findings"
    NOT_CHECKED = "not checked"
    NO_DATA = "no data"


class Finding(NamedTuple):
    """Hold one thing that the reader of an audit has to know; `look` is the command that shows more."""

    grade: Grade
    area: Area
    subject: str
    detail: str
    look: str


class AreaJudged(NamedTuple):
    """Hold how one area stands, and what was looked at."""

    area: Area
    outcome: AreaOutcome
    looked_at: str
    findings: int


class IntentSeen(NamedTuple):
    """Hold one intent; `missing_link` is where its way back to what was read ends, empty if it does not."""

    intent_id: str
    session: date
    symbol: str
    state: str
    payload_hash: str
    limits_sha: str
    missing_link: str


class ApprovalSeen(NamedTuple):
    """Hold one person's answer to an intent, with the digest of what they saw."""

    at: datetime
    intent_id: str
    symbol: str
    answer: str
    actor: str
    reason: str
    payload_hash: str


class Change(NamedTuple):
    """Hold a change of limits or of a reviewed file by its digests; one is empty where there was none."""

    what: str
    on: date
    before: str
    after: str


class ControlSeen(NamedTuple):
    """Hold one thing that somebody did to trading: a halt, its end, a mode, an override."""

    at: datetime
    what: str
    about: str
    actor: str
    reason: str


class InvariantSeen(NamedTuple):
    """Hold how one invariant stood when it was verified, and why it could not be judged where it was not."""

    invariant: str
    says: str
    standing: str
    looked_at: str
    why: str
    violations: int


class MismatchSeen(NamedTuple):
    """Hold one disagreement that stands, and the command about it."""

    subject: str
    detail: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacts:
    """Hold what an audit judges. `as_of` is the UTC instant at which it was gathered, and verified.

    `limits_before` is the digest of the last intents before the week, empty without any. `files` are digests
    of the reviewed files by name, `files_before` those of the audit before, `None` without one.
    """

    book: str
    title: str
    mode: str
    week: Week
    as_of: datetime
    sessions: tuple[SessionSeen, ...]
    intents: tuple[IntentSeen, ...]
    approvals: tuple[ApprovalSeen, ...]
    limits_before: str
    files: Mapping[str, str]
    files_before: Mapping[str, str] | None
    controls: tuple[ControlSeen, ...]
    invariants: tuple[InvariantSeen, ...]
    evidence_rows: int
    is_filed: bool
    evidence: tuple[Missing, ...]
    incidents: tuple[IncidentSeen, ...]
    mismatches: tuple[MismatchSeen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekAudit:
    """Hold the compliance audit of one week of one book, ready to be shown; findings come the worst first.

    `outcome` is one line; `not_checked` counts what nobody could judge, which is no pass.
    """

    book: str
    title: str
    mode: str
    week: str
    first: date
    last: date
    as_of: datetime
    outcome: str
    critical: int
    warnings: int
    not_checked: int
    findings: tuple[Finding, ...]
    areas: tuple[AreaJudged, ...]
    sessions: tuple[SessionSeen, ...]
    intents: int
    linked: int
    approvals: tuple[ApprovalSeen, ...]
    changes: tuple[Change, ...]
    controls: tuple[ControlSeen, ...]
    invariants: tuple[InvariantSeen, ...]
    files: tuple[tuple[str, str], ...]

    def payload(self) -> dict[str, Any]:
        """Return the audit as JSON values: times RFC 3339 in UTC, digests of files by name."""
        return {"schema_version": AUDIT_VERSION, **plain_value(self), "files": dict(self.files)}


def audited(facts: AuditFacts) -> WeekAudit:
    """Return the audit of a week: every area judged, the findings by how bad they are."""
    findings: list[Finding] = []
    areas = []
    for area, (looked_at, look) in _AREAS.items():
        own = list(look(facts))
        findings += own
        areas.append(AreaJudged(area, _outcome_of(own, looked_at(facts)), looked_at(facts), len(own)))
    findings.sort(key=lambda one: list(Grade).index(one.grade))
    count = {grade: sum(one.grade is grade for one in findings) for grade in Grade}
    return WeekAudit(
        book=facts.book,
        title=facts.title,
        mode=facts.mode,
        week=facts.week.name,
        first=facts.week.monday,
        last=facts.week.sunday,
        as_of=facts.as_of,
        outcome=_outcome(facts, count),
        critical=count[Grade.CRITICAL],
        warnings=count[Grade.WARNING],
        not_checked=count[Grade.NOT_CHECKED],
        findings=tuple(findings),
        areas=tuple(areas),
        sessions=facts.sessions,
        intents=len(facts.intents),
        linked=sum(not one.missing_link for one in facts.intents),
        approvals=facts.approvals,
        changes=changes_of(facts),
        controls=facts.controls,
        invariants=facts.invariants,
        files=tuple(sorted(facts.files.items())),
    )


def changes_of(facts: AuditFacts) -> tuple[Change, ...]:
    """Return what of limits and reviewed files changed: limits by session, files since the audit before."""
    said = [Change("", facts.week.monday, "", facts.limits_before)] if facts.limits_before else []
    said += [Change("", row.session, "", row.limits_sha) for row in facts.intents]
    limits = [
        Change("limits in force", later.on, earlier.after, later.after)
        for earlier, later in pairwise(said)
        if earlier.after != later.after
    ]
    if facts.files_before is None:
        return tuple(limits)
    before = facts.files_before
    names = sorted({*before, *facts.files})
    return (
        *limits,
        *(
            Change(name, facts.week.sunday, before.get(name, ""), facts.files.get(name, ""))
            for name in names
            if before.get(name, "") != facts.files.get(name, "")
        ),
    )


def _outcome(facts: AuditFacts, count: Mapping[Grade, int]) -> str:
    if count[Grade.CRITICAL] or count[Grade.WARNING]:
        told = f"{count[Grade.CRITICAL]} critical, {count[Grade.WARNING]} warnings"
    else:
        told = "in order" if facts.sessions else "no session, and nothing out of order"
    return f"{told}, {count[Grade.NOT_CHECKED]} not checked" if count[Grade.NOT_CHECKED] else told


def _outcome_of(findings: Iterable[Finding], looked_at: str) -> AreaOutcome:
    grades = {one.grade for one in findings}
    if grades & {Grade.CRITICAL, Grade.WARNING}:
        return AreaOutcome.FINDINGS
    if Grade.NOT_CHECKED in grades:
        return AreaOutcome.NOT_CHECKED
    return AreaOutcome.IN_ORDER if looked_at else AreaOutcome.NO_DATA


# ---------------------------------------------------------------------------------------------- the areas


def _sessions(facts: AuditFacts) -> Iterable[Finding]:
    for row in facts.sessions:
        if row.kept in {Kept.MISSED, Kept.LATE}:
            yield Finding(
                Grade.CRITICAL if row.kept is Kept.MISSED else Grade.WARNING,
                Area.SESSIONS,
                str(row.session),
                f"{row.kept.value}: {row.why}",
                f"trading why --book {facts.book} --session {row.session}",
            )


def _lineage(facts: AuditFacts) -> Iterable[Finding]:
    for row in facts.intents:
        if row.missing_link:
            yield Finding(
                Grade.CRITICAL,
                Area.LINEAGE,
                row.intent_id,
                f"{row.symbol} {row.session}: {row.missing_link}",
                f"trading trace {row.intent_id}",
            )


def _approvals(facts: AuditFacts) -> Iterable[Finding]:
    decided = {row.intent_id: row.payload_hash for row in facts.intents}
    for row in facts.approvals:
        known = decided.get(row.intent_id, "")
        if known != row.payload_hash:
            yield Finding(
                Grade.CRITICAL,
                Area.APPROVALS,
                row.intent_id,
                f"{row.actor} answered {row.payload_hash[:SHA_SHOWN]}, what was decided is "
                f"{known[:SHA_SHOWN] or 'gone'}",
                f"trading explain {row.intent_id}",
            )


def _configuration(facts: AuditFacts) -> Iterable[Finding]:
    for one in changes_of(facts):
        yield Finding(
            Grade.WARNING,
            Area.CONFIGURATION,
            one.what,
            f"on {one.on}: {one.before[:SHA_SHOWN] or 'none'} became {one.after[:SHA_SHOWN] or 'none'}",
            "trading config show",
        )
    if facts.files_before is None:
        yield Finding(
            Grade.NOT_CHECKED,
            Area.CONFIGURATION,
            "reviewed files",
            "the week before has no audit, so that nothing says what they were",
            f"trading report audit --book {facts.book} --week {facts.week.previous.name}",
        )


def _control(facts: AuditFacts) -> Iterable[Finding]:
    for row in facts.controls:
        named = row.actor and row.reason
        yield Finding(
            Grade.NOTE if named else Grade.WARNING,
            Area.CONTROL,
            " ".join(filter(None, (row.what, row.about))),
            f"by {row.actor or 'nobody named'}: {row.reason or 'no reason given'}",
            "trading status",
        )


def _invariants(facts: AuditFacts) -> Iterable[Finding]:
    return _standing(facts, Area.INVARIANTS, lambda row: row.invariant not in LOG_INVARIANTS)


def _audit_log(facts: AuditFacts) -> Iterable[Finding]:
    return _standing(facts, Area.AUDIT_LOG, lambda row: row.invariant in LOG_INVARIANTS)


def _standing(facts: AuditFacts, area: Area, is_own: Callable[[InvariantSeen], bool]) -> Iterable[Finding]:
    for row in filter(is_own, facts.invariants):
        if row.standing == HELD:
            continue
        is_violated = row.standing == VIOLATED
        yield Finding(
            Grade.CRITICAL if is_violated else Grade.NOT_CHECKED,
            area,
            row.invariant,
            f"{row.says}: {f'{row.violations} violations' if is_violated else row.why}",
            f"trading verify --book {facts.book}",
        )


def _evidence(facts: AuditFacts) -> Iterable[Finding]:
    for one in facts.evidence:
        yield Finding(
            Grade.WARNING,
            Area.EVIDENCE,
            f"{one.code} {one.about}",
            one.detail,
            f"trading evidence check --book {facts.book}",
        )
    if not facts.is_filed:
        yield Finding(
            Grade.NOT_CHECKED,
            Area.EVIDENCE,
            facts.book,
            "no run of it was ever filed as evidence, so that no window is asked for",
            f"trading evidence check --book {facts.book}",
        )


def _mismatches(facts: AuditFacts) -> Iterable[Finding]:
    for incident in facts.incidents:
        if incident.is_open:
            yield Finding(
                Grade.CRITICAL,
                Area.MISMATCHES,
                f"incident {incident.incident_id}",
                f"{incident.kind}, open since {incident.at:%Y-%m-%d %H:%M} UTC",
                f"trading incidents show {incident.incident_id}",
            )
    for one in facts.mismatches:
        yield Finding(Grade.CRITICAL, Area.MISMATCHES, one.subject, one.detail, one.look)


def _counted(rows: Sequence[object], noun: str) -> str:
    return f"{len(rows):,} {noun}" if rows else ""


_Look = Callable[[AuditFacts], Iterable[Finding]]
_AREAS: Mapping[Area, tuple[Callable[[AuditFacts], str], _Look]] = {
    Area.SESSIONS: (lambda facts: _counted(facts.sessions, "sessions of the week"), _sessions),
    Area.LINEAGE: (lambda facts: _counted(facts.intents, "intents with their verdicts"), _lineage),
    Area.APPROVALS: (lambda facts: _counted(facts.approvals, "answers of people"), _approvals),
    Area.CONFIGURATION: (lambda facts: _counted(tuple(facts.files), "reviewed files"), _configuration),
    Area.CONTROL: (lambda facts: _counted(facts.controls, "acts"), _control),
    Area.INVARIANTS: (lambda facts: _counted(facts.invariants, "invariants"), _invariants),
    Area.AUDIT_LOG: (
        lambda facts: "; ".join(
            dict.fromkeys(
                row.looked_at for row in facts.invariants if row.invariant in LOG_INVARIANTS and row.looked_at
            )
        ),
        _audit_log,
    ),
    Area.EVIDENCE: (
        lambda facts: f"{facts.evidence_rows:,} rows of the ledger" if facts.evidence_rows else "",
        _evidence,
    ),
    Area.MISMATCHES: (lambda _: "journal, log, lake, ledgers and incidents", _mismatches),
}
"""Every area with what was looked at, empty where there was nothing, and what finds."""
