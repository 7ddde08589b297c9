"""Trials: each that was ever recorded counts once, whoever recorded it, and none can be left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.test_promotion import AS_OF, LAST, SUBJECT, THRESHOLDS, ledger_of
from trading.evidence_ledger import (
    Bound,
    Recording,
    Role,
    Run,
    missing_evidence,
    windows_of,
)
from trading.promotion import Outcome, promotion_of
from trading.testing import example_run, example_subject
from trading.trials import (
    IS_WHOLE,
    STRATEGIES,
    Tried,
    identity_of,
    own_trials,
    replays_recorded,
    trials_of,
    without_recorded,
)
from trading.values import digest


def sweep_of(*rules, name="sweep", strategy=SUBJECT.strategy, **of):
    """Return the run of a sweep with one trial for each of the rules that were varied."""
    subjects = [example_subject(strategy=strategy, rules_sha=one, **of) for one in rules]
    example = example_run()
    trial = replace(example.candidates[0], role=Role.TRIAL, folds=(), stresses=())
    made_at = example.bound.made_at
    return replace(
        example,
        name=name,
        bound=Bound(subject=subjects[0], replay_sha="", made_at=made_at),
        candidates=tuple(
            replace(
                trial,
                name=f"{strategy} {one}",
                parameters={STRATEGIES: f"momentum:lookback={one}"},
                bound=Bound(subject=subject, replay_sha=digest(subject.payload()), made_at=made_at),
            )
            for one, subject in zip(rules, subjects, strict=True)
        ),
    )


def chosen(trials, *, name="thirteen years"):
    example = example_run(name=name)
    counts = {"trials": float(trials), "overfitting_trials": float(trials)}
    metrics = {**example.candidates[0].metrics, **counts}
    return example_run(name=name, metrics=metrics)


def names(subject, *runs):
    return [tried.name for tried in trials_of(subject, ledger_of(*runs).rows)]


def outcome(*runs):
    decision = promotion_of(SUBJECT, ledger_of(*runs), THRESHOLDS, as_of=AS_OF, last_session=LAST)
    return decision.outcome, {reason.gate.value for reason in decision.reasons}


def test_a_trial_that_was_recorded_twice_counts_once_and_tells_how_to_make_it_again():
    found = trials_of(SUBJECT, ledger_of(sweep_of("63", "126"), sweep_of("126", "252", name="later")).rows)

    assert [tried.strategies for tried in found] == [
        ("momentum:lookback=63",),
        ("momentum:lookback=126",),
        ("momentum:lookback=252",),
    ]


@pytest.mark.parametrize(
    ("of", "counts"),
    [
        ({"book": "us_wide", "data_set_sha": digest("other bars")}, False),
        ({"book": "us_wide"}, True),
        ({"data_set_sha": digest("a day more")}, True),
        ({"code_sha": digest("edited")}, True),
        ({"strategy_version": "momentum-2"}, True),
        ({"strategy": f"{SUBJECT.strategy}+mean_reversion"}, True),
        ({"strategy": "astrology"}, True),
        ({"strategy": "astrology", "book": "us_wide", "data_set_sha": digest("other bars")}, False),
    ],
    ids=[
        "elsewhere",
        "same data",
        "same book",
        "older code",
        "older version",
        "in a council",
        "another",
        "another elsewhere",
    ],
)
def test_a_trial_counts_where_it_is_of_the_same_book_or_data_whatever_it_is_called(of, counts):
    assert bool(names(SUBJECT, sweep_of("63", **of))) is counts


def own(subject, *runs):
    return [tried.name for tried in own_trials(subject, trials_of(subject, ledger_of(*runs).rows))]


def test_a_council_that_was_set_against_another_is_of_both_their_own():
    against = sweep_of("63")
    other = sweep_of("1", strategy="astrology", strategy_sha="stars").candidates
    together = replace(against, candidates=(*against.candidates, *other))

    assert len(own(SUBJECT, together)) == 2
    assert len(own(example_subject(strategy="astrology"), together)) == 2
    assert own(SUBJECT, sweep_of("1", strategy="astrology", strategy_sha="stars")) == []


def test_an_edit_under_the_same_version_is_a_trial_of_its_own():
    before = sweep_of("63", "126", strategy_sha="as it was")

    assert len(names(SUBJECT, before, sweep_of("63", "126", name="edited"))) == 4
    assert outcome(before, chosen(2))[1] >= {"trials_counted"}


def test_a_strategy_that_is_renamed_goes_on_with_its_trials():
    """By its file under whatever name, and by its name under whatever file, as often as it took."""
    runs = (
        sweep_of("63", strategy="momentum", strategy_sha="first"),
        sweep_of("63", strategy="momentum", strategy_sha="second", name="edited"),
        sweep_of("63", strategy="trend", strategy_sha="second", name="renamed"),
        sweep_of("63", strategy="trend", strategy_sha="third", name="edited again"),
        sweep_of("63", strategy="astrology", strategy_sha="stars", name="another"),
    )
    now = example_subject(strategy="drift", strategy_sha="third")

    assert len(names(now, *runs)) == 5
    assert own(now, *runs) == ["momentum 63", "momentum 63", "trend 63", "trend 63"]
    assert own(replace(now, strategy_sha="fresh"), *runs) == []


def test_strategies_that_only_voted_together_are_not_one_line():
    council = sweep_of("1", strategy="momentum+reversion", strategy_sha="file+other", name="council")
    alone = sweep_of("2", strategy="reversion", strategy_sha="other", name="alone")

    assert own(SUBJECT, council, alone) == ["momentum+reversion 1"]


def test_a_trial_that_was_recorded_before_files_were_digested_is_no_others():
    before = sweep_of("63", strategy_sha="")

    assert len(names(SUBJECT, before, sweep_of("63", name="now"))) == 2
    assert own(SUBJECT, before) == ["momentum 63"]


def test_a_recorded_replay_is_known_by_its_digest_once_it_is_whole():
    sweep = sweep_of("1", "2")
    stopped = replace(sweep.candidates[0], parameters={IS_WHOLE: False})
    rows = ledger_of(replace(sweep, candidates=(stopped, sweep.candidates[1]))).rows

    assert replays_recorded(rows) == {sweep.candidates[1].bound.replay_sha}


TRIED = st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), st.sampled_from("12"))


@settings(deadline=None, max_examples=50)
@given(st.lists(TRIED, max_size=8, unique=True))
def test_whatever_is_own_is_counted_and_nothing_is_lost_by_an_order(told):
    tried = [
        Tried(identity_of(example_subject(strategy=name, strategy_sha=file, rules_sha=rules)), name, ())
        for name, file, rules in told
    ]
    subject = example_subject(strategy="a", strategy_sha="w")
    found = own_trials(subject, tried)

    assert set(found) <= set(tried)
    assert set(own_trials(subject, reversed(tried))) == set(found)
    assert all(one in found for one in tried if one.identity.strategy == "a")


def test_a_filing_that_counts_fewer_trials_than_were_recorded_before_it_is_refused():
    sweep = sweep_of(*map(str, range(30)))

    assert outcome(chosen(31)) == (Outcome.PROMOTED, set())
    assert outcome(sweep, chosen(31)) == (Outcome.PROMOTED, set())
    assert outcome(sweep, chosen(16)) == (Outcome.REFUSED, {"trials_counted"})


def test_what_is_tried_after_the_choice_was_filed_does_not_undo_it():
    later = sweep_of(*map(str, range(30)))

    assert outcome(chosen(16), later) == (Outcome.PROMOTED, set())
    assert outcome(chosen(16), later, chosen(17, name="again"))[0] is Outcome.REFUSED


@settings(deadline=None, max_examples=40)
@given(first=st.integers(1, 24), counted=st.integers(2, 24))
def test_no_filing_is_promoted_on_fewer_trials_than_the_ledger_knows(first, counted):
    found, _ = outcome(sweep_of(*map(str, range(first))), chosen(counted))

    assert (found is Outcome.PROMOTED) == (counted >= max(first + 1, THRESHOLDS.trials_min))


def test_a_sweep_is_no_run_to_judge_and_no_record_of_a_window():
    sweep = sweep_of("63", "126")
    window = windows_of("us_five", [sweep.first, sweep.last], Recording(2, 1))

    assert outcome(sweep) == (Outcome.REFUSED, {"run_filed"})
    assert [one.code for one in missing_evidence(ledger_of(sweep), windows=window)] == [
        "window_without_record"
    ]


def test_a_sweep_chooses_nothing():
    sweep: Run = sweep_of("63", "126")

    with pytest.raises(ValueError, match="a sweep chooses nothing"):
        replace(sweep, candidates=(replace(sweep.candidates[0], role=Role.CHOSEN),))


def test_what_is_recorded_already_is_not_recorded_again():
    sweep = sweep_of("63", "126")
    known = [identity_of(sweep.candidates[0].bound.subject)]

    assert without_recorded(sweep, known).candidates == sweep.candidates[1:]
