"""Sweeps over processes: equal to one process, kept as they come, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from resources.profiles import Profiled
from resources.settings import load_settings
from resources.sweeping import VariantFiles, recording, run_variants, swept_book
from trading.errors import BadInput, BadSetting
from trading.evidence_ledger import Bound, missing_evidence
from trading.replay import Asked, request_of
from trading.replay_evidence import replayed_whole, run_of_replay, subject_of, variants_again
from trading.sweeps import Outcome, axis_of, ranked, variants_of
from trading.trials import Identity, Tried, trials_of


class StopAfterOne:
    """Stop a sweep as a person does, when the first variant is told of."""

    def tell(self, done, outcome):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """Give the books of the box in a state folder of this file's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADING_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield Profiled(load_settings())


def variants_with(profiled, grid, *, last=date(2012, 11, 30)):
    base = request_of(
        Asked(first_session=date(2012, 10, 1), last_session=last, light=True),
        profiled.books["us_five"],
        name="sweep",
    )
    return variants_of(base, axes=[axis_of(grid)], councils=(), configured=["mean_reversion", "momentum"])


def run(profiled, variants, folder, *, workers=1, record=lambda _: None):
    told: list[int] = []
    outcomes = run_variants(
        variants,
        swept_book(profiled, variants),
        files=VariantFiles(folder),
        workers=workers,
        tell=lambda _, outcome: told.append(outcome.variant.number),
        record=record,
    )
    return outcomes, told


def test_processes_beside_each_other_find_what_one_finds(profiled, tmp_path, monkeypatch):
    monkeypatch.setenv("TRADING_STATE_DIR", str(profiled.settings.state_dir))
    variants = variants_with(profiled, "momentum.lookback=40,80")
    alone, _ = run(profiled, variants, tmp_path / "alone")
    beside, _ = run(profiled, variants, tmp_path / "beside", workers=2)

    assert [one.measures for one in alone] == [one.measures for one in beside]
    assert all(np.array_equal(a.returns, b.returns) for a, b in zip(alone, beside, strict=True))
    assert alone[0].measures["sharpe"] != alone[1].measures["sharpe"]


def test_a_process_that_reads_other_rules_than_the_sweep_began_with_keeps_nothing(
    profiled, tmp_path, monkeypatch
):
    """A process begins later than its sweep, and reads what was edited meanwhile."""
    monkeypatch.setenv("TRADING_STATE_DIR", str(profiled.settings.state_dir))
    monkeypatch.setattr("resources.sweeping.craft_sha", lambda: "as it was before the edit")
    recorded: list[Sequence[Outcome]] = []

    with pytest.raises(BadInput, match="changed while it ran"):
        run(
            profiled,
            variants_with(profiled, "momentum.lookback=40,80"),
            tmp_path,
            workers=2,
            record=recorded.append,
        )

    assert recorded == []
    assert list(tmp_path.glob("*.json")) == []


def test_what_was_tried_is_not_tried_again_and_what_is_torn_is(profiled, tmp_path):
    first, _ = run(profiled, variants_with(profiled, "momentum.lookback=40,80"), tmp_path)
    wider = variants_with(profiled, "momentum.lookback=40,80,100")
    (tmp_path / f"{first[1].replay_sha}.npy").write_bytes(b"\x93NUMPY")
    second, told = run(profiled, wider, tmp_path)

    assert told == [1, 2, 3]
    assert [one.replay_sha for one in second[:2]] == [one.replay_sha for one in first]
    assert np.array_equal(second[1].returns, first[1].returns)
    assert run(profiled, wider, tmp_path)[1] == [3]


def test_every_trial_is_recorded_once_also_of_a_sweep_that_was_stopped(profiled, tmp_path):
    variants = variants_with(profiled, "momentum.lookback=40,80")
    book = swept_book(profiled, variants)
    record = recording(profiled, book, actor="ann")
    subject = subject_of(book.config, data_set_sha=profiled.evidence_data["us_five"], code_sha="any")

    def recorded():
        return [tried.name for tried in trials_of(subject, profiled.evidence.read().rows)]

    stopping = StopAfterOne()
    with pytest.raises(KeyboardInterrupt):
        run_variants(
            variants, book, files=VariantFiles(tmp_path), workers=1, tell=stopping.tell, record=record
        )
    assert recorded() == ["momentum.lookback=40"]

    run(profiled, variants, tmp_path, record=record)
    rows = len(profiled.evidence.read().rows)
    run(profiled, variants, tmp_path, record=record)

    assert sorted(recorded()) == ["momentum.lookback=40", "momentum.lookback=80"]
    assert len(profiled.evidence.read().rows) == rows
    assert missing_evidence(profiled.evidence.read()) == ()


def test_a_trial_that_was_recorded_under_each_edit_of_the_rules_is_made_again_once(profiled):
    """A filing would replay twice as much after each edit otherwise: what it makes again is recorded too."""
    config = profiled.books["us_five"]
    (base, *_) = variants_with(profiled, "momentum.lookback=40,80")
    recorded = [
        Tried(Identity("momentum", "momentum@1", rules, ""), told, (told,))
        for rules in ("first", "edited", "edited again")
        for told in ("momentum:lookback=40", "momentum:lookback=80")
    ]

    again = variants_again(recorded, base.request, config)
    assert [one.request.strategies for one in again] == [("momentum:lookback=40",), ("momentum:lookback=80",)]


def test_a_kept_outcome_tells_which_trial_it_is_and_one_that_does_not_is_tried_anew(profiled, tmp_path):
    variants = variants_with(profiled, "momentum.lookback=40,80")
    (outcome, _), _ = run(profiled, variants, tmp_path)
    files, place = VariantFiles(tmp_path), tmp_path / f"{outcome.replay_sha}.json"
    names = {tried.name for tried in files.tried_on("us_five")}

    assert names == {"momentum.lookback=40", "momentum.lookback=80"}
    assert files.tried_on("us_wide") == ()

    told = json.loads(place.read_bytes())
    del told["tried"]
    place.write_text(json.dumps(told), encoding="utf-8")
    assert [tried.name for tried in files.tried_on("us_five")] == ["momentum.lookback=80"]
    assert run(profiled, variants, tmp_path)[1] == [2, 1]
    assert {tried.name for tried in files.tried_on("us_five")} == names


def test_a_variant_that_had_too_little_history_is_no_data_and_says_what_it_needs(profiled, tmp_path):
    """It did nothing, so it lost nothing: by its drawdown it would be the best of all."""
    variants = variants_with(profiled, "momentum.lookback=40,140")
    outcomes, _ = run(profiled, variants, tmp_path)
    (again, _), (quick, patient) = run(profiled, variants, tmp_path), outcomes

    assert again[1].silences == patient.silences
    assert (quick.has_data, quick.warnings) == (True, ())
    assert not patient.has_data
    (warning,) = patient.warnings
    assert warning.startswith("no data: momentum says nothing in any of 42 sessions: it needs 141 sessions")
    assert patient.measures["max_drawdown"] is None
    assert patient.measures["total_return"] is None
    assert (patient.measures["sessions"], patient.measures["intents"]) == (42, 0)
    assert [one.variant.number for one in ranked(outcomes, by="max_drawdown")] == [1, 2]


def filed_run(profiled, outcomes, replayed):
    """Return the run of a replay of the configured book beside outcomes, as it would be filed."""
    config, (base, *_) = profiled.books["us_five"], variants_with(profiled, "momentum.lookback=40,80")
    request = replace(base.request, name="own", strategies=())
    subject = subject_of(config, data_set_sha="data", code_sha="code")
    return run_of_replay(
        replayed,
        request=request,
        config=config,
        data=swept_book(profiled, [base]).data,
        calendar=profiled.calendars["us_five"],
        bound=Bound(subject=subject, replay_sha="own", made_at=datetime(2013, 3, 1, tzinfo=UTC)),
        trials=outcomes,
        recorded=(),
        scenarios=(),
    )


def test_what_came_to_nothing_is_filed_without_returns_and_compared_with_nothing(profiled, tmp_path):
    variants = variants_with(profiled, "momentum.lookback=40,80,100")
    book = swept_book(profiled, variants)
    outcomes, _ = run(profiled, variants, tmp_path)
    gone = replace(outcomes[0], returns=np.empty(0))
    whole = replayed_whole(
        replace(variants[0].request, strategies=()), book.config, data=book.data, calendar=book.calendar
    )
    sessions = {**whole["sessions"], "equity_micros": np.zeros_like(whole["sessions"]["equity_micros"])}
    ruined = replace(whole, tables={**whole.tables, "sessions": sessions})

    own, *others = filed_run(profiled, [gone, *outcomes[1:]], whole).candidates
    assert (len(others), own.metrics["trials"], own.metrics["overfitting_trials"]) == (3, 4.0, 3.0)
    lost = filed_run(profiled, outcomes, ruined).candidates[0]
    assert (lost.metrics["total_return"], lost.metrics["deflated_sharpe"], lost.folds) == (None, None, ())
    assert lost.metrics["overfitting_trials"] == 1.0


def test_a_parameter_that_a_strategy_does_not_take_is_refused_by_name(profiled, tmp_path):
    with pytest.raises(BadSetting, match="do not fit"):
        run(profiled, variants_with(profiled, "momentum.look=1,2"), tmp_path)
