"""The review inside T2: ages and the clock's skew in whole seconds, and never towards passing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from trading.guards import PASS, REASONS
from trading.journal import FundsView, RunControl
from trading.positions import Book, Position
from trading.session import Morning
from trading.testing import Harmless, example_intent, example_limits
from trading.values import Symbol
from trading.verdicts import Prepared
from trading_assets.stages.executions import second_look

NOW = datetime(2013, 2, 28, 15, tzinfo=UTC)
SESSION = date(2013, 2, 28)
PRICE = 100_000_000


def told(
    age_s: float,
    *,
    is_degraded: bool = False,
    is_approved_by_person: bool = False,
    held: tuple[int, float] = (PRICE, 0),
) -> list[str]:
    """Return why an order is not sent whose quote is so old; `held` is IBM's price, and its quote's age."""
    intent = example_intent()
    book = Book(
        currency="USD",
        cash_micros=10**12,
        positions=(Position(Symbol("IBM"), 1_000, 0),),
        deposits_micros=10**12,
    )
    quotes = {
        intent.symbol: SimpleNamespace(price_micros=PRICE, quoted_at=NOW - timedelta(seconds=age_s)),
        "IBM": SimpleNamespace(price_micros=held[0], quoted_at=NOW - timedelta(seconds=held[1])),
    }
    rules = SimpleNamespace(
        limits=SimpleNamespace(on=lambda _: example_limits(daily_loss_bps_max=200)), overrides=()
    )
    prepared = Prepared(universe={intent.symbol}, average_volumes={intent.symbol: 10**9}, risk=Harmless())
    review = second_look(
        SimpleNamespace(
            config=SimpleNamespace(rules=rules),
            calendar=SimpleNamespace(
                opens_at=lambda _: NOW - timedelta(hours=1), closes_at=lambda _: NOW + timedelta(hours=1)
            ),
        ),
        SESSION,
        lambda: NOW,
        at_open=book,
        morning=Morning(
            closes={intent.symbol: PRICE, Symbol("IBM"): PRICE},
            opening_micros=10**12 + 1_000 * PRICE,
            peak_equity_micros=0,
            prepared=prepared,
        ),
        decisions=[intent],
        verdicts=(),
        live=SimpleNamespace(live_quote=lambda symbol, _: quotes[symbol]),
        execution_enabled=True,
    )
    view = FundsView(
        run_control=RunControl(
            kill_switch_on=False,
            paused=False,
            actor="",
            reason="",
            changed_at=None,
            is_degraded=is_degraded,
        ),
        book=book,
        reserved_micros=0,
        open_buys={},
        open_sells={},
        is_approved_by_person=is_approved_by_person,
    )
    row = SimpleNamespace(intent=intent, quantity=10)
    return [REASONS[why.code] for why in review(row, view) if why.code != PASS]


@pytest.mark.parametrize(
    ("age_s", "why_not"),
    [
        (0, []),
        (0.9, []),
        (300, []),
        (300.000001, ["quote_stale"]),
        (300.9, ["quote_stale"]),
        (-0.000001, ["quote_stale"]),
        (-0.9, ["quote_stale"]),
        (-2, ["quote_stale"]),
        (-2.000001, ["quote_stale", "clock_skewed"]),
        (-2.9, ["quote_stale", "clock_skewed"]),
    ],
)
def test_a_part_of_a_second_never_lets_an_order_pass(age_s, why_not):
    assert told(age_s) == why_not


@pytest.mark.parametrize(("held_age_s", "why_not"), [(300, ["daily_loss_limit"]), (301, [])])
def test_what_else_is_held_is_measured_at_no_price_that_is_too_old_for_a_send(held_age_s, why_not):
    assert told(0, held=(PRICE // 2, held_age_s)) == why_not


def test_while_degraded_a_person_who_approved_the_order_was_asked():
    asked = "degrade_manual_approval_required"
    assert asked in told(0, is_degraded=True)
    assert asked not in told(0, is_degraded=True, is_approved_by_person=True)


def test_a_persons_approval_sets_nothing_else_aside():
    rest = [why for why in told(301, is_degraded=True) if why != "degrade_manual_approval_required"]
    assert "quote_stale" in rest
    assert told(301, is_degraded=True, is_approved_by_person=True) == rest
