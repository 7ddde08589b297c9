"""Run control: in which state trading is, what a person or a rule may make of it, and which mode holds. Pure.

`TRANSITIONS` is the whole table; the journal asks `controlled` inside its transactions and stores what it
says, with who, why, before and after. What a state holds back of one intent is protocol.py (`gate_refusal`)
and guards.py; the records are journal.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from trading.approvals import ApprovalMode
from trading.journal import Cooldown, CooldownRules, RunControl, RunControlAction
from trading.lifecycle import Refusal


class RunState(StrEnum):
    """Say in which state trading is, the one that holds back least first.

    `degraded` trades less and by hand, `cooldown` lets an account only reduce risk until its time is over,
    `paused` and `halted` hold everything until a named person resumes (a halt: all but a named flatten).
    """

    RUNNING = "running"
    DEGRADED = "degraded"
    COOLDOWN = "cooldown"
    PAUSED = "paused"
    HALTED = "halted"


class ModeSource(StrEnum):
    """Say where a mode came from, the strongest first."""

    EXPLICIT = "explicit"
    STORED = "stored"
    ENVIRONMENT = "environment"
    DEFAULT = "default"


class Resolved(NamedTuple):
    """Hold the mode in force and where it came from."""

    mode: ApprovalMode
    source: ModeSource


KILL_SWITCH_ON = "kill_switch_on"
TRADING_PAUSED = "trading_paused"
COOLDOWN_ACTIVE = "cooldown_active"
INCIDENT_THRESHOLD = "incident_threshold_cooldown"
NOT_HALTED = "not_halted"
NOT_DEGRADED = "not_degraded"

_STATES = tuple(RunState)
_R, _D, _C, _P, _H = _STATES

TRANSITIONS: dict[tuple[RunState, RunControlAction], RunState] = {
    **{(state, RunControlAction.HALT): _H for state in _STATES},
    **{(state, RunControlAction.PAUSE): _P for state in (_R, _D, _C, _P)},
    # What stood beneath a stop shows again once it is lifted: `state_of` says.
    **{(state, RunControlAction.RESUME): _R for state in (_R, _C, _P, _H)},
    (_D, RunControlAction.RESUME): _D,
    **{(state, RunControlAction.RETRY): state for state in (_R, _D)},
    **{(state, RunControlAction.CANCEL): state for state in _STATES},
    (_H, RunControlAction.FLATTEN): _H,
    (_R, RunControlAction.DEGRADE): _D,
    **{(state, RunControlAction.DEGRADE): state for state in (_D, _C, _P, _H)},
    (_D, RunControlAction.RESTORE): _R,
    **{(state, RunControlAction.RESTORE): state for state in (_C, _P, _H)},
    **{(state, RunControlAction.MODE): state for state in _STATES},
    **{(state, RunControlAction.COOL): _C for state in (_R, _D, _C)},
    **{(state, RunControlAction.COOL): state for state in (_P, _H)},
}
"""Where each action leads; what is not here is refused."""

_REFUSALS: dict[tuple[RunState, RunControlAction], Refusal] = {
    (_H, RunControlAction.PAUSE): Refusal(
        KILL_SWITCH_ON, "trading is halted, which stops more than a pause; end the halt with `trading resume`"
    ),
    (_C, RunControlAction.RETRY): Refusal(
        COOLDOWN_ACTIVE,
        "an account cools down after failures; wait, or `trading resume --account NAME`",
    ),
    (_P, RunControlAction.RETRY): Refusal(TRADING_PAUSED, "trading is paused; `trading resume` ends that"),
    (_H, RunControlAction.RETRY): Refusal(KILL_SWITCH_ON, "trading is halted; `trading resume` ends that"),
    **{
        (state, RunControlAction.FLATTEN): Refusal(
            NOT_HALTED,
            "trading is not halted, so that orders would go on while you look; `trading halt` first",
        )
        for state in (_R, _D, _C, _P)
    },
    (_R, RunControlAction.RESTORE): Refusal(NOT_DEGRADED, "trading is not degraded"),
}


def transition(state: RunState, action: RunControlAction) -> RunState | Refusal:
    """Return the state that an action leads to, or why it is refused: a stable code and what to do."""
    after = TRANSITIONS.get((state, action))
    return _REFUSALS[state, action] if after is None else after


def state_of(control: RunControl, *, is_cooling: bool = False) -> RunState:
    """Return the state that trading is in: of all that is switched, what holds back most."""
    if control.kill_switch_on:
        return RunState.HALTED
    if control.paused:
        return RunState.PAUSED
    if is_cooling:
        return RunState.COOLDOWN
    return RunState.DEGRADED if control.is_degraded else RunState.RUNNING


def controlled(
    control: RunControl, action: RunControlAction, *, actor: str, reason: str, now: datetime
) -> RunControl | Refusal:
    """Return run control after an action, or why it is refused; the state alone decides (`transition`).

    A halt takes a pause's place, so that ending it ends both and a flatten is not held by the lesser stop.
    """
    after = transition(state_of(control), action)
    if isinstance(after, Refusal):
        return after
    match action:
        case RunControlAction.HALT:
            stop = replace(control, kill_switch_on=True, paused=False)
        case RunControlAction.PAUSE:
            stop = replace(control, paused=True)
        case RunControlAction.RESUME:
            stop = replace(control, kill_switch_on=False, paused=False)
        case RunControlAction.DEGRADE:
            return replace(
                control, is_degraded=True, degraded_by=actor, degraded_reason=reason, degraded_at=now
            )
        case RunControlAction.RESTORE:
            return replace(
                control, is_degraded=False, degraded_by=actor, degraded_reason=reason, degraded_at=now
            )
        case _:
            # Retry, cancel and flatten act on orders, and a cooldown is of one account: nothing is switched.
            return control
    return replace(stop, actor=actor, reason=reason, changed_at=now)


CHANGING = frozenset(
    {
        RunControlAction.HALT,
        RunControlAction.PAUSE,
        RunControlAction.RESUME,
        RunControlAction.DEGRADE,
        RunControlAction.RESTORE,
    }
)
"""The actions that switch something for all trading."""


# -------------------------------------------------------------------------------- cooling down


class CooldownDue(NamedTuple):
    """Hold until when an account has to cool down, after how many failures or incidents, and why."""

    until: datetime
    times: int
    reason: str


def cooldown_due(
    failed_at: Sequence[datetime],
    incidents_at: Sequence[datetime],
    last: Cooldown | None,
    rules: CooldownRules,
    *,
    now: datetime,
) -> CooldownDue | None:
    """Return until when an account has to cool down now, `None` where it has not to.

    `failed_at` are its failed executions, `incidents_at` its incidents since its last cooldown began or was
    ended, in any order; those older than their window do not count. While it cools down nothing is added.
    """
    if last is not None and last.is_active(now):
        return None
    until = now + timedelta(seconds=rules.cooldown_s)
    if _recent(failed_at, rules.window_s, now=now) >= rules.failures_max:
        what = f"{rules.failures_max} failed executions within {rules.window_s} s"
        return CooldownDue(until, rules.failures_max, what)
    if _recent(incidents_at, rules.incidents_window_s, now=now) >= rules.incidents_max:
        what = f"{rules.incidents_max} incidents within {rules.incidents_window_s} s"
        return CooldownDue(until, rules.incidents_max, f"{INCIDENT_THRESHOLD}: {what}")
    return None


def _recent(instants: Sequence[datetime], window_s: int, *, now: datetime) -> int:
    since = now - timedelta(seconds=window_s)
    return sum(1 for at in instants if at >= since)


def cooldown_refusal(cooldown: Cooldown) -> Refusal:
    """Return why no session is decided while an account cools down, and what to do."""
    return Refusal(
        COOLDOWN_ACTIVE,
        f"account {cooldown.account} cools down until {cooldown.until:%Y-%m-%d %H:%M:%S} UTC"
        f" ({cooldown.reason}): only what lowers risk goes on; wait, or"
        f" `trading resume --account {cooldown.account} --reason TEXT`",
    )


def cooling(cooldowns: Iterable[Cooldown], *, account: str, lane: str, now: datetime) -> Cooldown | None:
    """Return the cooldown that an account is in, `None` where it is in none."""
    for cooldown in cooldowns:
        if (cooldown.account, cooldown.lane) == (account, lane) and cooldown.is_active(now):
            return cooldown
    return None


# -------------------------------------------------------------------------------- the mode


def resolve_mode(
    explicit: ApprovalMode | None,
    stored: ApprovalMode | None,
    environment: ApprovalMode | None,
    default: ApprovalMode,
) -> Resolved:
    """Return the first mode that is given: asked for now, stored by a person, the environment's, the file's.

    Whether it may be activated is `activated`: saying a mode is not yet having it.
    """
    for mode, source in (
        (explicit, ModeSource.EXPLICIT),
        (stored, ModeSource.STORED),
        (environment, ModeSource.ENVIRONMENT),
    ):
        if mode is not None:
            return Resolved(mode, source)
    return Resolved(default, ModeSource.DEFAULT)


def activated(resolved: Resolved, *, reviewed: ApprovalMode, is_degraded: bool) -> ApprovalMode:
    """Return the mode in force: never more automatic than what was reviewed, and by hand while degraded.

    `auto` without a person is the one thing that no option, stored word or environment can bring about.
    """
    if is_degraded:
        return ApprovalMode.MANUAL
    if resolved.mode is ApprovalMode.AUTO and reviewed is not ApprovalMode.AUTO:
        return reviewed
    return resolved.mode
