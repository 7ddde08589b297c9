"""Replay W1 and W2 in one bare compiled loop each: no guards, no intents, no checks; the lower bound.

Whole micro-units, the same roundings as the simulated market's, a record per fill. What an engine takes
beyond this is the price of what it does beyond this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BPS = 10_000
SLIPPAGE_BPS, COMMISSION_BPS = 5, 1
LOOKBACK, SKIPPED, EVERY = 126, 5, 5
GROSS_PERCENT = 95
FAST, SLOW = 10, 30

SESSION, SYMBOL, QUANTITY, PRICE, COMMISSION, CASH = range(6)
"""The columns of a record: shares are signed, cash is what is left."""


@njit(cache=True)
def fill(  # noqa: PLR0917 - compiled: no keywords, and no object to hand them in
    records: Any, made: int, session: int, symbol: int, wanted: int, opened: int, cash: int, shares: Any
) -> tuple[int, int]:
    """Return how many fills there are and the cash after signed shares are filled at an open."""
    if wanted > 0:
        price = (opened * (BPS + SLIPPAGE_BPS) + BPS - 1) // BPS
        # What pays for shares once their commission is kept: cash × BPS ∕ (BPS + commission), no overflow.
        unit = BPS + COMMISSION_BPS
        spendable = cash - (cash * COMMISSION_BPS + unit - 1) // unit
        if price * wanted > spendable:
            wanted = spendable // price
    else:
        price = opened * (BPS - SLIPPAGE_BPS) // BPS
    if wanted == 0:
        return made, cash
    notional = price * wanted
    commission = (abs(notional) * COMMISSION_BPS + BPS - 1) // BPS
    cash -= notional + commission
    shares[symbol] += wanted
    record = records[made]
    record[SESSION] = session
    record[SYMBOL] = symbol
    record[QUANTITY] = wanted
    record[PRICE] = price
    record[COMMISSION] = commission
    record[CASH] = cash
    return made + 1, cash


@njit(cache=True)
def momentum(opens: Any, closes: Any, deposit: int) -> tuple[Any, Any]:
    """Return the equity at every close and the records of the fills of W1."""
    sessions, symbols = closes.shape
    count = max(1, symbols // 10)
    first = LOOKBACK + SKIPPED
    rounds = max(0, (sessions - 2 - first) // EVERY + 1)
    # A round sells at most what the last one left, which is at most `count`, and buys as many.
    records = np.empty((rounds * 2 * count, 6), np.int64)
    equity = np.empty(sessions, np.int64)
    shares, targets = np.zeros(symbols, np.int64), np.zeros(symbols, np.int64)
    held, best = np.empty(count, np.int64), np.empty(count, np.int64)
    falls = np.empty(symbols)
    cash, made, holding, deciding = deposit, 0, 0, False
    for t in range(sessions):
        if deciding:
            deciding = False
            for place in range(holding):
                i = held[place]
                if targets[i] < shares[i]:
                    made, cash = fill(records, made, t, i, targets[i] - shares[i], opens[t, i], cash, shares)
            for i in best:
                if targets[i] > shares[i]:
                    made, cash = fill(records, made, t, i, targets[i] - shares[i], opens[t, i], cash, shares)
            # What is held is among the best now: in the order of columns, as it is sold.
            for i in best:
                targets[i] = 0
            holding = 0
            for i in np.sort(best):
                if shares[i] > 0:
                    held[holding] = i
                    holding += 1
        worth = cash
        for place in range(holding):
            worth += shares[held[place]] * closes[t, held[place]]
        equity[t] = worth
        if t >= first and (t - first) % EVERY == 0 and t < sessions - 1:
            # Quotients of whole cents below 100,000 a share differ by far more than a float's rounding.
            for i in range(symbols):
                falls[i] = -closes[t - SKIPPED, i] / closes[t - first, i]
            last = np.partition(falls, count - 1)[count - 1]
            place = 0
            for i in range(symbols):
                if falls[i] < last:
                    best[place] = i
                    place += 1
            for i in range(symbols):
                if place == count:
                    break
                if falls[i] == last:
                    best[place] = i
                    place += 1
            best = best[np.argsort(falls[best], kind="mergesort")]
            for i in best:
                targets[i] = worth * GROSS_PERCENT // (100 * count * closes[t, i])
            deciding = True
    return equity, records[:made]


@njit(cache=True)
def crossing(opens: Any, closes: Any, deposit: int) -> tuple[Any, Any]:
    """Return the equity at every close and the records of the fills of W2."""
    sessions, symbols = closes.shape
    records = np.empty((max(4 * symbols, 1 << 14), 6), np.int64)
    equity = np.empty(sessions, np.int64)
    shares, fast, slow = np.zeros(symbols, np.int64), np.zeros(symbols, np.int64), np.zeros(symbols, np.int64)
    above = np.zeros(symbols, np.bool_)
    changed, wanted = np.empty(symbols, np.int64), np.zeros(symbols, np.int64)
    cash, made, changes = deposit, 0, 0
    for t in range(sessions):
        if made + changes > len(records):
            more = np.empty((2 * len(records), 6), np.int64)
            more[:made] = records[:made]
            records = more
        for place in range(changes):
            i = changed[place]
            if wanted[i] < 0:
                made, cash = fill(records, made, t, i, wanted[i], opens[t, i], cash, shares)
        for place in range(changes):
            i = changed[place]
            if wanted[i] > 0:
                made, cash = fill(records, made, t, i, wanted[i], opens[t, i], cash, shares)
        changes = 0
        worth = cash
        for i in range(symbols):
            close = closes[t, i]
            worth += shares[i] * close
            fast[i] += close
            slow[i] += close
        equity[t] = worth
        if t >= FAST:
            for i in range(symbols):
                fast[i] -= closes[t - FAST, i]
        if t < SLOW - 1:
            continue
        if t >= SLOW:
            for i in range(symbols):
                slow[i] -= closes[t - SLOW, i]
        for i in range(symbols):
            now = fast[i] * SLOW > slow[i] * FAST
            if now == above[i]:
                continue
            above[i] = now
            if t < SLOW or t == sessions - 1 or now == (shares[i] > 0):
                continue
            wanted[i] = deposit // (symbols * closes[t, i]) if now else -shares[i]
            changed[changes] = i
            changes += 1
    return equity, records[:made]
