"""The promotion gate: what passes, and what is missing, copied, constant, stale, empty or not enough."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.audit import GENESIS
from trading.evidence_ledger import (
    Filing,
    Ledger,
    Missing,
    Recording,
    Role,
    RunStatus,
    Window,
    digest_of,
    draft_of_promotion,
    drafts_of_run,
    missing_evidence,
    placed,
    promotions_of,
    runs_of,
    windows_of,
)
from trading.promotion import (
    ASKS,
    Gate,
    Outcome,
    Standing,
    Thresholds,
    promotion_in_force,
    promotion_of,
)
from trading.testing import example_run, example_subject

AS_OF = datetime(2013, 3, 4, 22, tzinfo=UTC)
LAST = date(2013, 3, 4)
SUBJECT = example_subject()
THRESHOLDS = Thresholds(
    sessions_min=504,
    fills_min=100,
    folds_min=5,
    trials_min=10,
    age_days_max=30,
    lag_days_max=30,
    net_return_min=0.0,
    deflated_sharpe_min=0.95,
    overfitting_max=0.2,
    drawdown_max=0.25,
    fold_wins_min=0.5,
    stresses=("costs", "spread", "volatility", "liquidity", "halt"),
    stress_survivors_min=4,
)


def ledger_of(*runs, drafts=()):
    filed = [draft for run in runs for draft in drafts_of_run(run)]
    rows = tuple(placed([*filed, *drafts], after=None, actor="ann", at="2013-03-01T22:00:00.000000Z"))
    return Ledger(rows, filings_of(rows))


def filings_of(rows):
    return tuple(Filing(row.seq, row.kind, row.digest, row.strategy, row.book, row.hash) for row in rows)


def judge(ledger, thresholds=THRESHOLDS, *, subject=SUBJECT, as_of=AS_OF):
    return promotion_of(subject, ledger, thresholds, as_of=as_of, last_session=LAST)


def reasons(decision):
    return {(reason.gate.value, reason.standing.value) for reason in decision.reasons}


def candidate_of(run):
    return run.candidates[0]


def with_metrics(**metrics):
    return example_run(metrics={**candidate_of(example_run()).metrics, **metrics})


def test_evidence_that_reaches_every_threshold_promotes():
    decision = judge(ledger_of(example_run()))

    assert decision.outcome is Outcome.PROMOTED
    assert decision.reasons == ()
    assert {gate.gate for gate in decision.gates} == set(Gate)
    assert decision.run == "thirteen years"


def test_a_replay_that_is_filed_again_with_other_trials_is_a_run_beside_the_first():
    first = example_run()
    again = with_metrics(pbo=0.19)
    ledger = ledger_of(first, again)

    assert [run.candidates[0].metrics["pbo"] for run in runs_of(ledger.rows)] == [
        first.candidates[0].metrics["pbo"],
        0.19,
    ]
    assert missing_evidence(ledger) == ()
    assert judge(ledger).outcome is Outcome.PROMOTED


@pytest.mark.parametrize("is_later_good", [True, False])
def test_of_two_filings_made_at_one_instant_the_last_is_judged_and_named(is_later_good):
    good, bad = example_run(), with_metrics(deflated_sharpe=0.5)
    ledger = ledger_of(*((bad, good) if is_later_good else (good, bad)))

    decision = judge(ledger)

    assert (decision.outcome is Outcome.PROMOTED) is is_later_good
    (evidence,) = (row for row in ledger.rows if row.digest == decision.evidence)
    assert ('"deflated_sharpe":"0.5"' in evidence.content) is not is_later_good


def test_parts_that_are_filed_twice_under_two_names_are_copies():
    own = candidate_of(example_run())
    fold, stress = own.folds[0], own.stresses[0]
    copies = {
        "folds": (*own.folds, replace(fold, number=9, metrics=own.folds[1].metrics)),
        "stresses": (*own.stresses[:-1], replace(own.stresses[-1], bound=stress.bound)),
    }

    for name, parts in copies.items():
        decision = judge(ledger_of(example_run(**{name: parts})))

        assert ("parts_of_its_own", "refused") in reasons(decision), name

    itself = replace(stress, bound=own.bound)
    decision = judge(ledger_of(example_run(stresses=(itself, *own.stresses[1:]))))
    assert ("parts_of_its_own", "refused") in reasons(decision)


def test_a_run_that_contradicts_itself_is_named_and_nothing_is_judged_by_it():
    (run, candidate, *parts) = drafts_of_run(example_run())
    twin = drafts_of_run(with_metrics(pbo=0.19))[1]._replace(run_id=run.run_id)
    ledger = ledger_of(drafts=(run, candidate, *parts, twin))

    assert runs_of(ledger.rows) == []
    assert "run_contradicts_itself" in {missing.code for missing in missing_evidence(ledger)}
    assert judge(ledger).outcome is not Outcome.PROMOTED


def with_content(draft, change):
    """Return a draft that says something else, as whoever files it could have written it."""
    content = json.loads(draft.content)
    change(content)
    written = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return draft._replace(content=written, digest=digest_of(draft.kind, written))


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("run", lambda content: content.pop("status"), "has no status"),
        ("run", lambda content: content.pop("holds"), "has no holds"),
        ("run", lambda content: content.update(first=20130301), "TypeError"),
        ("candidate", lambda content: content.pop("data_set_sha"), "has no data_set_sha"),
        ("candidate", lambda content: content.pop("role"), "has no role"),
        ("candidate", lambda content: content.pop("fold_count"), "has no fold_count"),
        ("candidate", lambda content: content.update(parameters=["lookback"]), "values by name"),
        ("candidate", lambda content: content.update(strategy=7), "strategy is 7: a text"),
        ("fold", lambda content: content.pop("train_last"), "has no train_last"),
        ("stress", lambda content: content.update(metrics={"sharpe": "high"}), "ValueError"),
        ("promotion", lambda content: content.pop("evidence"), "has no evidence"),
        ("promotion", lambda content: content.update(gates=[["sessions"]]), "ValueError"),
    ],
)
def test_a_row_that_says_nothing_of_its_kind_is_named_by_what_it_lacks_and_refuses(kind, change, told):
    promoted = judge(ledger_of(example_run())).signed(actor="ann", reason="read it", decided_at=AS_OF)
    drafts = [*drafts_of_run(example_run()), draft_of_promotion(promoted)]
    place = next(number for number, draft in enumerate(drafts) if draft.kind == kind)
    ledger = ledger_of(drafts=[*drafts[:place], with_content(drafts[place], change), *drafts[place + 1 :]])

    named = [one for one in missing_evidence(ledger) if one.code == "row_unreadable"]
    assert [(one.about.partition(" ")[2].split()[0], told in one.detail) for one in named] == [
        (str(place + 1), True)
    ], named
    decision = judge(ledger)
    assert ("ledger_whole", "refused") in reasons(decision)
    assert promotion_in_force(SUBJECT, ledger) is None or kind != "promotion"


@pytest.mark.parametrize("written", ["", "[]", "7", "{"])
def test_a_row_that_is_no_record_at_all_is_named_too(written):
    (run, *parts) = drafts_of_run(example_run())
    torn = run._replace(content=written, digest=digest_of(run.kind, written))

    found = missing_evidence(ledger_of(drafts=[torn, *parts]))

    assert [one.about.split()[1] for one in found if one.code == "row_unreadable"] == ["1"]


def test_what_was_filed_before_files_were_digested_is_read_as_of_no_file():
    drafts = [
        with_content(draft, lambda one: one.pop("strategy_sha")) for draft in drafts_of_run(example_run())
    ]
    ledger = ledger_of(drafts=drafts)

    assert [run.bound.subject.strategy_sha for run in runs_of(ledger.rows)] == [""]
    assert not [one for one in missing_evidence(ledger) if one.code == "row_unreadable"]
    assert {reason for reason, _ in reasons(judge(ledger))} >= {"same_strategy_file"}


def test_every_gate_says_what_it_asks_observed_and_needed():
    decision = judge(ledger_of(example_run()))
    shown = {gate.gate: (gate.observed, gate.needed) for gate in decision.gates}

    assert set(ASKS) == set(Gate)
    assert shown[Gate.NET_RETURN] == ("0.42", "above 0")
    assert shown[Gate.DRAWDOWN] == ("0.18", "at most 0.25")
    assert shown[Gate.FOLD_WINS] == ("5 of 6", "at least 0.5 of them")
    assert shown[Gate.STRESS_SURVIVORS] == ("4 of 5", "at least 4")


@pytest.mark.parametrize(
    ("run", "gate", "observed"),
    [
        (with_metrics(total_return=0.0), Gate.NET_RETURN, "0"),
        (with_metrics(deflated_sharpe=0.9499), Gate.DEFLATED_SHARPE, "0.9499"),
        (with_metrics(pbo=0.21), Gate.OVERFITTING, "0.21"),
        (with_metrics(overfitting_trials=9.0), Gate.TRIALS, "9"),
        (with_metrics(max_drawdown=-0.2501), Gate.DRAWDOWN, "0.2501"),
        (example_run(sessions=503), Gate.SESSIONS, "503"),
        (example_run(fills=99), Gate.FILLS, "99"),
        (example_run(folds=candidate_of(example_run()).folds[:4]), Gate.FOLDS, "4"),
    ],
)
def test_a_threshold_that_is_not_reached_refuses_by_its_gate_alone(run, gate, observed):
    decision = judge(ledger_of(run))

    assert decision.outcome is Outcome.REFUSED
    assert [(reason.gate, reason.observed) for reason in decision.reasons] == [(gate, observed)]


def test_more_losing_than_winning_folds_are_refused():
    folds = tuple(
        replace(fold, metrics={"total_return": 0.01 if fold.number < 3 else -0.001 * fold.number})
        for fold in candidate_of(example_run()).folds
    )

    assert reasons(judge(ledger_of(example_run(folds=folds)))) == {("fold_wins", "refused")}


def test_a_second_scenario_that_loses_is_refused():
    stresses = tuple(
        replace(stress, metrics={"total_return": -0.01}) if stress.name == "spread" else stress
        for stress in candidate_of(example_run()).stresses
    )

    assert reasons(judge(ledger_of(example_run(stresses=stresses)))) == {("stress_survivors", "refused")}


# -------------------------------------------------------------------------------- missing


def test_nothing_filed_is_refused_as_missing():
    decision = judge(ledger_of())

    assert decision.outcome is Outcome.REFUSED
    assert reasons(decision) == {("run_filed", "refused")}


def test_evidence_of_another_strategy_or_book_is_none():
    others = [
        example_run(subject=example_subject(strategy="mean_reversion")),
        example_run(subject=example_subject(book="us_wide")),
    ]

    assert reasons(judge(ledger_of(*others))) == {("run_filed", "refused")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"folds": ()}, {"folds"}),
        ({"stresses": ()}, {"stresses_filed", "stresses_differ", "stress_survivors"}),
        (
            {"metrics": {"total_return": 0.4}},
            {"deflated_sharpe", "overfitting", "drawdown", "trials", "trials_counted"},
        ),
    ],
)
def test_a_candidate_without_its_parts_or_metrics_is_refused(changes, expected):
    decision = judge(ledger_of(example_run(**changes)))

    assert decision.outcome is Outcome.REFUSED
    assert reasons(decision) >= {(gate, "refused") for gate in expected}


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (
            {"total_return": 0.4},
            "sessions leave no room to train and then to test; file a replay of a",
        ),
        ({"total_return": None}, "its equity came to nothing before the last session"),
    ],
)
def test_a_candidate_without_folds_is_told_once_with_what_to_do(metrics, told):
    decision = judge(ledger_of(example_run(folds=(), metrics=metrics)))

    of_folds = [gate for gate in decision.gates if gate.gate.startswith("fold")]
    assert [(gate.gate, gate.standing) for gate in of_folds] == [("folds", "refused")]
    assert told in of_folds[0].detail


def test_a_scenario_that_was_not_filed_is_named():
    stresses = tuple(one for one in candidate_of(example_run()).stresses if one.name != "halt")
    decision = judge(ledger_of(example_run(stresses=stresses)))

    assert [(reason.gate, reason.detail) for reason in decision.reasons] == [
        (Gate.STRESSES_FILED, "missing: halt")
    ]


def test_a_run_that_failed_is_no_evidence():
    run = replace(example_run(), status=RunStatus.FAILED, reason="disk full", candidates=())

    assert reasons(judge(ledger_of(run))) == {("run_completed", "refused")}


def test_a_completed_run_without_candidates_is_refused():
    run = replace(example_run(), candidates=())
    found = reasons(judge(ledger_of(run)))

    assert found == {("run_completed", "refused")}


# -------------------------------------------------------------------------------- copied


@pytest.mark.parametrize(
    ("changed", "gate"),
    [
        ("strategy_version", Gate.SAME_STRATEGY_VERSION),
        ("strategy_sha", Gate.SAME_STRATEGY_FILE),
        ("data_set_sha", Gate.SAME_DATA_SET),
        ("costs_sha", Gate.SAME_COSTS),
        ("rules_sha", Gate.RULES_UNCHANGED),
        ("code_sha", Gate.CODE_UNCHANGED),
    ],
)
def test_evidence_of_anything_but_exactly_this_is_refused(changed, gate):
    decision = judge(ledger_of(example_run()), subject=example_subject(**{changed: "other"}))

    assert decision.outcome is Outcome.REFUSED
    assert [reason.needed for reason in decision.reasons if reason.gate is gate] == ["other"]


def test_a_replay_filed_again_under_another_version_counts_for_neither():
    first = example_run()
    second = example_subject(strategy_version="2")
    bound = replace(first.bound, subject=second)
    candidate = candidate_of(first)
    copied = replace(
        first,
        name="version two",
        bound=bound,
        candidates=(
            replace(
                candidate,
                bound=bound,
                folds=tuple(replace(fold, bound=bound) for fold in candidate.folds),
                stresses=tuple(
                    replace(one, bound=replace(one.bound, subject=second)) for one in candidate.stresses
                ),
            ),
        ),
    )
    ledger = ledger_of(first, copied)

    assert reasons(judge(ledger)) == {("replay_of_its_own", "refused")}
    assert reasons(judge(ledger, subject=second)) == {("replay_of_its_own", "refused")}


def test_folds_of_another_version_are_copies():
    foreign = replace(example_run().bound, subject=example_subject(strategy_version="0"))
    folds = tuple(replace(fold, bound=foreign) for fold in candidate_of(example_run()).folds)

    assert reasons(judge(ledger_of(example_run(folds=folds)))) == {("parts_of_its_own", "refused")}


def test_a_scenario_may_have_costs_of_its_own():
    dearer = example_subject(costs_sha="doubled")
    stresses = tuple(
        replace(one, bound=replace(one.bound, subject=dearer)) for one in candidate_of(example_run()).stresses
    )

    assert judge(ledger_of(example_run(stresses=stresses))).outcome is Outcome.PROMOTED


def test_the_same_replay_made_again_is_no_copy():
    again = example_run(name="again", made_at=datetime(2013, 3, 2, 22, tzinfo=UTC))

    assert judge(ledger_of(example_run(), again)).outcome is Outcome.PROMOTED


# -------------------------------------------------------------------------------- constant


def test_an_equity_that_never_moved_is_refused():
    assert reasons(judge(ledger_of(example_run(equity_levels=1)))) == {("equity_moves", "refused")}


def test_folds_that_all_gained_the_same_are_refused():
    folds = tuple(replace(fold, metrics={"total_return": 0.03}) for fold in candidate_of(example_run()).folds)

    assert reasons(judge(ledger_of(example_run(folds=folds)))) == {("folds_differ", "refused")}


@pytest.mark.parametrize("name", ["costs", "spread", "volatility", "liquidity", "halt"])
def test_a_scenario_that_changed_nothing_was_not_run_and_is_named(name):
    stresses = tuple(
        replace(one, metrics={"total_return": 0.42}) if one.name == name else one
        for one in candidate_of(example_run()).stresses
    )
    decision = judge(ledger_of(example_run(stresses=stresses)))

    assert reasons(decision) == {("stresses_differ", "refused")}
    assert decision.reasons[0].detail == f"changed nothing: {name}"


def test_scenarios_that_change_nothing_were_not_run():
    stresses = tuple(
        replace(one, metrics={"total_return": 0.42}) for one in candidate_of(example_run()).stresses
    )

    assert reasons(judge(ledger_of(example_run(stresses=stresses)))) == {("stresses_differ", "refused")}


# -------------------------------------------------------------------------------- stale


@pytest.mark.parametrize(
    ("days", "standing"), [(-1, Standing.REFUSED), (30, Standing.PASSED), (31, Standing.REFUSED)]
)
def test_evidence_ages_and_is_never_of_tomorrow(days, standing):
    made_at = example_run().bound.made_at
    decision = judge(ledger_of(example_run()), as_of=made_at + timedelta(days=days))

    assert next(one.standing for one in decision.gates if one.gate is Gate.MADE_LATELY) is standing
    assert (decision.outcome is Outcome.PROMOTED) == (standing is Standing.PASSED)


def test_a_window_that_ends_long_before_the_last_session_is_refused():
    early = replace(example_run(), last=date(2013, 1, 31))

    assert reasons(judge(ledger_of(early))) == {("window_reaches_now", "refused")}


# -------------------------------------------------------------------------------- no data


def skipped(**changes):
    run = example_run()
    values = {"status": RunStatus.SKIPPED, "reason": "no session in the window", "candidates": (), **changes}
    return replace(run, **values)


def test_an_empty_window_is_no_data_and_never_a_pass():
    decision = judge(ledger_of(skipped()))

    assert decision.outcome is Outcome.NO_DATA
    assert reasons(decision) == {("window_not_empty", "no_data")}


@pytest.mark.parametrize("counts", [{"sessions": 0, "fills": 0}, {"fills": 0}])
def test_a_replay_that_traded_nothing_is_no_data(counts):
    run = example_run(**counts, equity_levels=1, metrics={}, folds=(), stresses=())
    decision = judge(ledger_of(run))

    assert reasons(decision) == {("window_not_empty", "no_data")}
    assert decision.outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("metric", "gate"),
    [
        ("total_return", "net_return"),
        ("deflated_sharpe", "deflated_sharpe"),
        ("pbo", "overfitting"),
        ("max_drawdown", "drawdown"),
    ],
)
def test_a_metric_that_could_not_be_told_is_no_data(metric, gate):
    decision = judge(ledger_of(with_metrics(**{metric: None})))

    assert decision.outcome is Outcome.NO_DATA
    assert reasons(decision) == {(gate, "no_data")}


def test_folds_that_could_not_be_told_are_no_data():
    folds = tuple(replace(fold, metrics={"total_return": None}) for fold in candidate_of(example_run()).folds)
    decision = judge(ledger_of(example_run(folds=folds)))

    assert decision.outcome is Outcome.NO_DATA
    assert reasons(decision) == {("folds_differ", "no_data"), ("fold_wins", "no_data")}


def test_what_is_refused_is_told_before_what_has_no_data():
    decision = judge(ledger_of(with_metrics(total_return=None, max_drawdown=0.9)))

    assert decision.outcome is Outcome.REFUSED
    assert [reason.gate for reason in decision.reasons] == [Gate.DRAWDOWN, Gate.NET_RETURN]


# -------------------------------------------------------------------------------- which run is judged


def test_a_short_run_made_later_does_not_stand_for_the_long_one():
    week = example_run(name="a week", made_at=datetime(2013, 3, 4, 21, tzinfo=UTC), sessions=5, fills=2)

    assert judge(ledger_of(example_run(), week)).run == "thirteen years"


def test_a_run_that_lost_is_not_outvoted_by_a_shorter_one_that_won():
    lost = example_run(
        name="all years",
        sessions=4_000,
        metrics={**candidate_of(example_run()).metrics, "total_return": -0.1},
    )

    assert reasons(judge(ledger_of(example_run(), lost))) == {("net_return", "refused")}


# -------------------------------------------------------------------------------- laws

TIGHTER = {
    "sessions_min": lambda held, by: held + int(by * 1_000),
    "fills_min": lambda held, by: held + int(by * 500),
    "folds_min": lambda held, by: held + int(by * 3),
    "trials_min": lambda held, by: held + int(by * 8),
    "age_days_max": lambda held, by: max(1, held - int(by * 29)),
    "lag_days_max": lambda held, by: held - int(by * 29),
    "net_return_min": lambda held, by: held + by,
    "deflated_sharpe_min": lambda held, by: held + by * 0.04,
    "overfitting_max": lambda held, by: held * (1 - by),
    "drawdown_max": lambda held, by: held * (1 - by),
    "fold_wins_min": lambda held, by: held + (1 - held) * by,
    "stress_survivors_min": lambda held, by: held + int(by),
}
RANDOM_RUNS = st.builds(
    lambda sessions, fills, gained, sharpe, fallen, tried: example_run(
        sessions=sessions,
        fills=fills,
        metrics={
            "total_return": gained,
            "deflated_sharpe": sharpe,
            "pbo": 0.1,
            "max_drawdown": fallen,
            "trials": tried,
        },
    ),
    st.integers(0, 3_000),
    st.integers(0, 400),
    st.none() | st.floats(-0.5, 1.5),
    st.none() | st.floats(0.9, 1),
    st.none() | st.floats(0, 0.4),
    st.integers(8, 20).map(float),
)


@given(run=RANDOM_RUNS, name=st.sampled_from(sorted(TIGHTER)), by=st.floats(0, 1))
def test_a_tighter_threshold_never_promotes_what_was_refused(run, name, by):
    ledger = ledger_of(run)
    tighter = replace(THRESHOLDS, **{name: TIGHTER[name](getattr(THRESHOLDS, name), by)})
    before, after = judge(ledger).outcome, judge(ledger, tighter).outcome

    assert before is Outcome.PROMOTED or after is not Outcome.PROMOTED


@given(
    runs=st.lists(RANDOM_RUNS, min_size=1, max_size=2),
    taken=st.sets(st.integers(0, 40), min_size=1),
)
def test_taking_evidence_out_never_promotes(runs, taken):
    named = [replace(run, name=f"run {place}") for place, run in enumerate(runs)]
    ledger = ledger_of(*named)
    left = tuple(row for place, row in enumerate(ledger.rows) if place not in taken)

    if len(left) < len(ledger.rows):
        assert judge(Ledger(left, ledger.filings)).outcome is not Outcome.PROMOTED


# -------------------------------------------------------------------------------- the chain


def whole_ledger():
    decision = judge(ledger_of(example_run(), skipped(name="quiet week")))
    promotion = decision.signed(actor="ann", reason="reviewed", decided_at=AS_OF)
    return ledger_of(example_run(), skipped(name="quiet week"), drafts=[draft_of_promotion(promotion)])


def test_a_whole_ledger_misses_nothing_and_reads_as_it_was_filed():
    ledger = whole_ledger()

    assert missing_evidence(ledger) == ()
    assert runs_of(ledger.rows) == [example_run(), skipped(name="quiet week")]
    assert promotions_of(ledger.rows)[0].outcome == "promoted"
    assert {row.kind for row in ledger.rows} == {"run", "candidate", "fold", "stress", "promotion"}


@pytest.mark.parametrize("place", range(15))
def test_the_check_names_each_row_that_is_taken_out(place):
    ledger = whole_ledger()
    assert len(ledger.rows) == 15
    gone = ledger.rows[place]
    found = missing_evidence(Ledger(ledger.rows[:place] + ledger.rows[place + 1 :], ledger.filings))

    about = f"row {gone.seq} ({gone.kind} {gone.digest[:12]})"
    assert Missing("row_removed", about, f"of {gone.strategy} in {gone.book}: filed, and gone") in found


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("run", "candidate_without_run"),
        ("candidate", "run_incomplete"),
        ("candidate", "fold_without_candidate"),
        ("candidate", "promotion_without_evidence"),
        ("fold", "candidate_incomplete"),
        ("stress", "candidate_incomplete"),
    ],
)
def test_what_a_row_belonged_to_tells_of_it_without_the_events(kind, code):
    ledger = whole_ledger()
    gone = next(row for row in ledger.rows if row.kind == kind)
    left = tuple(row for row in ledger.rows if row != gone)

    assert code in {one.code for one in missing_evidence(Ledger(left, filings_of(left)))}


def test_a_row_that_was_changed_put_in_or_swapped_is_named():
    ledger = whole_ledger()
    changed = ledger.rows[1]._replace(content=ledger.rows[1].content.replace("3270", "3271"))
    put_in = ledger.rows[-1]._replace(seq=16, prev_hash=ledger.rows[-1].hash)
    swapped = (ledger.rows[1], ledger.rows[0], *ledger.rows[2:])

    found = missing_evidence(Ledger((ledger.rows[0], changed, *ledger.rows[2:]), ledger.filings))
    assert {one.code for one in found} == {"row_changed"}
    assert "row_unfiled" in {
        one.code for one in missing_evidence(Ledger((*ledger.rows, put_in), ledger.filings))
    }
    assert {one.code for one in missing_evidence(Ledger(swapped, ledger.filings))} == {"broken_link"}


def test_a_run_without_candidates_and_a_candidate_without_parts_are_named():
    empty = replace(example_run(name="empty"), candidates=())
    bare = example_run(name="bare", folds=(), stresses=())
    found = {one.code for one in missing_evidence(ledger_of(empty, bare))}

    assert found == {"run_without_candidates", "candidate_without_fold", "candidate_without_stress"}


def test_the_trials_of_a_sweep_need_no_parts_and_are_never_promoted():
    trial = replace(candidate_of(example_run(folds=(), stresses=())), role=Role.TRIAL)
    ledger = ledger_of(replace(example_run(), candidates=(trial,)))

    assert missing_evidence(ledger) == ()
    assert reasons(judge(ledger)) == {("run_completed", "refused")}


def test_a_candidate_that_traded_nothing_has_nothing_to_fold():
    assert missing_evidence(ledger_of(example_run(fills=0, folds=(), stresses=()))) == ()


def test_a_window_without_any_record_is_named_and_a_skipped_run_is_a_record():
    sessions = [date(2013, 3, 1) + timedelta(days=day) for day in range(11)]
    windows = windows_of("us_five", sessions, Recording(window_sessions=5, windows=4))
    quiet = skipped(name="quiet", first=date(2013, 3, 7), last=date(2013, 3, 11))

    assert windows == (
        Window("us_five", date(2013, 3, 2), date(2013, 3, 6)),
        Window("us_five", date(2013, 3, 7), date(2013, 3, 11)),
    )
    found = missing_evidence(ledger_of(quiet), windows=windows)
    assert [(one.code, one.about) for one in found] == [
        ("window_without_record", "us_five 2013-03-02 to 2013-03-06")
    ]


def test_the_same_evidence_has_the_same_rows_whenever_it_is_filed():
    assert drafts_of_run(example_run()) == drafts_of_run(example_run())
    assert ledger_of(example_run()).rows[0].prev_hash == GENESIS


def test_a_promotion_is_in_force_for_exactly_its_subject_until_it_is_decided_again():
    promoted = judge(ledger_of(example_run())).signed(actor="ann", reason="ok", decided_at=AS_OF)
    refused = replace(promoted, outcome="refused", reason="drawdown", decided_at=AS_OF + timedelta(days=1))
    ledger = ledger_of(drafts=[draft_of_promotion(promoted)])

    assert promotion_in_force(SUBJECT, ledger) == promoted
    assert promotion_in_force(example_subject(rules_sha="other"), ledger) is None
    again = ledger_of(drafts=[draft_of_promotion(promoted), draft_of_promotion(refused)])
    assert promotion_in_force(SUBJECT, again) is None


# -------------------------------------------------------------------------------- values that cannot be wrong


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"folds_min": 1}, "one fold shows nothing"),
        ({"trials_min": 1}, "no choice that could fail"),
        ({"sessions_min": 4}, "under folds_min"),
        ({"stresses": ()}, "one at least"),
        ({"stresses": ("costs", "costs"), "stress_survivors_min": 1}, "once"),
        ({"stress_survivors_min": 6}, "no more than there are"),
        ({"stress_survivors_min": 0}, "one at least"),
    ],
)
def test_thresholds_that_contradict_each_other_do_not_exist(changes, told):
    with pytest.raises(ValueError, match=told):
        replace(THRESHOLDS, **changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: example_subject(costs_sha=""),
        lambda: example_run(metrics={"total_return": float("nan")}),
        lambda: example_run(sessions=-1),
        lambda: replace(example_run(), first=date(2014, 1, 1)),
        lambda: replace(example_run(), reason="late"),
        lambda: skipped(reason=""),
        lambda: skipped(candidates=example_run().candidates),
        lambda: replace(example_run(), candidates=example_run().candidates * 2),
        lambda: replace(candidate_of(example_run()).folds[0], test_first=date(2003, 1, 1)),
        lambda: judge(ledger_of(example_run())).signed(actor=" ", reason="ok", decided_at=AS_OF),
    ],
)
def test_evidence_that_contradicts_itself_does_not_exist(make):
    with pytest.raises(ValueError, match=r"missing|below|None|needs|reason|candidates|one subject|after all"):
        make()


def test_two_folds_of_one_number_are_refused():
    folds = candidate_of(example_run()).folds
    with pytest.raises(ValueError, match="have one name"):
        drafts_of_run(example_run(folds=(*folds, folds[0])))
