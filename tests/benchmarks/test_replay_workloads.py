"""What the replay benchmark compares comes to one answer, to the unit, though written apart.

Not here: any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bare_ledger, integer_reference
from benchmarks.integer_reference import DEPOSIT_MICROS, Ledger
from benchmarks.panels import CENT_MICROS, FIELDS, Panel, kept_panel, made_panel, read_panel
from benchmarks.replay_child import NAMES, told
from benchmarks.workloads import replay_workload
from resources.replay_engine import ReplayEngine

PLAIN = ReplayEngine(Path(), is_compiled=False)
"""The engine as it stands in its source; that it compiles to the same is held where the kernel is tested."""

SMALL = (12, 300)


def rough_panel(symbols: int, sessions: int, seed: int) -> Panel:
    """Give opens that have nothing to do with closes, and closes that often tie: cash runs out."""
    rng = np.random.default_rng(seed)
    opens = rng.integers(100, 30_000, (sessions, symbols)) * CENT_MICROS
    closes = rng.integers(4, 9, (sessions, symbols)) * 100 * CENT_MICROS
    return Panel(opens, closes, np.full_like(closes, 10**9))


def gappy_panel(symbols: int, sessions: int, seed: int) -> Panel:
    """Give opens up to two fifths above the close before: buys cost more than they were sized on."""
    made = made_panel(symbols, sessions, seed)
    gaps = np.random.default_rng(seed).integers(100, 141, (sessions - 1, symbols))
    opens = made.open_micros.copy()
    opens[1:] = made.close_micros[:-1] // (100 * CENT_MICROS) * gaps * CENT_MICROS
    return Panel(opens, made.close_micros, made.volume)


def expected_of(workload: str, panel: Panel) -> Ledger:
    ledger: Ledger = getattr(integer_reference, NAMES[workload])(
        panel.open_micros, panel.close_micros, DEPOSIT_MICROS
    )
    assert len(ledger.fills) > 20
    return ledger


def assert_equal(equity: Any, fills: Any, expected: Ledger) -> None:
    assert equity.tolist() == expected.equity
    assert [tuple(fill) for fill in fills.tolist()] == expected.fills


def assert_bare_agrees(workload: str, panel: Panel, expected: Ledger) -> None:
    replay = getattr(bare_ledger, NAMES[workload])
    equity, records = replay(panel.open_micros, panel.close_micros, DEPOSIT_MICROS)
    assert_equal(equity, records[:, : bare_ledger.CASH], expected)


def assert_engine_agrees(workload: str, panel: Panel, expected: Ledger, *, light: bool = True) -> None:
    run = replay_workload(
        workload,
        panel.open_micros,
        panel.close_micros,
        panel.volume,
        engine=PLAIN,
        deposit_micros=DEPOSIT_MICROS,
        light=light,
    )
    assert_equal(*told(run), expected)


def cut_buys(expected: Ledger) -> int:
    """Return after how many buys there was not the cash for one share more; holds cash to be above zero."""
    cash, cut = DEPOSIT_MICROS, 0
    for _, _, quantity, price, commission in expected.fills:
        cash -= price * quantity + commission
        assert cash >= 0
        next_share = price + -(-price * (abs(quantity) + 1) // 10_000) - commission
        cut += quantity > 0 and cash < next_share
    return cut


@pytest.mark.parametrize("workload", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_the_engine_and_the_bare_ledger_give_the_answer_of_the_integer_reference(
    workload: str, seed: int
) -> None:
    panel = made_panel(*SMALL, seed)
    expected = expected_of(workload, panel)

    assert_bare_agrees(workload, panel, expected)
    assert_engine_agrees(workload, panel, expected)


@pytest.mark.parametrize("workload", NAMES)
def test_the_engine_that_keeps_every_table_gives_the_same_answer(workload: str) -> None:
    panel = made_panel(37, 260, 5)

    assert_engine_agrees(workload, panel, expected_of(workload, panel), light=False)


@pytest.mark.parametrize("workload", NAMES)
@pytest.mark.parametrize("seed", range(2))
def test_all_agree_where_cash_runs_out(workload: str, seed: int) -> None:
    panel = gappy_panel(37, 260, seed)
    expected = expected_of(workload, panel)

    assert cut_buys(expected)
    assert_bare_agrees(workload, panel, expected)
    assert_engine_agrees(workload, panel, expected)


@pytest.mark.parametrize("workload", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_the_bare_ledger_agrees_on_markets_that_every_guard_would_stop(workload: str, seed: int) -> None:
    panel = rough_panel(37, 260, seed)
    expected = expected_of(workload, panel)

    assert cut_buys(expected)
    assert_bare_agrees(workload, panel, expected)


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
