"""The suite over quotes takes long to load: what it let pass is not judged again, and the check says so."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from tests.graph.desk import SESSIONS, failure_of
from trading_assets.evaluations import JUDGED, JUDGED_IN
from trading_assets.quality_suite import validate_quotes
from trading_assets.stages import market_quotes

CHECK = "quotes_satisfy_the_suite"


@pytest.fixture
def judged_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows by the number of rows whenever the suite judges."""
    counts: list[int] = []

    def judge(frame: Any) -> Any:
        counts.append(len(frame))
        return validate_quotes(frame)

    monkeypatch.setattr(market_quotes, "validate_quotes", judge)
    return counts


def evaluation_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """Give what a run says of the one session it was for."""
    assert result.success, failure_of(result)
    said = [one for one in result.get_asset_check_evaluations() if one.check_name == CHECK and one.partition]
    assert len(said) == 1
    return said[0]


def told(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


def test_the_same_rows_pass_again_by_what_was_judged_before(desk, judged_rows):
    first = desk.import_quotes(SESSIONS[0], SESSIONS[0])
    count = len(judged_rows)
    second = evaluation_of(desk.import_quotes(SESSIONS[0], SESSIONS[0]))
    third = evaluation_of(desk.import_quotes(SESSIONS[0], SESSIONS[0]))

    assert count > 0
    assert len(judged_rows) == count
    assert second.passed
    assert told(second, JUDGED) == told(evaluation_of(first), JUDGED)
    assert told(second, JUDGED_IN) == told(third, JUDGED_IN) == first.run_id


def test_what_a_range_judged_is_known_session_by_session(desk, judged_rows):
    together = desk.import_quotes(SESSIONS[0], SESSIONS[2])
    count = len(judged_rows)
    alone = evaluation_of(desk.import_quotes(SESSIONS[1], SESSIONS[1]))

    assert count > 0
    assert len(judged_rows) == count
    assert told(alone, JUDGED_IN) == together.run_id


def test_other_rows_and_another_suite_are_judged_anew(desk, judged_rows, monkeypatch):
    desk.import_quotes(SESSIONS[0], SESSIONS[0])
    count = len(judged_rows)
    monkeypatch.setattr(market_quotes, "suite_sha", lambda: "another suite")
    again = desk.import_quotes(SESSIONS[0], SESSIONS[0])

    assert len(judged_rows) > count
    assert told(evaluation_of(again), JUDGED_IN) == again.run_id


def test_rows_that_failed_are_judged_each_time(desk, judged_rows, monkeypatch):
    monkeypatch.setattr(
        market_quotes,
        "validate_quotes",
        lambda frame: judged_rows.append(len(frame)) or [{"expectation": "none"}],
    )
    first = evaluation_of(desk.import_quotes(SESSIONS[0], SESSIONS[0]))
    count = len(judged_rows)
    second = evaluation_of(desk.import_quotes(SESSIONS[0], SESSIONS[0]))

    assert not first.passed
    assert not second.passed
    assert len(judged_rows) > count
