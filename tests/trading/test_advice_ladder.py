"""The ladder: each step on stored evidence, back by itself, up by a person alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from trading.advice import Ladder
from trading.advice_ladder import (
    AdvisedSession,
    Evaluation,
    InForce,
    LadderFacts,
    LadderGate,
    LadderLog,
    LadderRules,
    LiftStanding,
    ModelLock,
    Move,
    evaluated,
    in_force,
    judged,
    ladder_log_of,
    moved,
    passes,
    stepped_back,
    strays_of,
)
from trading.advisor_calls import BudgetState, ErrorBudget, Purpose
from trading.errors import BadInput, Refused
from trading.journal import JournalEvent
from trading.promotion import Standing
from trading.testing import example_call
from trading.values import IntentKey

LOCK = ModelLock(
    models=("small-1", "large-1"),
    prompt_name="advice",
    prompt_version="1",
    template_sha="t" * 64,
    schema_version="advice.v1",
)
OTHER = replace(LOCK, prompt_version="2")
RULES = LadderRules(
    sessions_min=4, budget=ErrorBudget(error_rate_bps_max=1_000, latency_ms_p95_max=5_000, calls_min=4)
)
NOON = datetime(2013, 3, 28, 12, tzinfo=UTC)
FIRST = date(2013, 3, 1)


def call(**told):
    return example_call(**{"at": NOON - timedelta(days=10), "session": FIRST, "intents": "key-a", **told})


def session(number, **told):
    row = AdvisedSession(
        session=FIRST + timedelta(days=number),
        ladder=Ladder.SHADOW,
        calls=(call(),),
        gain_micros=1_000_000,
        criticals=0,
    )
    return row._replace(**told)


def move(before, after, *, actor="ann", lock=LOCK, at=NOON - timedelta(hours=2), reason="why"):
    return Move(Ladder(before), Ladder(after), lock.sha(), actor, reason, at)


REHEARSED = (move(1, 0), move(0, 1, at=NOON - timedelta(hours=1)))
FILED = (Evaluation(LOCK.sha(), "r" * 64, LiftStanding.UNDECIDED, "ann", NOON - timedelta(days=1)),)


def facts(**told):
    whole = {
        "lock": LOCK,
        "log": LadderLog(moves=REHEARSED, evaluations=FILED),
        "sessions": tuple(session(number) for number in range(4)),
        "as_of": NOON,
    }
    return LadderFacts(**(whole | told))


def standing(gate, told, step=Ladder.VETO):
    return next(one.standing for one in judged(step, told, RULES) if one.gate is gate)


def test_with_all_of_its_evidence_a_step_passes():
    assert passes(judged(Ladder.SHADOW, facts(), RULES))
    assert passes(judged(Ladder.VETO, facts(), RULES))
    vetoed = tuple(session(number, ladder=Ladder.VETO) for number in range(4))
    assert passes(judged(Ladder.VETO_AND_SHRINK, facts(sessions=vetoed), RULES))


def with_log(**fields):
    return facts(log=replace(LadderLog(moves=REHEARSED, evaluations=FILED), **fields))


def with_sessions(**fields):
    return facts(sessions=tuple(session(number, **fields) for number in range(4)))


LOSSES = tuple(session(number, gain_micros=gain) for number, gain in enumerate((9, 9, -1, -1)))
SLOW = tuple(call(latency_ms=9_000) for _ in range(3))
UNSENT = call(ok=False, error_type="cost_budget_spent", attempts=0)
FAILED = (call(ok=False, error_type="time_out"),)


@pytest.mark.parametrize(
    ("gate", "told", "expected"),
    [
        (LadderGate.MODEL_LOCKED, facts(lock=None), Standing.REFUSED),
        (LadderGate.EVALUATED, with_log(evaluations=()), Standing.NO_DATA),
        (
            LadderGate.EVALUATED,
            with_log(evaluations=(FILED[0]._replace(lock_sha=OTHER.sha()),)),
            Standing.NO_DATA,
        ),
        (LadderGate.SESSIONS, facts(sessions=()), Standing.NO_DATA),
        (LadderGate.SESSIONS, facts(sessions=(session(0),)), Standing.REFUSED),
        (LadderGate.SESSIONS, with_sessions(ladder=Ladder.OFF), Standing.NO_DATA),
        (LadderGate.SESSIONS, with_sessions(calls=()), Standing.NO_DATA),
        (LadderGate.SESSIONS, with_sessions(calls=(call(model="another"),)), Standing.NO_DATA),
        (LadderGate.SESSIONS, with_sessions(calls=(call(), call(prompt_version="0"))), Standing.NO_DATA),
        (LadderGate.SESSIONS, with_sessions(calls=(call(prompt_version="1@" + "u" * 12),)), Standing.NO_DATA),
        (LadderGate.SESSIONS, with_sessions(calls=(UNSENT,)), Standing.NO_DATA),
        (LadderGate.ERROR_BUDGET, facts(sessions=(session(0),)), Standing.NO_DATA),
        (LadderGate.ERROR_BUDGET, with_sessions(calls=(call(), *FAILED)), Standing.REFUSED),
        (LadderGate.ERROR_BUDGET, with_sessions(calls=SLOW), Standing.REFUSED),
        (LadderGate.STABLE_PROFIT, facts(sessions=LOSSES), Standing.REFUSED),
        (LadderGate.STABLE_PROFIT, with_sessions(gain_micros=0), Standing.REFUSED),
        (LadderGate.STABLE_PROFIT, with_sessions(gain_micros=None), Standing.NO_DATA),
        (LadderGate.STABLE_PROFIT, facts(sessions=(session(0),)), Standing.NO_DATA),
        (LadderGate.NO_CRITICAL, with_sessions(criticals=1), Standing.REFUSED),
        (LadderGate.NO_CRITICAL, facts(sessions=()), Standing.NO_DATA),
        (
            LadderGate.NO_CRITICAL,
            with_log(moves=(move(2, 1, actor="", reason="advice_guard_mismatch"), *REHEARSED)),
            Standing.REFUSED,
        ),
        (LadderGate.ROLLBACK_REHEARSED, with_log(moves=()), Standing.NO_DATA),
        (LadderGate.ROLLBACK_REHEARSED, with_log(moves=REHEARSED[:1]), Standing.NO_DATA),
        (
            LadderGate.ROLLBACK_REHEARSED,
            with_log(moves=(move(1, 0, actor=""), REHEARSED[1])),
            Standing.NO_DATA,
        ),
        (LadderGate.ROLLBACK_REHEARSED, facts(as_of=NOON + timedelta(hours=71)), Standing.REFUSED),
    ],
)
def test_a_step_is_not_reached_without_each_piece_of_its_evidence(gate, told, expected):
    assert standing(gate, told) is expected
    assert not passes(judged(Ladder.VETO, told, RULES))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (LiftStanding.GAINS, Standing.PASSED),
        (LiftStanding.UNDECIDED, Standing.PASSED),
        (LiftStanding.LOSES, Standing.REFUSED),
        (LiftStanding.NOT_ENOUGH_EVIDENCE, Standing.NO_DATA),
    ],
)
def test_shrinking_needs_a_report_that_does_not_say_that_advice_loses(found, expected):
    told = with_log(evaluations=(FILED[0]._replace(standing=found),))

    assert standing(LadderGate.NO_LOSS_BY_ADVICE, told, Ladder.VETO_AND_SHRINK) is expected


# ------------------------------------------------------------------- the step in force


@pytest.mark.parametrize(
    ("moves", "ceiling", "step"),
    [
        ((), Ladder.OFF, 0),
        ((), Ladder.SHADOW, 1),
        ((), Ladder.VETO_AND_SHRINK, 1),
        ((move(1, 2),), Ladder.VETO_AND_SHRINK, 2),
        ((move(1, 2),), Ladder.SHADOW, 1),
        ((move(1, 0),), Ladder.VETO, 0),
        ((move(1, 2, lock=OTHER),), Ladder.VETO, 1),
        ((move(1, 2), move(2, 1, actor="")), Ladder.VETO, 1),
        ((move(1, 0, actor=""),), Ladder.VETO, 0),
        ((move(3, 2, actor=""),), Ladder.VETO_AND_SHRINK, 2),
        ((move(3, 2, actor="", lock=OTHER),), Ladder.VETO_AND_SHRINK, 1),
        ((move(1, 0, actor="", lock=OTHER),), Ladder.VETO, 0),
    ],
)
def test_in_force_is_what_a_person_raised_to_of_this_very_lock_and_never_over_the_file(moves, ceiling, step):
    assert in_force(LadderLog(moves=moves), ceiling=ceiling, lock=LOCK).step == step


def test_without_a_model_the_ladder_is_off():
    assert in_force(LadderLog(), ceiling=Ladder.VETO, lock=None) == InForce(
        Ladder.OFF, "no model is configured"
    )


def raised(told, after, *, ceiling=Ladder.VETO_AND_SHRINK, actor="ann", reason="evidence is there"):
    return moved(told, RULES, book="us_five", ceiling=ceiling, after=after, actor=actor, reason=reason)


def test_a_person_raises_one_step_where_every_gate_passes():
    event = raised(facts(), Ladder.VETO)

    assert (event.kind, event.actor, event.body["before"], event.body["after"]) == (
        "advisor_moved",
        "ann",
        1,
        2,
    )


@pytest.mark.parametrize(
    ("told", "after", "ceiling", "why"),
    [
        (with_log(evaluations=()), Ladder.VETO, Ladder.VETO, "evaluated"),
        (facts(sessions=()), Ladder.VETO, Ladder.VETO, "advised_sessions"),
        (facts(), Ladder.VETO, Ladder.SHADOW, r"advisor.toml allows shadow at most"),
        (facts(), Ladder.VETO_AND_SHRINK, Ladder.VETO_AND_SHRINK, "one step at a time"),
        (facts(lock=None), Ladder.SHADOW, Ladder.SHADOW, "no model is configured"),
    ],
)
def test_a_raise_without_evidence_is_refused_and_says_what_lacks(told, after, ceiling, why):
    with pytest.raises(Refused, match=why):
        raised(told, after, ceiling=ceiling)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), (" ", "why"), ("ann", "")])
def test_nobody_moves_it_without_a_name_and_a_reason(actor, reason):
    with pytest.raises(BadInput):
        raised(facts(), Ladder.OFF, actor=actor, reason=reason)
    with pytest.raises(BadInput):
        evaluated(LOCK, book="b", report_sha="r", standing=LiftStanding.GAINS, actor=actor, reason=reason)


def test_what_a_step_back_left_of_other_models_is_not_taken_over_without_evidence():
    fell = LadderLog(moves=(move(2, 3, lock=OTHER), move(3, 2, actor="", lock=OTHER)))

    with pytest.raises(Refused, match="advised_sessions"):
        raised(facts(log=fell, sessions=()), Ladder.VETO)
    assert raised(facts(log=fell, sessions=()), Ladder.SHADOW).body["lock_sha"] == LOCK.sha()


def test_who_takes_the_model_away_answers_a_step_back_too():
    fell = LadderLog(moves=(move(1, 2), move(2, 1, actor="")))
    event = raised(facts(lock=None, log=fell), Ladder.OFF, ceiling=Ladder.OFF)

    answered = ladder_log_of([stored(event, 1)], book="us_five")

    assert answered.stepped_back is None
    assert in_force(answered, ceiling=Ladder.VETO_AND_SHRINK, lock=LOCK).step is Ladder.OFF


def test_lowering_needs_no_evidence():
    bare = LadderFacts(lock=LOCK, log=LadderLog(moves=(move(1, 2),)), sessions=(), as_of=NOON)

    assert raised(bare, Ladder.OFF).body["after"] == 0


# ------------------------------------------------------------------- stepping back


def fallen(*, recent=(), strays=0, step=Ladder.VETO, log=None):
    return stepped_back(
        log or LadderLog(),
        book="us_five",
        session=FIRST,
        step=step,
        lock=LOCK,
        recent=recent,
        strays=strays,
        budget=RULES.budget,
    )


def test_a_spent_error_budget_steps_back_once_and_says_why():
    event = fallen(recent=FAILED * 4)

    assert (event.reason, event.body["before"], event.body["after"], event.actor) == (
        BudgetState.ERRORS.value,
        2,
        1,
        "",
    )
    assert fallen(recent=SLOW * 2).reason == "latency_breached"
    assert fallen(recent=(call(),) * 4) is None
    assert fallen(recent=FAILED * 3) is None  # too few show nothing


def test_calls_of_before_the_last_move_of_another_lock_or_without_effect_lower_nobody():
    later = LadderLog(moves=(move(1, 2),))

    assert fallen(recent=FAILED * 4, log=later) is None
    after = NOON.date() + timedelta(days=1)
    assert fallen(recent=tuple(one._replace(session=NOON.date()) for one in FAILED * 4), log=later) is None
    assert fallen(recent=tuple(one._replace(session=after) for one in FAILED * 4), log=later) is not None
    assert fallen(recent=tuple(one._replace(purpose=Purpose.SMOKE) for one in FAILED * 4)) is None
    assert fallen(recent=tuple(one._replace(model="another") for one in FAILED * 4)) is None


def test_advice_on_what_the_guards_did_not_pass_steps_back():
    assert fallen(strays=1).reason == "advice_guard_mismatch"
    assert fallen(strays=1, step=Ladder.SHADOW).body["after"] == 0
    assert fallen(strays=1, step=Ladder.OFF) is None


def test_strays_are_advice_on_what_was_not_asked_about():
    class Row:
        intent_key = IntentKey("key-a")

    assert strays_of([Row(), Row()], [IntentKey("key-b")]) == 2
    assert strays_of([Row()], [IntentKey("key-a")]) == 0


# ------------------------------------------------------------------- events there and back


def stored(event, seq, at=NOON):
    return JournalEvent(
        seq=seq,
        at=at,
        kind=event.kind,
        book=event.book,
        lane="",
        session=event.session,
        intent_id="",
        actor=event.actor,
        reason=event.reason,
        body=event.body,
        prev_hash="",
        hash="",
    )


def test_the_log_is_what_its_events_say_of_the_book():
    filed = evaluated(
        LOCK, book="us_five", report_sha="r", standing=LiftStanding.GAINS, actor="ann", reason="month"
    )
    events = [
        stored(raised(facts(), Ladder.VETO), 1),
        stored(filed, 2),
        stored(fallen(strays=1), 3),
        stored(raised(facts(), Ladder.VETO)._replace(book="another"), 4),
    ]

    log = ladder_log_of(events, book="us_five")

    assert [(one.before, one.after, one.is_stepping_back) for one in log.moves] == [
        (1, 2, False),
        (2, 1, True),
    ]
    assert log.evaluations == (Evaluation(LOCK.sha(), "r", LiftStanding.GAINS, "ann", NOON),)
    assert log.stepped_back == log.moves[-1]


def test_a_persons_move_answers_a_step_back():
    fell = LadderLog(moves=(move(1, 2), move(2, 1, actor="")))

    assert fell.stepped_back is not None
    assert replace(fell, moves=(*fell.moves, move(1, 1))).stepped_back is None
