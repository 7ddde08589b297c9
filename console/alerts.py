"""Which alerts there are, what each is to people now, and the silences in force.

What is known is folded from the journal's events (trading/alert_log.py); which rules keep others from being
told is read from `config/alerts.toml` here, without what takes long to import.
"""

from __future__ import annotations

import heapq
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from console.actions import require_actor
from console.desk import Desk
from resources.clocks import system_now
from resources.settings import Profile
from trading.alert_groups import InhibitRule, Matching, Silence, is_silenced, matcher_of
from trading.alert_log import AlertLog, AlertState, KnownAlert, find_alert, state_of
from trading.alerts import ALERTNAME, FailOn, Severity, fails
from trading.errors import BadInput, BadSetting

if TYPE_CHECKING:
    from resources.alert_keeper import JournalAlerts

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """Hold one alert; `about` names the one job or check where its rule is of many.

    `ends_at` is empty while it fires, `acknowledged_by` while nobody has said so, `run_id` where it was seen
    in no run. `end_reason` says why it is over though nobody saw it well again, empty where somebody did.
    """

    code: str
    book: str
    about: str
    severity: Severity
    state: AlertState
    session: str
    starts_at: datetime
    ends_at: datetime | None
    message: str
    owner: str
    runbook: str
    fingerprint: str
    acknowledged_by: str
    acknowledged_at: datetime | None
    comment: str
    run_id: str
    end_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceLine:
    """Hold one silence as people wrote it."""

    silence_id: str
    matchers: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    is_in_force: bool


def alerts_of(desk: Desk, *, book: str | None = None, is_all: bool = False) -> tuple[AlertLine, ...]:
    """Return the alerts that fire, the worst and the longest first; with `is_all` what is over behind them.

    Raises `BadInput` for a book that there is not.
    """
    wanted = {outline.name for outline in desk.chosen(book)}
    log = alert_log(desk)
    state_of_one = _judge(desk, log)
    lines = [_line(one, state_of_one(one)) for one in log.alerts.values() if is_all or one.ends_at is None]
    shown = [line for line in lines if book is None or line.book in wanted]
    return tuple(
        sorted(
            shown,
            key=lambda line: (
                line.state is AlertState.RESOLVED,
                line.severity is not Severity.CRITICAL,
                line.starts_at,
                line.fingerprint,
            ),
        )
    )


def ended_alerts(desk: Desk, *, last: int) -> tuple[tuple[AlertLine, ...], int]:
    """Return the last alerts that are over, the latest first, and how many of all there are."""
    over = [(one.ends_at, one) for one in alert_log(desk).alerts.values() if one.ends_at is not None]
    latest = heapq.nlargest(last, over, key=lambda found: (found[0], found[1].fingerprint))
    return tuple(_line(one, AlertState.RESOLVED) for _, one in latest), len(over)


def alert_of(desk: Desk, wanted: str) -> AlertLine:
    """Return one alert by code or fingerprint; raises `UnknownId` or `BadInput`."""
    log = alert_log(desk)
    found = find_alert(log, wanted)
    return _line(found, _judge(desk, log)(found))


def silences_of(desk: Desk) -> tuple[SilenceLine, ...]:
    """Return all silences, the latest first."""
    log = alert_log(desk)
    now = acting_at(desk, log)
    return tuple(_silence(one, now) for one in reversed(log.silences))


def silences_over(desk: Desk, wanted: str) -> tuple[SilenceLine, ...]:
    """Return the silences in force over one alert, the latest first; raises `UnknownId` or `BadInput`."""
    log = alert_log(desk)
    labels, now = find_alert(log, wanted).labels, acting_at(desk, log)
    return tuple(_silence(one, now) for one in reversed(log.silences) if is_silenced(labels, [one], now=now))


def alert_log(desk: Desk) -> AlertLog:
    """Return what the journal tells of alerts."""
    return desk.alerts.of(desk.journal)


def acting_at(desk: Desk, log: AlertLog) -> datetime:
    """Return the instant that counts as now for alerts: of simulated days that of the last that was said.

    Before anything was, it is when a person acts on them; a desk without any day has the machine's clock.
    """
    if desk.settings.profile is not Profile.SIMULATED:
        return system_now()
    known = [
        *(one.starts_at for one in log.alerts.values()),
        *(one.ends_at for one in log.alerts.values() if one.ends_at is not None),
        *(one.starts_at for one in log.silences),
    ]
    return max(known or desk.last_opens(desk.books.values()), default=system_now())


def acknowledge(desk: Desk, wanted: str, *, actor: str, reason: str, is_rehearsal: bool = False) -> AlertLine:
    """Store that somebody knows of an alert that fires, and return it.

    Raises `UnknownId`, `BadInput`, or `IllegalTransition` for one that is over.
    """
    require_actor(actor, reason)
    found = alert_of(desk, wanted)
    with _opened(desk, is_rehearsal=is_rehearsal) as (kept, now):
        kept.acknowledge(found.fingerprint, actor=actor, reason=reason, now=now)
    state = AlertState.ACKNOWLEDGED if found.state is AlertState.FIRING else found.state
    return replace(found, state=state, acknowledged_by=actor, acknowledged_at=now, comment=reason)


def silence(
    desk: Desk,
    matchers: Sequence[str],
    *,
    lasts: timedelta,
    actor: str,
    reason: str,
    is_rehearsal: bool = False,
) -> SilenceLine:
    """Keep people from being told of matching alerts for a while; raises `BadInput`, as for a wrong name."""
    require_actor(actor, reason)
    for text in matchers:
        _require_known(desk, text)
    with _opened(desk, is_rehearsal=is_rehearsal) as (kept, now):
        silence_id = kept.silence(matchers, lasts=lasts, actor=actor, reason=reason, now=now)
    return SilenceLine(
        silence_id=silence_id,
        matchers=tuple(str(matcher_of(text)) for text in matchers),
        starts_at=now,
        ends_at=now + lasts,
        created_by=actor,
        comment=reason,
        is_in_force=True,
    )


def _require_known(desk: Desk, text: str) -> None:
    """Raise `BadInput` where a matcher names a rule, a book or a severity that there is not.

    What is misspelt matches no alert, or by `!=` every one: people would take it for a silence that holds.
    An alert of no book has the label empty.
    """
    try:
        matcher = matcher_of(text)
    except ValueError as error:
        raise BadInput(str(error)) from error
    names: dict[str, Callable[[], Iterable[str]]] = {
        ALERTNAME: lambda: _policy(desk, _codes),
        "book": lambda: desk.books,
        "severity": lambda: [one.value for one in Severity],
    }
    if matcher.matching not in {Matching.EQUAL, Matching.NOT_EQUAL} or matcher.name not in names:
        return
    seen = {dict(one.labels).get(matcher.name, "") for one in alert_log(desk).alerts.values()}
    known = sorted({*names[matcher.name](), *seen} - {""})
    if matcher.value and matcher.value not in known:
        near = get_close_matches(matcher.value, known, n=1)
        rather = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        if not near and matcher.name == ALERTNAME:
            rather = "docs/reference/alerts.md lists all"
        raise BadInput(f"matcher {text[:80]!a}: there is no {matcher.name} {matcher.value[:60]!a}; {rather}")


def silence_alert(desk: Desk, wanted: str, *, until: datetime, actor: str, reason: str) -> SilenceLine:
    """Keep people from being told of one alert until an instant, and of no other one.

    Raises `UnknownId` or `BadInput`.
    """
    found = alert_of(desk, wanted)
    lasts = until - acting_at(desk, alert_log(desk))
    labels = {
        ALERTNAME: found.code,
        "book": found.book,
        "severity": found.severity.value,
        "about": found.about,
    }
    matchers = [f"{label}={value}" for label, value in labels.items()]
    return silence(desk, matchers, lasts=lasts, actor=actor, reason=reason)


def end_silence(
    desk: Desk, silence_id: str, *, actor: str, reason: str, is_rehearsal: bool = False
) -> SilenceLine:
    """End a silence before its time; raises `UnknownId` where none of that id is in force."""
    require_actor(actor, reason)
    with _opened(desk, is_rehearsal=is_rehearsal) as (kept, now):
        kept.end_silence(silence_id, actor=actor, reason=reason, now=now)
    found = next(one for one in silences_of(desk) if one.silence_id == silence_id)
    return replace(found, ends_at=now, is_in_force=False)


@contextmanager
def _opened(desk: Desk, *, is_rehearsal: bool) -> Iterator[tuple[JournalAlerts, datetime]]:
    """Give what is known of alerts, to be changed or as if, and the instant of the change."""
    from resources.alert_keeper import JournalAlerts

    now = acting_at(desk, alert_log(desk))
    with desk.rehearse_journal() if is_rehearsal else desk.open_journal() as journal:
        yield JournalAlerts(journal), now


def is_failing(desk: Desk, rows: Sequence[AlertLine]) -> bool:
    """Say whether alerts count as failed: one fires from the policy's `fail_on` on, and nobody knows of it.

    Raises `BadSetting` where the policy cannot be read.
    """
    return fails((row.severity for row in rows if row.state is AlertState.FIRING), _policy(desk, _fail_on))


def inhibit_rules(desk: Desk) -> tuple[InhibitRule, ...]:
    """Return which alerts keep others from being told; raises `BadSetting` for a file that cannot be read."""
    return _policy(desk, _inhibit_rules)


def _policy(desk: Desk, part: Callable[[dict[str, Any]], Part]) -> Part:
    """Return a part of the policy, read plainly; all of a file is judged by resources/alert_policy.py."""
    path = desk.settings.config_dir / "alerts.toml"
    try:
        return part(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadSetting(f"{path}: {found}; `trading doctor` says more") from error


def _fail_on(policy: dict[str, Any]) -> FailOn:
    return FailOn(policy["fail_on"])


def _codes(policy: dict[str, Any]) -> tuple[str, ...]:
    return tuple(rule["code"] for rule in policy["rules"])


def _inhibit_rules(policy: dict[str, Any]) -> tuple[InhibitRule, ...]:
    return tuple(
        InhibitRule(
            source=tuple(map(matcher_of, rule["source"])),
            target=tuple(map(matcher_of, rule["target"])),
            equal=tuple(rule["equal"]),
        )
        for rule in policy.get("inhibit", [])
    )


def _judge(desk: Desk, log: AlertLog) -> Callable[[KnownAlert], AlertState]:
    """Return what says what an alert is to people now."""
    rules, now = inhibit_rules(desk), acting_at(desk, log)
    return lambda known: state_of(known, log, rules, now=now)


def _line(known: KnownAlert, state: AlertState) -> AlertLine:
    return AlertLine(
        code=known.code,
        book=dict(known.labels).get("book", ""),
        about=dict(known.labels).get("about", ""),
        severity=known.severity,
        state=state,
        session=known.session,
        starts_at=known.starts_at,
        ends_at=known.ends_at,
        message=known.message,
        owner=known.owner,
        runbook=known.runbook,
        fingerprint=known.fingerprint,
        acknowledged_by=known.acknowledged_by,
        acknowledged_at=known.acknowledged_at,
        comment=known.comment,
        run_id=known.run_id,
        end_reason=known.end_reason,
    )


def _silence(silence: Silence, now: datetime) -> SilenceLine:
    return SilenceLine(
        silence_id=silence.silence_id,
        matchers=tuple(str(matcher) for matcher in silence.matchers),
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        created_by=silence.created_by,
        comment=silence.comment,
        is_in_force=silence.starts_at <= now < silence.ends_at,
    )
