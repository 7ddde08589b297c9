"""What guards need of a session's symbols and book, made once before its first intent is reviewed.

Volumes and scenarios come from the decision's own window, so live and replay prepare the same. What guards
make of it is guards.py, through verdicts.py; the measures of risk are risk.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trading.limits import Limits
from trading.positions import Book
from trading.quotes import Window
from trading.risk import Scenarios, VarBound, order_var, prepare
from trading.values import Symbol
from trading.verdicts import Measured, Prepared, RiskModel


def prepare_session(
    window: Window, at_open: Book, limits: Limits, *, prices: Mapping[Symbol, int]
) -> Prepared:
    """Return a session's prepared state: its universe, average volumes and the book's risk at prices."""
    quantities = {position.symbol: position.quantity for position in at_open.positions}
    return Prepared(
        universe={*quantities, *window.symbols},
        average_volumes=average_volumes(window, limits.volume_sessions),
        risk=BookRisk(prepare(window, quantities, prices)),
    )


def average_volumes(window: Window, sessions: int) -> dict[Symbol, int]:
    """Return the mean volume of the last sessions of a window in today's shares, rounded down, by symbol.

    Sessions without a quote do not count; a symbol without any has no average.
    """
    volume = window.volume[-sessions:]
    traded = np.isfinite(volume)
    counts = traded.sum(axis=0)
    totals = np.zeros(len(window.symbols))
    for row in np.where(traded, volume, 0.0):  # session by session: one order of sums, so one result
        totals += row
    return {
        symbol: average_of(total, count)
        for symbol, total, count in zip(window.symbols, totals.tolist(), counts.tolist(), strict=True)
        if count
    }


def average_of(total: float, count: int) -> int:
    """Return the mean of volumes that come to a total, rounded down."""
    return int(total / count)


@dataclass(frozen=True, slots=True)
class BookRisk:
    """Obey `trading.verdicts.RiskModel` on the scenarios of a session."""

    scenarios: Scenarios

    def is_sufficient(self, symbol: Symbol) -> bool:
        """Say whether the book's risk with an order in a symbol can be told at all."""
        return self.scenarios.is_sufficient(symbol)

    def measured(
        self, symbol: Symbol, *, quantity: int, price_micros: int, level_bps: int, limit_micros: int
    ) -> Measured:
        """Return the value at risk with a buy of a quantity, and the largest up to it within the limit."""
        told = order_var(
            self.scenarios.pnl_micros,
            self.scenarios.returns_of(symbol),
            quantity,
            price_micros,
            VarBound(level_bps, limit_micros),
        )
        return Measured(told.var_micros, told.largest)

    def with_order(self, symbol: Symbol, *, quantity: int, price_micros: int) -> RiskModel:
        """Return the same with one more order counted as filled (shares, negative: sold)."""
        return BookRisk(self.scenarios.with_order(symbol, quantity=quantity, price_micros=price_micros))

    def of_book(self, quantities: Mapping[Symbol, int], prices: Mapping[Symbol, int]) -> RiskModel:
        """Return the same for a book of quantities (shares) at prices."""
        return BookRisk(self.scenarios.of_book(quantities, prices))
