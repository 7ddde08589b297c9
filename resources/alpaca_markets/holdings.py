"""What an account at Alpaca holds: its shares, its money, and both of one look. Nothing here can send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from resources.alpaca_markets.questions import Questions, record
from resources.alpaca_markets.wire import AccountOnAlpaca, PositionOnAlpaca
from trading.brokers import BrokerAccount, Holdings
from trading.errors import BrokerUnavailable
from trading.values import Symbol

LOOKS_MAX = 3
"""How often holdings are looked at until no execution falls between cash and shares."""


def positions_of(questions: Questions, *, now: datetime) -> Mapping[Symbol, int]:
    """Return the shares by symbol, owed ones below 0; raises `BrokerUnavailable`."""
    told = questions.asked("positions", "/v2/positions", now=now)
    if not isinstance(told, list):
        raise BrokerUnavailable("unreadable_reply: no list of positions")
    held: dict[Symbol, int] = {}
    for row in told:
        position = record(PositionOnAlpaca, row)
        if position.symbol in held:
            raise BrokerUnavailable(f"unreadable_reply: {position.symbol} is listed twice")
        held[Symbol(position.symbol)] = position.shares()
    return {symbol: shares for symbol, shares in sorted(held.items()) if shares}


def account_of(questions: Questions, *, now: datetime) -> BrokerAccount:
    """Return the account's money; raises `BrokerUnavailable`."""
    told = questions.one(AccountOnAlpaca, "account", "/v2/account", now=now)
    if told is None:
        raise BrokerUnavailable("not_found: the account")
    return told.account()


def holdings_of(questions: Questions, *, now: datetime) -> Holdings:
    """Return shares and cash of one look: cash is the same before and after the shares were told.

    Every execution changes the cash. Raises `BrokerUnavailable`, also where each look saw one.
    """
    cash = account_of(questions, now=now).cash_micros
    for _ in range(LOOKS_MAX):
        held = positions_of(questions, now=now)
        before, cash = cash, account_of(questions, now=now).cash_micros
        if before == cash:
            return Holdings(quantities=held, cash_micros=cash)
    raise BrokerUnavailable(f"half_reply: the account moved during each of {LOOKS_MAX} looks")
