"""Measures in words: one form on the command line, on pages and in the graph."""

from __future__ import annotations

import pytest

from resources.tear_sheets import PERCENTS
from trading.measure_words import SHARES, measure_text


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("cagr", 0.0812, "8.12%"),
        ("max_drawdown", -0.0049, "-0.49%"),
        ("sharpe", 1.2345, "1.23"),
        ("fills", 1_234, "1,234"),
        ("cagr", None, "no data"),
    ],
)
def test_a_share_is_told_in_per_cent_a_count_whole_and_a_ratio_with_two_decimals(name, value, told):
    assert measure_text(name, value) == told


def test_what_a_tear_sheet_tells_in_per_cent_is_a_share_everywhere():
    assert set(PERCENTS) <= SHARES
