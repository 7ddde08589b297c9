"""The Great Expectations suite on tables that are sound, and on one broken table for each expectation."""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading.quotes import Quote
from trading.values import Symbol
from trading_assets.quality_suite import validate_quotes

SESSION = date(2010, 5, 6)


@pytest.fixture(scope="module", autouse=True)
def library_imported() -> None:
    with warnings.catch_warnings():
        # Its own imports use modules of the standard library that are on their way out.
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        import great_expectations  # noqa: F401


def quote(symbol: str, **changes: Any) -> Quote:
    sound = Quote(
        symbol=Symbol(symbol),
        session=SESSION,
        open_micros=10_000_000,
        high_micros=12_000_000,
        low_micros=9_000_000,
        close_micros=11_000_000,
        volume=1000,
        source="test",
        source_sha="a" * 64,
        known_at=datetime(2010, 5, 6, 20, tzinfo=UTC),
    )
    return sound._replace(**changes)


def frame_of(*quotes: Quote) -> pd.DataFrame:
    return pd.DataFrame([row._asdict() for row in quotes], columns=list(Quote._fields))


def test_a_sound_table_fails_nothing_even_for_symbols_that_look_like_values() -> None:
    symbols = ("TRUE", "NAN", "ON", "NA", "NULL", "BRK.B")

    assert validate_quotes(frame_of(*(quote(symbol) for symbol in symbols))) == []


@pytest.mark.parametrize(
    ("changes", "expectation", "columns"),
    [
        ({"symbol": "brk b"}, "expect_column_values_to_match_regex", "symbol"),
        ({"symbol": "IBM"}, "expect_compound_columns_to_be_unique", "symbol, session"),
        ({"close_micros": 0, "low_micros": 0}, "expect_column_values_to_be_between", "close_micros"),
        (
            {"open_micros": 12_000_001},
            "expect_column_pair_values_a_to_be_greater_than_b",
            "high_micros, open_micros",
        ),
        (
            {"close_micros": 8_999_999},
            "expect_column_pair_values_a_to_be_greater_than_b",
            "close_micros, low_micros",
        ),
        ({"volume": 0}, "expect_column_values_to_be_between", "volume"),
        ({"source_sha": "none"}, "expect_column_values_to_match_regex", "source_sha"),
        ({"known_at": None}, "expect_column_values_to_not_be_null", "known_at"),
    ],
)
def test_a_broken_table_fails_by_name(changes: dict[str, Any], expectation: str, columns: str) -> None:
    failures = validate_quotes(frame_of(quote("IBM"), quote("AAPL")._replace(**changes)))

    assert (expectation, columns) in {(failure["expectation"], failure["columns"]) for failure in failures}
    assert all(failure["error"] == "" for failure in failures)


def test_a_released_row_may_lie_outside_its_range_but_never_below_zero() -> None:
    released = quote("AAPL", open_micros=12_000_001, volume=0, released=True)

    assert validate_quotes(frame_of(quote("IBM"), released)) == []
    assert validate_quotes(frame_of(quote("IBM"), released._replace(volume=-1))) != []


def test_an_empty_table_and_a_missing_column_are_told() -> None:
    empty = validate_quotes(frame_of())
    narrow = validate_quotes(frame_of(quote("IBM")).drop(columns="volume"))

    assert "expect_table_row_count_to_be_between" in {failure["expectation"] for failure in empty}
    assert any('"volume"' in failure["error"] for failure in narrow)


def test_a_validation_connects_to_nothing_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the suite opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)

    assert validate_quotes(frame_of(quote("IBM"))) == []
    assert list(tmp_path.iterdir()) == []


def test_importing_the_suite_does_not_import_the_library() -> None:
    code = "import sys, trading_assets.quality_suite; sys.exit('great_expectations' in sys.modules)"
    root = Path(__file__).parents[2]

    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
