"""All that an account at Alpaca tells of its orders, for the proof that the journal agrees with it.

It looks, and has nothing that could send or cancel. What has to agree is trading/invariants.py.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from resources.alpaca_markets.holdings import holdings_of
from resources.alpaca_markets.orders import NEW_YORK, AlpacaOrders, in_our_words
from resources.alpaca_markets.questions import Questions, record
from resources.alpaca_markets.wire import FillOnAlpaca, TermsOnAlpaca
from trading.brokers import BrokerDump, Holdings
from trading.sessions import Calendar
from trading.values import ClientOrderId


class AlpacaStatement(AlpacaOrders):
    """Tell the orders, executions and holdings of one account."""

    def __init__(self, questions: Questions, *, calendar: Calendar, is_live: bool) -> None:
        super().__init__(questions, calendar=calendar)
        self._is_live = is_live

    def dump(self, *, account: str, since: date, now: datetime) -> BrokerDump:
        """Return every order that is open or of a session from `since` on, its executions and its terms.

        `account` is what the account is called here. Raises `BrokerUnavailable`; half a list is none.
        """
        orders = self._listed(TermsOnAlpaca, since=since, now=now)
        known_as = {order.id: ClientOrderId(order.client_order_id) for order in orders}
        began = datetime.combine(since - timedelta(days=1), time.min, tzinfo=NEW_YORK)
        fills = [
            record(FillOnAlpaca, row) for row in self._questions.all_activities("FILL", after=began, now=now)
        ]
        return BrokerDump(
            account=account,
            is_live=self._is_live,
            orders=tuple(in_our_words(order) for order in orders),
            fills=tuple(
                fill.fill(known_as[fill.order_id])
                for fill in sorted(fills, key=lambda fill: fill.transaction_time)
                if fill.order_id in known_as
            ),
            terms=tuple(order.terms() for order in orders),
        )

    def holdings(self, *, now: datetime) -> Holdings:
        """Return the account's shares and cash; raises `BrokerUnavailable`."""
        return holdings_of(self._questions, now=now)
