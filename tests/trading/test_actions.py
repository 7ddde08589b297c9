"""Corporate actions: in which session each takes effect."""

from datetime import date

import pytest

from trading.actions import ActionKind, CorporateAction, at_sessions, effective_in
from trading.errors import UnknownSession
from trading.values import Symbol


def dividend(on: date, symbol: str = "IBM") -> CorporateAction:
    return CorporateAction(
        effective_on=on, symbol=Symbol(symbol), kind=ActionKind.DIVIDEND, dividend_micros=500_000
    )


def test_an_action_dated_on_a_closed_day_takes_effect_at_the_next_open(xnys):
    saturday, holiday, session = date(2013, 1, 19), date(2013, 1, 21), date(2013, 1, 22)
    moved = at_sessions([dividend(holiday), dividend(saturday, "AAPL"), dividend(session, "MSFT")], xnys)

    assert [action.symbol for action in effective_in(moved, session)] == ["AAPL", "IBM", "MSFT"]
    assert {action.effective_on for action in moved} == {session}


def test_an_action_past_the_calendar_is_refused(xnys):
    with pytest.raises(UnknownSession, match="no session after"):
        at_sessions([dividend(date(2031, 1, 4))], xnys)
