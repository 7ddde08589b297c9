"""Corporate actions: splits, cash dividends and delistings, each with the session in which it takes effect.

An action effective in session D is known before D's open. Applying one to a book is positions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Protocol

from trading.sessions import Calendar
from trading.values import Symbol, digest


class ActionKind(StrEnum):
    """Say what a corporate action does."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    DELISTING = "delisting"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CorporateAction:
    """Hold one action of one symbol.

    A split gives `numerator` new shares for `denominator` old ones (2:1 is 2/1); a dividend pays
    `dividend_micros` of the currency for each share held at the open of `effective_on` (the ex-date). A
    delisting takes every share held at that open for `dividend_micros` each, 0 where nothing is paid: what
    trades under the symbol afterwards is another instrument.
    """

    effective_on: date
    symbol: Symbol
    kind: ActionKind
    numerator: int = 1
    denominator: int = 1
    dividend_micros: int = 0

    def __post_init__(self) -> None:
        """Refuse an action that does nothing or takes away."""
        if self.numerator < 1 or self.denominator < 1:
            raise ValueError(
                f"{self.symbol} split {self.numerator}/{self.denominator}: both must be positive"
            )
        if self.kind is ActionKind.DIVIDEND and self.dividend_micros <= 0:
            raise ValueError(f"{self.symbol} dividend {self.dividend_micros}: must be positive")
        if self.kind is ActionKind.DELISTING and self.dividend_micros < 0:
            raise ValueError(f"{self.symbol} delisting {self.dividend_micros}: nothing is owed for a share")


class ActionHistory(Protocol):
    """Give the corporate actions of a book that were imported."""

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return all of them; raises `LakeError` where none were ever imported."""
        ...


def at_sessions(actions: Iterable[CorporateAction], calendar: Calendar) -> tuple[CorporateAction, ...]:
    """Return actions with each that is dated on a day without a session moved to the next one, ascending.

    It takes effect at that open. Raises `UnknownSession` past the calendar's last session.
    """
    moved = [
        action
        if action.effective_on in calendar
        else replace(action, effective_on=calendar.next(action.effective_on))
        for action in actions
    ]
    return tuple(sorted(moved))


def actions_sha(actions: Iterable[CorporateAction]) -> str:
    """Return the digest of actions, whatever their order."""
    return digest(
        [
            [
                action.effective_on.isoformat(),
                action.symbol,
                action.kind.value,
                action.numerator,
                action.denominator,
                action.dividend_micros,
            ]
            for action in sorted(actions)
        ]
    )


def effective_in(actions: Iterable[CorporateAction], session: date) -> tuple[CorporateAction, ...]:
    """Return what takes effect at a session's open, by symbol: dividends, then splits, then delistings."""
    chosen = [action for action in actions if action.effective_on == session]
    return tuple(sorted(chosen, key=lambda action: (action.symbol, ORDER_OF_KINDS[action.kind])))


ORDER_OF_KINDS = {ActionKind.DIVIDEND: 0, ActionKind.SPLIT: 1, ActionKind.DELISTING: 2}
"""What is paid on the old shares is paid before they become new ones, and both before they are gone."""
