"""How far a book is from its limits, by hand-worked cases, and how the limits are shown."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from console.desk import open_desk
from console.effective import effective
from console.history import SessionPoint
from console.margins import margins_of
from console.pages.reviewed_limits import limits_shown
from resources.reviewed_config import read_limits

CONFIG = Path(__file__).resolve().parents[2] / "config"
LIMITS = replace(
    read_limits("us_five", CONFIG / "limits.toml"),
    daily_loss_bps_max=200,
    drawdown_bps_max=1000,
    drawdown_sessions=60,
    leverage_bps_max=12000,
)


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
    _, of_late, _ = margins_of(points(1000, 900, 900), 0, replace(LIMITS, drawdown_sessions=2))

    assert of_late.observed_bps == 0


def test_limits_that_change_on_a_date_are_shown_beside_those_they_change(tmp_path, monkeypatch):
    shutil.copytree(CONFIG, tmp_path / "config")
    limits = tmp_path / "config" / "limits.toml"
    change = (
        '[[changes]]\nbook = "us_five"\neffective_from = 2013-02-28\nreason = "calm"\nvar_bps_max = 300\n'
    )
    limits.write_text(limits.read_text("utf-8") + "\n" + change, encoding="utf-8")
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))

    shown = {section.name: section.rows for section in limits_shown(effective(open_desk()))}

    assert [row.value for row in shown["changes 1"] if row.name == "var_bps_max"] == ["300"]
    (quantity,) = [row for row in shown["default"] if row.name == "order_quantity_max"]
    assert quantity.reason.startswith("shares; a typing mistake")
    assert read_limits("us_five", limits).on(date(2013, 2, 28)).var_bps_max == 300
