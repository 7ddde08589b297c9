"""What the replay benchmark compares comes to one answer, to the unit, though written apart.

Not here: any time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import bare_ledger, integer_reference
from benchmarks.panels import CENT_MICROS, FIELDS, Panel, kept_panel, made_panel, read_panel

DEPOSIT_MICROS = integer_reference.DEPOSIT_MICROS
WORKLOADS = ("momentum", "crossing")
SMALL = (12, 300)


def rough_panel(symbols: int, sessions: int, seed: int) -> Panel:
    """Give opens that have nothing to do with closes, and closes that often tie: cash runs out."""
    rng = np.random.default_rng(seed)
    opens = rng.integers(100, 30_000, (sessions, symbols)) * CENT_MICROS
    closes = rng.integers(4, 9, (sessions, symbols)) * 100 * CENT_MICROS
    return Panel(opens, closes, np.full_like(closes, 10**9))


def assert_one_answer(workload: str, panel: Panel, deposit_micros: int = DEPOSIT_MICROS) -> Any:
    expected = getattr(integer_reference, workload)(panel.open_micros, panel.close_micros, deposit_micros)

    equity, records = getattr(bare_ledger, workload)(panel.open_micros, panel.close_micros, deposit_micros)

    assert equity.tolist() == expected.equity
    assert [tuple(record) for record in records[:, : bare_ledger.CASH].tolist()] == expected.fills
    assert len(expected.fills) > 20
    return expected


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("seed", range(4))
def test_the_bare_ledger_and_the_integer_reference_agree_to_the_unit(workload: str, seed: int) -> None:
    assert_one_answer(workload, made_panel(*SMALL, seed))


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("seed", range(4))
def test_they_agree_where_cash_runs_out_and_scores_tie(workload: str, seed: int) -> None:
    panel = rough_panel(37, 260, seed)

    expected = assert_one_answer(workload, panel, DEPOSIT_MICROS + 7)

    cash = DEPOSIT_MICROS + 7
    emptied = 0
    for _, _, quantity, price, commission in expected.fills:
        cash -= price * quantity + commission
        next_share = price + -(-price * (abs(quantity) + 1) // 10_000) - commission
        emptied += quantity > 0 and cash < next_share
        assert cash >= 0
    assert emptied


def test_a_buy_pays_slippage_and_commission_rounded_against_it_and_no_share_more_than_cash() -> None:
    ledger = integer_reference.Ledger(10_000_000)

    ledger.trade(0, 3, 100, 1_000_000)

    # 1.00 at 5 bps is 1.000500; nine cost 9.004500 and 0.00090045 commission, ten would cost 10.005.
    assert ledger.fills == [(0, 3, 9, 1_000_500, 901)]
    assert ledger.cash == 10_000_000 - 9_004_500 - 901


def test_a_sale_gets_the_open_less_slippage_rounded_down() -> None:
    ledger = integer_reference.Ledger(0, shares={3: 2})

    ledger.trade(0, 3, -2, 1_010_000)

    # 1.01 less 5 bps is 1.009495; two give 2.018990 less 0.000202 (rounded up from 0.000201899).
    assert ledger.fills == [(0, 3, -2, 1_009_495, 202)]
    assert ledger.cash == 2_018_990 - 202


def test_a_cash_of_just_the_price_and_its_commission_buys_and_one_unit_less_does_not() -> None:
    for short, bought in ((0, 7), (1, 6)):
        ledger = integer_reference.Ledger(7 * 1_000_500 + 701 - short)

        ledger.trade(0, 0, 7, 1_000_000)

        assert ledger.shares == {0: bought}


def test_a_kept_panel_is_the_made_one_and_is_made_once(tmp_path: Any) -> None:
    folder = kept_panel(5, 40, 1, under=tmp_path)
    before = sorted(path.stat().st_mtime_ns for path in folder.iterdir())

    again = kept_panel(5, 40, 1, under=tmp_path)

    read, made = read_panel(again), made_panel(5, 40, 1)
    assert sorted(path.stat().st_mtime_ns for path in again.iterdir()) == before
    for field in FIELDS:
        assert getattr(read, field).dtype == np.int64
        assert (getattr(read, field) == getattr(made, field)).all()
    assert (made.close_micros % CENT_MICROS == 0).all()
    assert (made.open_micros >= 100 * CENT_MICROS).all()
    assert made.cells == 200
