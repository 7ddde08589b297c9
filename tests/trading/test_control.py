"""Run control: every state with every action, what a stop leaves beneath it, cooling down, and the mode."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.approvals import ApprovalMode
from trading.control import (
    TRANSITIONS,
    ModeSource,
    RunState,
    activated,
    controlled,
    cooldown_due,
    cooldown_refusal,
    cooling,
    resolve_mode,
    state_of,
    transition,
)
from trading.journal import Cooldown, CooldownRules, RunControl, RunControlAction
from trading.lifecycle import Refusal

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
UNTOUCHED = RunControl(kill_switch_on=False, paused=False, actor="", reason="", changed_at=None)
SAID = {"actor": "ann", "reason": "why", "now": NOW}

# Each line: a state, then where each action leads from it; a word with a dash is a refusal's code.
TABLE = """
         retry             pause            cancel   resume   halt   flatten     degrade  restore       cool     mode
running  running           paused           running  running  halted -not_halted degraded -not_degraded cooldown running
degraded degraded          paused           degraded degraded halted -not_halted degraded running       cooldown degraded
cooldown -cooldown_active  paused           cooldown running  halted -not_halted cooldown cooldown      cooldown cooldown
paused   -trading_paused   paused           paused   running  halted -not_halted paused   paused        paused   paused
halted   -kill_switch_on   -kill_switch_on  halted   running  halted halted      halted   halted        halted   halted
"""  # noqa: E501 - a table is read by its columns


def cells():
    head, *lines = [line.split() for line in TABLE.strip().splitlines()]
    for state, *leads in lines:
        for action, lead in zip(head, leads, strict=True):
            yield RunState(state), RunControlAction(action), lead


@pytest.mark.parametrize(("state", "action", "lead"), list(cells()))
def test_each_action_leads_from_each_state_where_the_table_says(state, action, lead):
    after = transition(state, action)

    if lead.startswith("-"):
        assert isinstance(after, Refusal)
        assert after.code == lead.removeprefix("-")
        assert after.message
    else:
        assert after is RunState(lead)


def test_the_table_has_every_state_and_every_action():
    seen = {(state, action) for state, action, _ in cells()}

    assert seen == set(product(RunState, RunControlAction))
    assert set(TRANSITIONS) <= seen


controls = st.builds(
    RunControl,
    kill_switch_on=st.booleans(),
    paused=st.booleans(),
    actor=st.just("bob"),
    reason=st.just("before"),
    changed_at=st.just(NOW - timedelta(hours=1)),
    is_degraded=st.booleans(),
)


@given(control=controls, action=st.sampled_from(RunControlAction))
def test_what_is_switched_is_what_the_table_allows_and_what_stood_beneath_shows_again(control, action):
    before = state_of(control)
    lead = transition(before, action)
    after = controlled(control, action, **SAID)

    if isinstance(lead, Refusal):
        assert after == lead
        return
    assert isinstance(after, RunControl)
    beneath = {RunState.DEGRADED} if control.is_degraded and action is RunControlAction.RESUME else set()
    if action is not RunControlAction.COOL:
        assert state_of(after) in {lead, *beneath}
    # A degrade neither lifts nor renames a stop: the word that ends it stays as it was.
    if action in {RunControlAction.DEGRADE, RunControlAction.RESTORE}:
        stop = ("kill_switch_on", "paused", "actor", "reason", "changed_at")
        assert [getattr(after, name) for name in stop] == [getattr(control, name) for name in stop]


STOPPED = RunControl(
    kill_switch_on=False,
    paused=True,
    actor="bob",
    reason="before",
    changed_at=NOW - timedelta(hours=1),
    is_degraded=True,
    degraded_by="carl",
    degraded_reason="thin",
)
STOPPING = {"actor": "ann", "reason": "why", "changed_at": NOW}
LOWERING = {"degraded_by": "ann", "degraded_reason": "why", "degraded_at": NOW}


@pytest.mark.parametrize(
    ("before", "action", "changed"),
    [
        (STOPPED, RunControlAction.HALT, {"kill_switch_on": True, "paused": False, **STOPPING}),
        (UNTOUCHED, RunControlAction.HALT, {"kill_switch_on": True, **STOPPING}),
        (STOPPED, RunControlAction.PAUSE, STOPPING),
        (UNTOUCHED, RunControlAction.PAUSE, {"paused": True, **STOPPING}),
        (STOPPED, RunControlAction.RESUME, {"paused": False, **STOPPING}),
        (
            replace(STOPPED, kill_switch_on=True),
            RunControlAction.RESUME,
            {"kill_switch_on": False, "paused": False, **STOPPING},
        ),
        (STOPPED, RunControlAction.DEGRADE, LOWERING),
        (UNTOUCHED, RunControlAction.DEGRADE, {"is_degraded": True, **LOWERING}),
        (STOPPED, RunControlAction.RESTORE, {"is_degraded": False, **LOWERING}),
        (STOPPED, RunControlAction.CANCEL, {}),
        (UNTOUCHED, RunControlAction.RETRY, {}),
        (UNTOUCHED, RunControlAction.COOL, {}),
        (replace(STOPPED, kill_switch_on=True), RunControlAction.FLATTEN, {}),
    ],
)
def test_an_action_switches_its_own_and_says_who_and_why_and_when(before, action, changed):
    assert controlled(before, action, **SAID) == replace(before, **changed)


@given(control=controls)
def test_only_a_resume_ends_a_halt(control):
    halted = controlled(control, RunControlAction.HALT, **SAID)
    assert isinstance(halted, RunControl)
    for action in set(RunControlAction) - {RunControlAction.RESUME}:
        after = controlled(halted, action, **SAID)

        assert isinstance(after, Refusal) or after.kill_switch_on


def test_an_account_that_cools_down_shows_between_paused_and_degraded():
    degraded = controlled(UNTOUCHED, RunControlAction.DEGRADE, **SAID)
    assert isinstance(degraded, RunControl)
    paused = controlled(degraded, RunControlAction.PAUSE, **SAID)
    assert isinstance(paused, RunControl)

    assert state_of(UNTOUCHED) is RunState.RUNNING
    assert [state_of(one, is_cooling=True) for one in (UNTOUCHED, degraded, paused)] == [
        RunState.COOLDOWN,
        RunState.COOLDOWN,
        RunState.PAUSED,
    ]


# -------------------------------------------------------------------------------- cooling down

RULES = CooldownRules(failures_max=3, window_s=60, cooldown_s=300, incidents_max=2, incidents_window_s=120)
UNTIL = NOW + timedelta(seconds=300)


def seconds_ago(*ages):
    return [NOW - timedelta(seconds=age) for age in ages]


@pytest.mark.parametrize(
    ("ages", "is_due"),
    [((), False), ((0, 0), False), ((0, 0, 0), True), ((0, 30, 60), True), ((0, 30, 61), False)],
)
def test_so_many_failures_within_the_window_and_no_fewer_begin_a_cooldown(ages, is_due):
    due = cooldown_due(seconds_ago(*ages), [], None, RULES, now=NOW)

    assert due == ((UNTIL, 3, "3 failed executions within 60 s") if is_due else None)


@pytest.mark.parametrize(
    ("ages", "is_due"), [((), False), ((0,), False), ((0, 0), True), ((0, 120), True), ((0, 121), False)]
)
def test_so_many_incidents_within_their_window_and_no_fewer_begin_one_as_well(ages, is_due):
    due = cooldown_due(seconds_ago(0, 0), seconds_ago(*ages), None, RULES, now=NOW)

    said = "incident_threshold_cooldown: 2 incidents within 120 s"
    assert due == ((UNTIL, 2, said) if is_due else None)


def cooldown(until):
    return Cooldown(
        account="A", lane="paper", failures=3, began_at=NOW, until=until, actor="executor", reason="r"
    )


def test_an_account_that_cools_down_is_refused_with_until_when_why_and_what_ends_it():
    refused = cooldown_refusal(cooldown(NOW + timedelta(seconds=61)))

    assert refused == Refusal(
        "cooldown_active",
        "account A cools down until 2013-02-28 14:31:01 UTC (r): only what lowers risk goes on; wait, or"
        " `trading resume --account A --reason TEXT`",
    )


def test_a_cooldown_is_not_prolonged_while_it_lasts_and_ends_by_its_time():
    active = cooldown(NOW + timedelta(seconds=1))
    over = cooldown(NOW)

    assert cooldown_due(seconds_ago(0, 0, 0), seconds_ago(0, 0), active, RULES, now=NOW) is None
    assert cooldown_due(seconds_ago(0, 0, 0), [], over, RULES, now=NOW) is not None
    assert cooling([active], account="A", lane="paper", now=NOW) is active
    assert cooling([over], account="A", lane="paper", now=NOW) is None
    assert cooling([active], account="B", lane="paper", now=NOW) is None
    assert cooling([active], account="A", lane="live", now=NOW) is None


@pytest.mark.parametrize(
    "name", ["failures_max", "window_s", "cooldown_s", "incidents_max", "incidents_window_s"]
)
def test_rules_by_which_nothing_would_cool_down_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} 0: must be positive"):
        CooldownRules(**{name: 0})


# -------------------------------------------------------------------------------- the mode

MODES = [None, *ApprovalMode]


@pytest.mark.parametrize(("explicit", "stored", "environment"), list(product(MODES, MODES, MODES)), ids=str)
def test_a_mode_is_the_first_that_is_said_explicit_stored_environment_default(explicit, stored, environment):
    resolved = resolve_mode(explicit, stored, environment, ApprovalMode.SHADOW_AUTO)

    said = [
        (explicit, ModeSource.EXPLICIT),
        (stored, ModeSource.STORED),
        (environment, ModeSource.ENVIRONMENT),
        (ApprovalMode.SHADOW_AUTO, ModeSource.DEFAULT),
    ]
    assert resolved == next((mode, source) for mode, source in said if mode is not None)


@pytest.mark.parametrize(("asked", "reviewed"), list(product(ApprovalMode, ApprovalMode)))
def test_nothing_makes_a_book_more_automatic_than_it_was_reviewed(asked, reviewed):
    resolved = resolve_mode(asked, None, None, reviewed)
    mode = activated(resolved, reviewed=reviewed, is_degraded=False)

    assert (mode is ApprovalMode.AUTO) == (asked is reviewed is ApprovalMode.AUTO)
    assert mode is (reviewed if asked is ApprovalMode.AUTO else asked)
    assert activated(resolved, reviewed=reviewed, is_degraded=True) is ApprovalMode.MANUAL
