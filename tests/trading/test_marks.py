"""Marks: what is held is always worth something that was seen, however long ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from resources.reviewed_config import book_config, read_books
from trading.actions import ActionKind, CorporateAction
from trading.positions import Book, Mark, Position, equity_micros
from trading.quotes import Panel
from trading.session import marks_at_open, run_sessions

UNIT = 1_000_000


class Source:
    """Bound a book as its file does; no bar is asked for."""

    def sessions(self) -> tuple[date, ...]:
        return ()


@pytest.fixture
def config(config_dir, xnys):
    line = read_books(config_dir / "books.toml")["us_five"]
    whole = book_config("us_five", line, config_dir=config_dir, source=Source(), calendar=xnys)
    scanner = replace(whole.rules.scanner, history_sessions=22)
    return replace(whole, rules=replace(whole.rules, window_sessions=22, scanner=scanner))


def test_a_leaver_keeps_its_last_mark_long_after_it_left_the_window(config, xnys):
    sessions = xnys.between(date(2012, 1, 3), date(2012, 4, 30))
    left_after = 30
    closes = np.full((len(sessions), 2), 100 * UNIT)
    closes[left_after:, 1] = 0
    volume = np.where(closes > 0, 1_000_000, 0)
    panel = Panel(
        sessions=sessions,
        symbols=("AAA", "BBB"),
        open=closes,
        high=closes,
        low=closes,
        close=closes,
        volume=volume,
    )
    opening = Book(
        currency="USD",
        cash_micros=1_000 * UNIT,
        deposits_micros=2_000 * UNIT,
        positions=(Position("BBB", 10, 1_000 * UNIT),),
    )

    results = run_sessions(
        config, panel=panel, actions=(), calendar=xnys, sessions=sessions[25:], opening=opening
    )

    last = results[-1]
    assert last.marks["BBB"] == Mark(100 * UNIT, sessions[left_after - 1])
    assert (
        equity_micros(last.closing, {s: mark.price_micros for s, mark in last.marks.items()}) == 2_000 * UNIT
    )


def test_a_kept_mark_is_split_with_its_shares():
    on = date(2012, 6, 1)
    split = CorporateAction(effective_on=on, symbol="BBB", kind=ActionKind.SPLIT, numerator=2, denominator=1)
    marks = {"AAA": Mark(7 * UNIT, date(2012, 5, 31)), "BBB": Mark(100 * UNIT, date(2012, 1, 3))}

    opened = marks_at_open(marks, session=on, actions=[split])

    assert opened == {**marks, "BBB": Mark(50 * UNIT, date(2012, 1, 3))}
    assert marks_at_open(marks, session=date(2012, 6, 4), actions=[split]) == marks
