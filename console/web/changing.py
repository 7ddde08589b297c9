"""The REST API's changes: approve, reject, expire, cancel, replace, lift, and run control up to flatten.

Each is one action of console/actions.py, done by console/doing.py as a dry run or for good, once a key
(idempotency.py). What is shown is reading.py.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from console import alerts as console_alerts
from console import doing
from console.actions import Answer, ControlChanged, HaltLifted, Shown
from console.alerts import AlertLine, SilenceLine
from console.book_outlines import require_book
from console.doing import AnsweredAndStarted, AskedAndStarted, By, Flatten, Retried
from console.freshness import freshness_of
from console.incidents import IncidentLine
from console.lookup import find_intent
from console.render import NOT_SHOWN
from console.web.answering import needs_approver
from console.web.described import CHANGE_PROBLEMS
from console.web.idempotency import ChangeRoute
from console.web.identities import Role
from console.web.permission import actor_of, needs, require_resume
from console.web.problems import ProblemFound, problem
from console.web.reading import IdPath, desk_of
from console.web.shapes import change_of, changed
from trading.approvals import Role as ApproverRole
from trading.journal import CancelKind, Cooldown, JournalIntent, RunControlAction

REASON_LENGTH_MAX = 1000
VERSION_MAX = 2**31
INCIDENT_MAX = 2**31
MINUTES_MAX = 30 * 24 * 60
"""The longest silence: thirty days."""
NO_KEY_NEEDED = "none is needed"

DryRunQuery = Annotated[
    bool, Query(description="Say what would be done, by the same rules, and keep nothing of it.")
]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,200}$",
        description="Under one key a change is done once: the same request again is answered alike. "
        "Needed unless it is a dry run or a halt.",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=REASON_LENGTH_MAX,
        description="Why, in one line; kept in the journal with your name.",
        # Told here, held to by the one action behind all surfaces.
        json_schema_extra={"pattern": f"^[^{NOT_SHOWN}]*$"},
    ),
]
IncidentPath = Annotated[
    int, Path(ge=1, le=INCIDENT_MAX, description="An incident's number, as `GET /incidents` shows it.")
]
AlertPath = Annotated[
    str,
    Path(
        description="An alert's code, or the beginning of its fingerprint.",
        examples=["drawdown_high"],
        max_length=200,
    ),
]
SilencePath = Annotated[
    str, Path(description="The id of a silence.", examples=["5f0c9a1b2c3d"], max_length=200)
]
Version = Annotated[int, Field(ge=1, le=VERSION_MAX, description="The version that you saw.")]


class Asked(BaseModel):
    """Hold why something is to be done."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "prices look wrong"}]}
    )

    reason: Reason


class AnswerAsked(Asked):
    """Hold an answer to a pending intent, bound to the preview that was seen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reason": "checked the news", "payload_hash": "5f0c" * 16, "version": 1}]
        }
    )

    payload_hash: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="Of the payload that you saw, as previewed.")
    ]
    version: Version


class VersionAsked(Asked):
    """Hold a change of an intent or its order, bound to the version that was seen."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "wrong size", "version": 3}]})

    version: Version


class ResumeAsked(Asked):
    """Hold a resume; a halt takes the word that names it, and a pause is held to the one it is given."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "prices are right again", "confirm": "resume-1a2b3c4d"}]}
    )

    confirm: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Of the stop in force, as `GET /control` shows it; a pause may be ended without.",
        ),
    ] = None


class FlattenAsked(Asked):
    """Hold a flatten: without its word it is previewed, with it what was previewed is ordered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reason": "out before the news", "book": "us_five", "confirm": "flatten-1a2b3c4d"}]
        }
    )

    book: Annotated[str, Field(min_length=1, max_length=100)]
    confirm: Annotated[
        str | None,
        Field(
            pattern=r"^flatten-[0-9a-f]{1,64}$",
            description="Of the preview to order; null for a preview.",
        ),
    ] = None


class RetryAsked(Asked):
    """Hold which session's execution is to be tried again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reason": "the broker answers", "book": "us_five", "session": "2013-02-28"}]
        }
    )

    book: Annotated[str, Field(min_length=1, max_length=100)]
    session: date


class LiftAsked(Asked):
    """Hold the halt of an account or an instrument that is to end, as `GET /halts` shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reason": "the transfer is booked",
                    "account": "SIM-FIVE",
                    "symbol": "IBM",
                    "changed_at": "2013-02-28T14:30:00Z",
                }
            ]
        }
    )

    account: Annotated[str, Field(min_length=1, max_length=100)]
    symbol: Annotated[str, Field(max_length=100, description="Empty for the account as a whole.")] = ""
    changed_at: Annotated[AwareDatetime, Field(description="Since when it is in force.")]


class CooldownAsked(Asked):
    """Hold the cooldown of an account that is to end, as `GET /cooldowns` shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reason": "it was the line", "account": "SIM-FIVE", "began_at": "2013-02-28T14:30:00Z"}
            ]
        }
    )

    account: Annotated[str, Field(min_length=1, max_length=100)]
    began_at: Annotated[AwareDatetime, Field(description="Since when it is in force.")]


class SilenceAsked(Asked):
    """Hold of what people are not to be told, and for how long."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reason": "known since the gap", "matchers": ["alertname=drawdown_high"], "minutes": 120}
            ]
        }
    )

    matchers: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(
            min_length=1,
            max_length=10,
            description="Each LABEL=VALUE, or != or =~ or !~; labels are alertname, book and severity.",
        ),
    ]
    minutes: Annotated[int, Field(ge=1, le=MINUTES_MAX, description="For how long; thirty days at most.")]


class ConcludeAsked(VersionAsked):
    """Hold that somebody has looked, and that the broker has no order of a parked intent."""

    on_my_word: Annotated[
        bool, Field(description="You know it from the broker itself, and its queries do not prove it.")
    ] = False


router = APIRouter(route_class=ChangeRoute, responses=CHANGE_PROBLEMS)

halting = APIRouter(responses=CHANGE_PROBLEMS)
"""Apart from what is done once a key: an old answer that says "halted" must never stand for a halt."""


@router.post(
    "/approvals/{identity}/approve",
    tags=["approvals"],
    dependencies=[needs_approver(Answer.APPROVE)],
    response_model=change_of(AnsweredAndStarted),
)
def approve(
    request: Request,
    identity: IdPath,
    body: AnswerAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Approve one pending intent and start its execution, which looks at every guard again."""
    return _answered(request, identity, Answer.APPROVE, body, key, dry_run=dry_run)


@router.post(
    "/approvals/{identity}/reject",
    tags=["approvals"],
    dependencies=[needs_approver(Answer.REJECT)],
    response_model=change_of(AnsweredAndStarted),
)
def reject(
    request: Request,
    identity: IdPath,
    body: AnswerAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Reject one pending intent, for good."""
    return _answered(request, identity, Answer.REJECT, body, key, dry_run=dry_run)


@router.post(
    "/approvals/{identity}/expire",
    tags=["approvals"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(JournalIntent),
)
def expire(
    request: Request,
    identity: IdPath,
    body: VersionAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """End one pending or approved intent whose time is over."""
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    row = find_intent(desk, identity)
    now = desk.act_at(row.intent.book, row.intent.session)
    return _told(request, doing.expire(desk, row, version=body.version, by=by, now=now), by)


@halting.post(
    "/control/halt",
    tags=["control"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(ControlChanged),
)
def halt(request: Request, body: Asked, *, dry_run: DryRunQuery = False) -> dict[str, Any]:
    """Stop all trading at once: nothing more is claimed or sent. Takes no key, and is never held back."""
    by = _by(request, body, NO_KEY_NEEDED, dry_run=dry_run)
    return _told(request, doing.change_control(desk_of(request), RunControlAction.HALT, by=by), by)


@router.post(
    "/control/pause",
    tags=["control"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(ControlChanged),
)
def pause(
    request: Request, body: Asked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Hold trading back for a while, without the kill switch."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.change_control(desk_of(request), RunControlAction.PAUSE, by=by), by)


@router.post(
    "/control/resume",
    tags=["control"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(ControlChanged),
)
def resume(
    request: Request, body: ResumeAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """End a pause; or, as an admin who names the halt in force by its word, a halt."""
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    require_resume(actor_of(request), desk.journal.run_control())
    done = doing.change_control(desk, RunControlAction.RESUME, by=by, confirmed=body.confirm)
    return _told(request, done, by)


@router.post(
    "/control/degrade",
    tags=["control"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(ControlChanged),
)
def degrade(
    request: Request, body: Asked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Trade less and by hand from now on: a person approves, and orders are at most a quarter."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.change_control(desk_of(request), RunControlAction.DEGRADE, by=by), by)


@router.post(
    "/control/restore",
    tags=["control"],
    dependencies=[needs(Role.ADMIN)],
    response_model=change_of(ControlChanged),
)
def restore(
    request: Request, body: Asked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """End a degrade: trade normally again."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.change_control(desk_of(request), RunControlAction.RESTORE, by=by), by)


@router.post(
    "/control/retry",
    tags=["control"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(Retried),
)
def retry(
    request: Request, body: RetryAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Try the execution of a session again: what is approved and was held is sent, nothing is sent twice.

    Refused (409) for a session that is settled or was never run: nothing is started then.
    """
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    book = require_book(desk.books, body.book)
    desk.calendar(book).require(body.session)
    done = doing.retry(desk, book.name, body.session, by=by, starts=request.app.state.starts)
    return _told(request, done, by)


@router.post(
    "/control/flatten",
    tags=["control"],
    dependencies=[needs(Role.ADMIN)],
    response_model=change_of(Flatten),
)
def flatten(
    request: Request, body: FlattenAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Sell all that a book holds while trading is halted: first a preview, then by the preview's word."""
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    book = require_book(desk.books, body.book)
    return _told(request, doing.flatten(desk, book.name, confirmed=body.confirm, by=by), by)


@router.post(
    "/incidents/{incident_id}/acknowledge",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(IncidentLine),
)
def acknowledge(
    request: Request,
    incident_id: IncidentPath,
    body: Asked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Say that you look after an open incident; it lifts and ends nothing."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.acknowledge(desk_of(request), incident_id, by=by), by)


@router.post(
    "/incidents/{incident_id}/act",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(IncidentLine),
)
def act(
    request: Request,
    incident_id: IncidentPath,
    body: Asked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Say what you did about an incident: it stands in its timeline and its post-mortem, and ends nothing."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.act_on(desk_of(request), incident_id, by=by, is_end=False), by)


@router.post(
    "/incidents/{incident_id}/resolve",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(IncidentLine),
)
def resolve(
    request: Request,
    incident_id: IncidentPath,
    body: Asked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Say that an incident is over which halts nothing and is about no open intent."""
    by = _by(request, body, key, dry_run=dry_run)
    return _told(request, doing.act_on(desk_of(request), incident_id, by=by, is_end=True), by)


@router.post(
    "/halts/lift",
    tags=["incidents"],
    dependencies=[needs(Role.ADMIN)],
    response_model=change_of(HaltLifted),
)
def lift(
    request: Request, body: LiftAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """End the halt of one account or instrument, the one that was seen and no later one."""
    by = _by(request, body, key, dry_run=dry_run)
    done = doing.lift(
        desk_of(request), account=body.account, symbol=body.symbol, changed_at=body.changed_at, by=by
    )
    return _told(request, done, by)


@router.post(
    "/alerts/{alert}/acknowledge",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(AlertLine),
)
def acknowledge_alert(
    request: Request, alert: AlertPath, body: Asked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Say that you know of an alert and act on it: it is not told again while it goes on."""
    by = _by(request, body, key, dry_run=dry_run)
    done = console_alerts.acknowledge(
        desk_of(request), alert, actor=by.actor, reason=by.reason, is_rehearsal=by.is_rehearsal
    )
    return _told(request, done, by)


@router.post(
    "/silences",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(SilenceLine),
)
def silence(
    request: Request, body: SilenceAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """Keep people from being told of matching alerts for a while; they stay in the list."""
    by = _by(request, body, key, dry_run=dry_run)
    done = console_alerts.silence(
        desk_of(request),
        body.matchers,
        lasts=timedelta(minutes=body.minutes),
        actor=by.actor,
        reason=by.reason,
        is_rehearsal=by.is_rehearsal,
    )
    return _told(request, done, by)


@router.post(
    "/silences/{silence_id}/end",
    tags=["incidents"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(SilenceLine),
)
def end_silence(
    request: Request,
    silence_id: SilencePath,
    body: Asked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """End a silence before its time: what fires is told again."""
    by = _by(request, body, key, dry_run=dry_run)
    done = console_alerts.end_silence(
        desk_of(request), silence_id, actor=by.actor, reason=by.reason, is_rehearsal=by.is_rehearsal
    )
    return _told(request, done, by)


@router.post(
    "/cooldowns/end",
    tags=["incidents"],
    dependencies=[needs(Role.ADMIN)],
    response_model=change_of(Cooldown),
)
def end_cooldown(
    request: Request, body: CooldownAsked, key: KeyHeader = None, *, dry_run: DryRunQuery = False
) -> dict[str, Any]:
    """End the cooldown of an account before its time, the one that was seen and no later one."""
    by = _by(request, body, key, dry_run=dry_run)
    done = doing.end_cooldown(desk_of(request), body.account, began_at=body.began_at, by=by)
    return _told(request, done, by)


@router.post(
    "/intents/{identity}/conclude",
    tags=["incidents"],
    dependencies=[needs(Role.ADMIN)],
    response_model=change_of(JournalIntent),
)
def conclude(
    request: Request,
    identity: IdPath,
    body: ConcludeAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """End a parked intent of which the broker has no order, as somebody has seen there."""
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    row = find_intent(desk, identity)
    done = doing.conclude(desk, row, version=body.version, is_on_word=body.on_my_word, by=by)
    return _told(request, done, by)


@router.post(
    "/orders/{identity}/cancel",
    tags=["orders"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(AskedAndStarted),
)
def cancel(
    request: Request,
    identity: IdPath,
    body: VersionAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Cancel one order: recorded first, then asked of the broker. What was filled by then stays filled."""
    return _asked_of_order(request, identity, CancelKind.CANCEL, body, key, dry_run=dry_run)


@router.post(
    "/orders/{identity}/replace",
    tags=["orders"],
    dependencies=[needs(Role.TRADER)],
    response_model=change_of(AskedAndStarted),
)
def replace(
    request: Request,
    identity: IdPath,
    body: VersionAsked,
    key: KeyHeader = None,
    *,
    dry_run: DryRunQuery = False,
) -> dict[str, Any]:
    """Cancel one order, and send what is left of it once the broker has ended it."""
    return _asked_of_order(request, identity, CancelKind.REPLACE, body, key, dry_run=dry_run)


def _answered(
    request: Request, identity: str, what: Answer, body: AnswerAsked, key: str | None, *, dry_run: bool
) -> dict[str, Any]:
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    seen = Shown(payload_hash=body.payload_hash, version=body.version)
    row = find_intent(desk, identity)
    done = doing.answer(desk, row, what, seen=seen, by=by, starts=request.app.state.starts)
    return _told(request, done, by)


def _asked_of_order(
    request: Request, identity: str, kind: CancelKind, body: VersionAsked, key: str | None, *, dry_run: bool
) -> dict[str, Any]:
    by = _by(request, body, key, dry_run=dry_run)
    desk = desk_of(request)
    row = find_intent(desk, identity)
    starts = request.app.state.starts
    done = doing.ask_of_order(desk, row, kind, version=body.version, by=by, starts=starts)
    return _told(request, done, by)


def _by(request: Request, body: Asked, key: str | None, *, dry_run: bool) -> By:
    """Return who acts and why; raises `ProblemFound` for a change that could be done twice."""
    if key is None and not dry_run:
        raise ProblemFound(problem("idempotency_key_missing"))
    actor = actor_of(request)
    return By(
        actor=actor.name,
        role=ApproverRole(actor.role.value),
        reason=body.reason,
        is_rehearsal=dry_run,
    )


def _told(request: Request, view: Any, by: By) -> dict[str, Any]:
    desk = desk_of(request)
    return changed(view, freshness_of(desk), dry_run=by.is_rehearsal)
