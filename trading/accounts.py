"""What an account has at a broker: cash and shares, folded from a deposit, executions and corporate actions.

Shares may fall below 0 here, since a broker that filled too much must be able to say so. What we believe
that we have is the book (positions.py), whose rules for actions these are; the two are compared in
reconciliation.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from trading.actions import ActionKind, CorporateAction
from trading.brokers import Holdings
from trading.positions import Book, Position, book_at_open
from trading.sessions import Calendar
from trading.values import Side, Symbol, notional_micros

LastClose = Callable[[Symbol, date], int | None]
"""Gives a symbol's last close before a session, in micro-units and in that session's shares."""


class Execution(NamedTuple):
    """Hold what one execution does to an account; one that `is_bust` takes an earlier one back, in whole."""

    session: date
    symbol: Symbol
    side: Side
    quantity: int
    price_micros: int
    commission_micros: int
    is_bust: bool = False


def account_after(
    holdings: Holdings,
    executions: Iterable[Execution],
    actions: Mapping[date, tuple[CorporateAction, ...]],
    *,
    last_close: LastClose,
) -> Holdings:
    """Return an account after executions and actions, session by session, what is due at its open first.

    `actions` are by the session at whose open they take effect, each as `effective_in` orders them. Raises
    `ValueError` where a fraction of a share has no price.
    """
    by_session: dict[date, list[Execution]] = {}
    for execution in executions:
        by_session.setdefault(execution.session, []).append(execution)
    for session in sorted({*by_session, *actions}):
        if session in actions:
            holdings = _at_open(holdings, actions[session], session=session, last_close=last_close)
        if session in by_session:
            holdings = _with_executions(holdings, by_session[session])
    return holdings


class ActionEffect(NamedTuple):
    """Hold what one corporate action did to an account: shares and cash (micro-units) that it added."""

    session: date
    action: CorporateAction
    quantity: int
    cash_micros: int


def action_effects(
    opening: Holdings,
    executions: Iterable[Execution],
    actions: Mapping[date, tuple[CorporateAction, ...]],
    *,
    last_close: LastClose,
) -> tuple[ActionEffect, ...]:
    """Return what each action did to an account, ascending by session; those that did nothing are left out.

    The arguments are those of `account_after`, and so is what is raised.
    """
    holdings, effects, listed = opening, [], list(executions)
    passed = date.min
    for session in sorted(actions):
        earlier = [execution for execution in listed if passed <= execution.session < session]
        holdings, passed = account_after(holdings, earlier, {}, last_close=last_close), session
        for action in actions[session]:
            after = _at_open(holdings, (action,), session=session, last_close=last_close)
            shares = after.quantities.get(action.symbol, 0) - holdings.quantities.get(action.symbol, 0)
            cash = after.cash_micros - holdings.cash_micros
            if shares or cash:
                effects.append(ActionEffect(session, action, shares, cash))
            holdings = after
    return tuple(effects)


def costs_after(
    executions: Iterable[Execution], actions: Mapping[date, tuple[CorporateAction, ...]]
) -> dict[Symbol, int]:
    """Return what each position cost in micro-units, commissions left out: below 0 for one that is short.

    By average cost: what is sold takes its share of the cost with it (rounded to nearest, ties to even), and
    an execution that turns a position around begins a new one at its price.
    """
    held: dict[Symbol, tuple[int, int]] = {}
    by_session: dict[date, list[Execution]] = {}
    for execution in executions:
        by_session.setdefault(execution.session, []).append(execution)
    for session in sorted({*by_session, *actions}):
        for action in actions.get(session, ()):
            count, cost = held.get(action.symbol, (0, 0))
            if action.kind is ActionKind.DELISTING:
                held[action.symbol] = (0, 0)
                continue
            shares = abs(count) * action.numerator // action.denominator
            held[action.symbol] = (shares if count >= 0 else -shares, cost if shares else 0)
        for execution in by_session.get(session, ()):
            is_bought = (execution.side is Side.BUY) != execution.is_bust
            bought = execution.quantity if is_bought else -execution.quantity
            count, cost = held.get(execution.symbol, (0, 0))
            held[execution.symbol] = (
                count + bought,
                _cost_after(count, cost, bought, execution.price_micros),
            )
    return {symbol: cost for symbol, (count, cost) in held.items() if count}


def _cost_after(count: int, cost: int, bought: int, price_micros: int) -> int:
    if count * bought >= 0:
        return cost + price_micros * bought
    left = count + bought
    return price_micros * left if left * bought > 0 else round(Fraction(cost * left, count))


def last_opened(calendar: Calendar, now: datetime) -> date | None:
    """Return the last session that has opened at an instant, or `None` before the calendar's first."""
    # An exchange's date is at most one day ahead of the UTC one.
    index = bisect_right(calendar.sessions, now.date() + timedelta(days=1))
    while index > 0 and calendar.opens_at(calendar.sessions[index - 1]) > now:
        index -= 1
    return calendar.sessions[index - 1] if index else None


def _with_executions(holdings: Holdings, executions: Iterable[Execution]) -> Holdings:
    quantities, cash_micros = dict(holdings.quantities), holdings.cash_micros
    for execution in executions:
        signed = -execution.quantity if execution.is_bust else execution.quantity
        bought = signed if execution.side is Side.BUY else -signed
        commission = -execution.commission_micros if execution.is_bust else execution.commission_micros
        cash_micros -= notional_micros(price_micros=execution.price_micros, quantity=bought) + commission
        quantities[execution.symbol] = quantities.get(execution.symbol, 0) + bought
    return _holdings(quantities, cash_micros)


def _at_open(
    holdings: Holdings, actions: Iterable[CorporateAction], *, session: date, last_close: LastClose
) -> Holdings:
    """Return an account after a session's actions, by the book's rule; what is short owes what it pays."""
    held = [action for action in actions if action.symbol in holdings.quantities]
    if not held:
        return holdings
    prices = {action.symbol: last_close(action.symbol, session) for action in held if action.denominator > 1}
    closes = {symbol: price for symbol, price in prices.items() if price is not None}
    longs = _book({symbol: count for symbol, count in holdings.quantities.items() if count > 0})
    shorts = _book({symbol: -count for symbol, count in holdings.quantities.items() if count < 0})
    longs = book_at_open(longs, held, last_close_micros=closes)
    shorts = book_at_open(shorts, held, last_close_micros=closes)
    return _holdings(
        {position.symbol: position.quantity for position in longs.positions}
        | {position.symbol: -position.quantity for position in shorts.positions},
        holdings.cash_micros + longs.cash_micros - shorts.cash_micros,
    )


def _book(quantities: Mapping[Symbol, int]) -> Book:
    positions = tuple(Position(symbol, count, 0) for symbol, count in sorted(quantities.items()))
    return Book(currency="", cash_micros=0, deposits_micros=0, positions=positions)


def _holdings(quantities: Mapping[Symbol, int], cash_micros: int) -> Holdings:
    return Holdings(
        quantities={symbol: count for symbol, count in sorted(quantities.items()) if count},
        cash_micros=cash_micros,
    )
