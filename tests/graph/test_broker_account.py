"""The broker's own account beside the book that the graph settles: equal, whatever the session was."""

from __future__ import annotations

from tests.graph.desk import FIRST, SESSIONS, failure_of
from trading.clock import Phase
from trading_assets.stage import CARRIED_BY_TAG


def test_after_each_session_the_brokers_account_is_the_settled_book_also_when_it_was_carried(
    whole_session, desk_on
):
    first, ran = whole_session
    desk = desk_on(first.settings.state_dir)
    broker = desk.profiled.brokers[desk.book]
    carried, clock = SESSIONS[1], desk.profiled.clocks[desk.book]
    held = []
    for session in SESSIONS[:3]:
        if session == carried:
            desk.journal.record_refusal(
                **desk.where(session),
                stage="candidates",
                reason="unfit",
                now=clock.now(session, Phase.DECIDE),
            )
            ran = desk.run("carry", session, tags={CARRIED_BY_TAG: "anna: data came late"})
        elif session != FIRST:
            ran = desk.run("session", session)
        assert ran.success, failure_of(ran)
        account = broker.holdings(now=clock.now(session, Phase.SETTLE))
        closing = desk.journal.session_record(**desk.where(session)).closing
        held.append(dict(account.quantities))

        assert account.cash_micros == closing.cash_micros
        assert held[-1] == {position.symbol: position.quantity for position in closing.positions}

    assert held[-1]
    assert len(desk.sent()) == len(broker.dump().fills) > 0
