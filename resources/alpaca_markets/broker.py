"""An account at Alpaca as a broker: Trading API v2 through the one HTTP client.

It implements `trading.brokers.Broker`. A send is one attempt, and whatever does not prove its outcome is
unknown. What their refusals mean is refusals.py; looking and cancelling, as a halt does, is canceller.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from http import HTTPStatus

from pydantic import ValidationError

from resources.alpaca_markets.canceller import AlpacaCanceller, cancelling
from resources.alpaca_markets.holdings import account_of, holdings_of, positions_of
from resources.alpaca_markets.market_data import latest_quote
from resources.alpaca_markets.orders import NEW_YORK, in_our_words
from resources.alpaca_markets.questions import Questions, fault_of, record
from resources.alpaca_markets.refusals import (
    AMBIGUOUS_ERRORS,
    AUCTION_CLOSED,
    DEFINITIVE_ERRORS,
    DUPLICATE,
    MALFORMED_REQUEST,
    NOT_REPLACEABLE,
    OTHER_SESSION,
    refusal_of,
)
from resources.alpaca_markets.wire import (
    CashActivityOnAlpaca,
    ClockOnAlpaca,
    FillOnAlpaca,
    WholeOrderOnAlpaca,
    loaded,
    order_body,
    replacement_body,
)
from resources.market_data.alpaca_bars import Feed
from resources.outbound.client import ExchangeFailed, OutboundClient, Reply
from trading.brokers import (
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DedupScope,
    DuplicateClientOrderId,
    Holdings,
    replacement_fault,
)
from trading.errors import BadInput, BrokerRejected, BrokerUnavailable, OutcomeUnknown, UnknownSession
from trading.order_windows import session_for
from trading.orders import BrokerOrder, OrderRequest
from trading.sessions import Calendar
from trading.values import ClientOrderId, OrderType, Symbol, TimeInForce

SETTLE_TIME_S = 10
"""How long after a send a question may not find its order yet. Alpaca states no time: its orders are written
before the answer, and the executor asks thrice over this one before it believes that nothing is there."""

SUBMIT, REPLACE = "orders.submit", "orders.replace"


class AlpacaBroker(AlpacaCanceller):
    """Send to and ask one account.

    `trading` and `data` are clients of the two hosts; they hold the keys, and nobody here shows them.
    `calendar` is the market's: an order that Alpaca would take for another session than ours is not sent.
    """

    def __init__(
        self,
        trading: OutboundClient,
        *,
        data: OutboundClient,
        calendar: Calendar,
        is_live: bool,
        feed: Feed = Feed.IEX,
        settle_time_s: int = SETTLE_TIME_S,
        is_clock_simulated: bool = False,
    ) -> None:
        questions = Questions(trading, is_clock_simulated=is_clock_simulated)
        super().__init__(questions, cancel=cancelling(questions, trading), calendar=calendar)
        self.capabilities = Capabilities(
            is_live=is_live,
            # It answers 422 to an id that it ever had, also after a cancel.
            dedup_scope=DedupScope.ALL_TIME,
            is_query_authoritative=True,
            settle_time_s=settle_time_s,
            definitive_errors=DEFINITIVE_ERRORS,
            ambiguous_errors=AMBIGUOUS_ERRORS,
            order_types=frozenset(OrderType),
            times_in_force=frozenset(TimeInForce),
        )
        self._client = trading
        self._market = Questions(data, is_clock_simulated=is_clock_simulated)
        self._feed = feed

    def __repr__(self) -> str:
        """Say what it is, and nothing that it holds."""
        return f"AlpacaBroker(is_live={self.capabilities.is_live})"

    # ------------------------------------------------------------------------ what is sent

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, in exactly one attempt; see `trading.brokers.Broker` for what it raises."""
        self._require_session(request, sent_at=now)
        content = _content(order_body, request)
        reply = self._exchanged(SUBMIT, "POST", "/v2/orders", content=content, now=now)
        return _outcome(reply, request)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Put an order in an open one's place, in exactly one attempt; raises what `submit` does."""
        try:
            old = self._found(client_order_id, now)
        except BrokerUnavailable as error:
            # Nothing was sent, yet it is not known that it could not be: as after any send, look again.
            raise OutcomeUnknown(str(error)) from error
        if old is None:
            raise BrokerRejected(f"{NOT_REPLACEABLE}: no order under {client_order_id}")
        if why := replacement_fault(request, in_our_words(old, OutcomeUnknown)):
            raise BrokerRejected(f"{NOT_REPLACEABLE}: {why}")
        if old.type != request.order_type.value:
            raise BrokerRejected(f"{NOT_REPLACEABLE}: a {old.type} order stays one")
        if self.session_of(old) != request.session:
            raise BrokerRejected(f"{NOT_REPLACEABLE}: it is of another session than {request.session}")
        content = _content(replacement_body, request)
        reply = self._exchanged(REPLACE, "PATCH", f"/v2/orders/{old.id}", content=content, now=now)
        order = _outcome(reply, request)
        if order.broker_order_id == old.id:
            raise OutcomeUnknown("other_order: a replacement has an id of its own, and this is the old one's")
        return order

    def _require_session(self, request: OrderRequest, *, sent_at: datetime) -> None:
        """Refuse here what Alpaca would refuse or take for another session: nothing is sent then."""
        try:
            session, why = session_for(request.time_in_force, now=sent_at, calendar=self._calendar)
        except UnknownSession as error:
            raise BrokerRejected(f"{OTHER_SESSION}: {error}") from error
        if session is None:
            raise BrokerRejected(f"{AUCTION_CLOSED}: {why}")
        if session != request.session:
            raise BrokerRejected(
                f"{OTHER_SESSION}: sent now it would be of {session}, and it is meant for {request.session}"
            )

    def _exchanged(self, endpoint: str, method: str, path: str, *, content: bytes, now: datetime) -> Reply:
        try:
            return self._client.send(
                endpoint, method, path, content=content, headers=self._questions.headers(now), now=now
            )
        except BadInput as error:
            raise BrokerRejected(f"{MALFORMED_REQUEST}: {error}") from error
        except ExchangeFailed as failed:
            raise OutcomeUnknown(str(failed)) from failed

    # ------------------------------------------------------------------------ what is asked

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions, ascending in time; raises `BrokerUnavailable`."""
        order = self._found(client_order_id, now)
        if order is None:
            return []
        began = order.submitted_at.astimezone(NEW_YORK).date()
        listed = self._questions.all_activities("FILL", after=_midnight(began), now=now)
        fills = [record(FillOnAlpaca, row) for row in listed]
        own = [one.fill(client_order_id) for one in fills if one.order_id == order.id]
        return sorted(own, key=lambda fill: fill.filled_at)

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares by symbol, owed ones below 0; raises `BrokerUnavailable`."""
        return positions_of(self._questions, now=now)

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account's money; raises `BrokerUnavailable`."""
        return account_of(self._questions, now=now)

    def holdings(self, *, now: datetime) -> Holdings:
        """Return shares and cash of one look; raises `BrokerUnavailable`, also where each look saw a fill."""
        return holdings_of(self._questions, now=now)

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return what changed the account from an exchange's date on; raises `BrokerUnavailable`.

        What has a day and no instant stands at that day's midnight in New York.
        """
        begins_at = _midnight(since)
        listed = []
        # From a day before: what has a day and no instant is told from which hour of it nobody states.
        for row in self._questions.all_activities("", after=begins_at - timedelta(days=1), now=now):
            is_fill = isinstance(row, dict) and row.get("activity_type") == "FILL"
            if is_fill:
                listed.append(record(FillOnAlpaca, row).activity())
            else:
                told = record(CashActivityOnAlpaca, row)
                listed.append(told.activity(_midnight(told.date)))
        return sorted(
            (one for one in listed if one.happened_at >= begins_at),
            key=lambda one: (one.happened_at, one.activity_id),
        )

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return bid, ask and last trade of the feed, or `None`; raises `BrokerUnavailable`."""
        return latest_quote(self._market, symbol, feed=self._feed, now=now)

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the exchange's own time and hours; raises `BrokerUnavailable`."""
        told = self._questions.one(ClockOnAlpaca, "clock", "/v2/clock", now=now)
        if told is None:
            raise BrokerUnavailable("not_found: the clock")
        return told.clock()


def _content(written: Callable[[OrderRequest], bytes], request: OrderRequest) -> bytes:
    if request.quantity <= 0:
        raise BrokerRejected(f"{MALFORMED_REQUEST}: quantity {request.quantity}: must be over 0")
    try:
        return written(request)
    except ValueError as error:
        raise BrokerRejected(f"{MALFORMED_REQUEST}: {error}") from error


def _outcome(reply: Reply, request: OrderRequest) -> BrokerOrder:
    """Return the order that a send made, or raise what its answer proves."""
    if reply.status == HTTPStatus.OK:
        return _acknowledged(reply, request)
    refusal = refusal_of(reply.status, reply.content)
    if refusal.word == DUPLICATE:
        raise DuplicateClientOrderId(request.client_order_id)
    told = f"{refusal.word}: {refusal.detail[:300]}"
    raise BrokerRejected(told) if refusal.is_definitive else OutcomeUnknown(told)


def _acknowledged(reply: Reply, request: OrderRequest) -> BrokerOrder:
    """Return the order that a send was answered with; an answer about another id proves nothing of ours."""
    try:
        told = WholeOrderOnAlpaca.model_validate(loaded(reply.content))
    except ValidationError as error:
        raise OutcomeUnknown(f"unreadable_reply: {fault_of(error)}") from error
    except ValueError as error:
        raise OutcomeUnknown(f"unreadable_reply: {str(error)[:200]}") from error
    order = in_our_words(told, OutcomeUnknown)
    if order.client_order_id != request.client_order_id:
        raise OutcomeUnknown(f"other_order: sent {request.client_order_id}, answered with another")
    return order


def _midnight(on: date) -> datetime:
    return datetime.combine(on, time.min, tzinfo=NEW_YORK)
