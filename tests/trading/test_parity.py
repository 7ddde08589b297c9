"""Parity: two decisions are equal to the bit, or the first value that differs is named."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import pytest

from trading.parity import ABSENT, PLACE, WHOLE_ROW, Difference, differences, first_difference, keyed
from trading.values import Side


class Line(NamedTuple):
    symbol: str
    guard: str
    limit: int
    score: float


ONE, TWO = Line("A", "cash", 10, 0.5), Line("B", "cash", 20, float("nan"))


def tables(*rows):
    return {"candidates": {}, "verdicts": keyed(rows, "symbol", "guard")}


def test_equal_decisions_differ_nowhere_and_not_a_number_is_itself():
    assert first_difference(tables(ONE, TWO), tables(ONE, TWO._replace(score=float("nan")))) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (ONE._replace(limit=11), Difference("verdicts", "A/cash", "limit", "10", "11")),
        (ONE._replace(limit=10.0), Difference("verdicts", "A/cash", "limit", "10", "10.0")),
        (
            ONE._replace(score=0.5000000000000001),
            Difference("verdicts", "A/cash", "score", "0.5", "0.5000000000000001"),
        ),
        (ONE._replace(score=-0.0), Difference("verdicts", "A/cash", "score", "0.5", "-0.0")),
    ],
)
def test_a_value_that_differs_is_named_with_both_sides(changed, told):
    assert list(differences(tables(ONE, TWO), tables(changed, TWO))) == [told]
    assert str(told).startswith("verdicts A/cash ")


def test_minus_zero_is_not_zero_and_one_is_not_true():
    for one, other in ((0.0, -0.0), (1, True), (None, 0), (None, "nothing")):
        before, after = ONE._replace(score=one), ONE._replace(score=other)
        assert first_difference(tables(before), tables(after)) is not None


def test_a_named_choice_is_the_text_that_it_is_stored_as():
    assert first_difference(tables(ONE._replace(guard=Side.BUY)), tables(ONE._replace(guard="BUY"))) is None


def test_a_row_on_one_side_alone_is_named_whole():
    (missing,) = differences(tables(ONE, TWO), tables(ONE))
    (new,) = differences(tables(ONE), tables(ONE, TWO))

    assert (missing.key, missing.column, missing.replayed) == ("B/cash", WHOLE_ROW, ABSENT)
    assert (new.live, new.key) == (ABSENT, "B/cash")
    assert "limit 20" in missing.live


def test_equal_rows_in_another_order_differ_in_their_place():
    assert list(differences(tables(ONE, TWO), tables(TWO, ONE))) == [
        Difference("verdicts", "A/cash", PLACE, "0", "1")
    ]


def test_the_first_table_that_differs_comes_first():
    live = {"intents": keyed([ONE], "symbol"), "verdicts": keyed([ONE], "symbol")}
    other = ONE._replace(limit=1)
    replayed = {"intents": keyed([other], "symbol"), "verdicts": keyed([other], "symbol")}

    assert first_difference(live, replayed) == Difference("intents", "A", "limit", "10", "1")


def test_a_date_reads_as_people_write_it():
    live = {"t": {"k": {"on": date(2013, 3, 1)}}}

    assert "2013-03-01" in str(first_difference(live, {"t": {"k": {"on": None}}}))


def test_two_rows_of_one_key_are_refused():
    with pytest.raises(ValueError, match="two rows of Line have the key A"):
        keyed([ONE, ONE], "symbol")
