"""How far a book is from its limits, by hand-worked cases."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from console.history import SessionPoint
from console.margins import margins_of

LIMITS = {"daily_loss_bps_max": "200", "drawdown_bps_max": "1000", "leverage_bps_max": "12000"}


def points(*worth: int | None, exposure: int = 0):
    return tuple(
        SessionPoint(
            session=date(2013, 2, 1) + timedelta(days=number),
            equity_micros=equity,
            exposure_micros=None if equity is None else exposure,
            intents=0,
            blocked=0,
            filled=0,
        )
        for number, equity in enumerate(worth)
    )


@pytest.mark.parametrize(
    ("worth", "pnl", "loss_bps", "drawdown_bps", "reached"),
    [
        ((1000, 980), -20, 200, 200, ["session loss"]),
        ((1000, 981), -19, 190, 190, []),
        ((1000, 990, 1020), 30, 0, 0, []),
        ((1000, 900, 905), 5, 0, 950, []),
        ((1000, 900, 899), -1, 12, 1010, ["drawdown"]),
        ((1000, None, 980), None, None, 200, []),
        ((), None, None, None, []),
    ],
    ids=[
        "at the limit",
        "a tick under it",
        "a gain",
        "under a peak",
        "too far under it",
        "no mark",
        "nothing",
    ],
)
def test_loss_and_drawdown_stand_against_their_limits(*, worth, pnl, loss_bps, drawdown_bps, reached):
    loss, fall, _ = margins_of(points(*worth), pnl, LIMITS)

    assert (loss.observed_bps, fall.observed_bps) == (loss_bps, drawdown_bps)
    assert [row.name for row in (loss, fall) if row.is_reached] == reached


def test_exposure_is_what_is_not_cash_and_rounds_up():
    *_, exposure = margins_of(points(3, exposure=1), None, LIMITS)

    assert (exposure.observed_bps, exposure.limit_bps, exposure.is_reached) == (3334, 12000, False)


def test_an_old_peak_counts_only_as_long_as_the_limit_says():
    _, of_late, _ = margins_of(points(1000, 900, 900), 0, {**LIMITS, "drawdown_sessions": "2"})

    assert of_late.observed_bps == 0


def test_a_limit_that_is_not_set_is_said_to_be_none_and_is_never_reached():
    margins = margins_of(points(1000, 1), -999, {})

    assert [row.limit_bps for row in margins] == [None, None, None]
    assert not any(row.is_reached for row in margins)
