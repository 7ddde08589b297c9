"""Reckon what W1 and W2 come to, one fill at a time in Python's own integers: the answer engines are held to.

Written by someone who had not read the engine, so that an error has to be made twice to pass. Slow on
purpose: no floats, no overflow, no cleverness that needs a proof beyond two lines.

Both: decided at the close of t, filled at the open of t + 1, sales (by column) before buys; 5 bps slippage
and 1 bp commission, each rounded against us to the micro-unit; whole shares; a buy is cut to what cash
pays; marked at every close; nothing decided on the last session. Ties go to the lower column.

W1, cross-sectional momentum: at t = 131, 136, …, score = close[t − 5] ∕ close[t − 131]; the best tenth, one
at least, get ⌊0.95 × equity ∕ count ∕ close⌋ shares, in the order of their rank, all others none.

W2, moving averages that cross: from t = 30, when a symbol's mean of 10 closes comes above that of 30 and it
is not held, ⌊deposit ∕ symbols ∕ close⌋ shares; when it is above no longer, none. Equal is not above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEPOSIT_MICROS = 100_000_000 * 1_000_000
LOOKBACK, SKIPPED, EVERY, SHARE_OF_SYMBOLS, GROSS_PERCENT = 126, 5, 5, 10, 95
FAST, SLOW = 10, 30


@dataclass(slots=True)
class Ledger:
    """Hold cash, shares by column, what was filled, and what all was worth at each close.

    A fill is its session, column, signed shares, price and commission.
    """

    cash: int
    shares: dict[int, int] = field(default_factory=dict)
    fills: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    equity: list[int] = field(default_factory=list)

    def trade(self, session: int, column: int, wanted: int, open_micros: int) -> None:
        """Fill signed shares at the open with 5 bps slippage and 1 bp commission; cut a buy to the cash."""
        if wanted > 0:
            price = -(-open_micros * 10_005 // 10_000)
            # n + ⌈n / 10,000⌉ ≤ cash exactly where n + n / 10,000 ≤ cash, since cash − n is whole.
            wanted = min(wanted, self.cash * 10_000 // 10_001 // price)
        else:
            price = open_micros * 9_995 // 10_000
        if wanted:
            commission = -(-price * abs(wanted) // 10_000)
            self.cash -= price * wanted + commission
            self.shares[column] = self.shares.get(column, 0) + wanted
            self.fills.append((session, column, wanted, price, commission))

    def trade_all(self, session: int, changes: list[tuple[int, int]], opens: list[int]) -> None:
        """Fill sales in the order of columns, then buys in the order given."""
        for column, change in sorted(changes):
            if change < 0:
                self.trade(session, column, change, opens[column])
        for column, change in changes:
            if change > 0:
                self.trade(session, column, change, opens[column])
        self.shares = {column: held for column, held in self.shares.items() if held}

    def mark(self, closes: list[int]) -> None:
        """Value the book at a close."""
        self.equity.append(self.cash + sum(held * closes[column] for column, held in self.shares.items()))


def momentum(open_micros: Any, close_micros: Any, deposit_micros: int = DEPOSIT_MICROS) -> Ledger:
    """Replay W1 over whole micro-units by session and column."""
    opens, closes = open_micros.tolist(), close_micros.tolist()
    count = max(1, len(closes[0]) // SHARE_OF_SYMBOLS)
    ledger, changes = Ledger(deposit_micros), []
    for t in range(len(closes)):
        ledger.trade_all(t, changes, opens[t])
        ledger.mark(closes[t])
        changes = []
        since = t - SKIPPED - LOOKBACK
        if since >= 0 and since % EVERY == 0 and t < len(closes) - 1:
            # Unequal quotients of numbers under 2**48 are at least 2**-96 apart: the whole parts rank them.
            pairs = zip(closes[t - SKIPPED], closes[since], strict=True)
            scores = [(now << 96) // then for now, then in pairs]
            best = sorted(range(len(scores)), key=lambda column: (-scores[column], column))[:count]
            targets = {
                column: ledger.equity[t] * GROSS_PERCENT // (100 * count * closes[t][column])
                for column in best
            }
            left = [column for column in ledger.shares if column not in targets]
            changes = [
                (column, targets.get(column, 0) - ledger.shares.get(column, 0)) for column in best + left
            ]
    return ledger


def crossing(open_micros: Any, close_micros: Any, deposit_micros: int = DEPOSIT_MICROS) -> Ledger:
    """Replay W2 over whole micro-units by session and column."""
    opens, closes = open_micros.tolist(), close_micros.tolist()
    ledger, changes = Ledger(deposit_micros), []
    was_above = [False] * len(closes[0])
    for t in range(len(closes)):
        ledger.trade_all(t, changes, opens[t])
        ledger.mark(closes[t])
        changes = []
        if t < SLOW - 1 or t == len(closes) - 1:
            continue
        fast = close_micros[t - FAST + 1 : t + 1].sum(axis=0) * SLOW
        slow = close_micros[t - SLOW + 1 : t + 1].sum(axis=0) * FAST
        is_above = (fast > slow).tolist()
        for column, (before, now) in enumerate(zip(was_above, is_above, strict=True)):
            held = ledger.shares.get(column, 0)
            if t >= SLOW and now and not before and not held:
                changes.append((column, deposit_micros // (len(is_above) * closes[t][column])))
            elif t >= SLOW and before and not now and held:
                changes.append((column, -held))
        was_above = is_above
    return ledger
