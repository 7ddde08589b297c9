"""The numbered cases that every adapter of a broker passes: one statement each, under an id that stays.

A case takes a `Connected` and asserts. Rules that hold for fakes too are broker_rules.py; which adapters are
held to the cases is adapters.py, and docs/reference/broker_conformance.md is their table.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from resources.paper_broker.broker import KIND
from tests.adapters import broker_rules as rules
from tests.adapters.broker_rules import (
    ACCOUNT,
    CLOSE,
    DEPOSIT,
    EARLY,
    EVENING,
    LATER,
    NEXT,
    NEXT_LATER,
    NOTHING,
    OPEN,
    SESSION,
    request,
)
from tests.adapters.conformance.adapters import Connected, Kind
from tests.adapters.conformance.line import Fault
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import ActivityKind, DuplicateClientOrderId, differences
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.orders import OrderStatus
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce

AAPL, IBM = ClientOrderId("ta-AAPL"), ClientOrderId("ta-IBM")
THIN_SHARES = 50

ALL = frozenset(Kind)
WIRED = frozenset(kind for kind in Kind if kind.has_line)
ALPACA = frozenset({Kind.ALPACA})


@dataclass(frozen=True, kw_only=True)
class NumberedCase:
    """Hold one case: what it states, what it does, and the adapters that it can be put to."""

    number: str
    statement: str
    run: Callable[[Connected], None]
    kinds: frozenset[Kind] = ALL
    behaviour: Behaviour = KIND


CASES: list[NumberedCase] = []

FAMILIES = {
    "P": "The port itself",
    "O": "The life of an order, the account and the market",
    "S": "A send that goes wrong",
    "Q": "A question that goes wrong",
    "X": "A cancel that goes wrong",
    "A": "What only Alpaca's protocol says",
}
"""What the letter of a case's id stands for."""


def case(
    number: str,
    statement: str,
    *,
    kinds: frozenset[Kind] = ALL,
    behaviour: Behaviour = KIND,
) -> Callable[[Callable[[Connected], None]], Callable[[Connected], None]]:
    """Enter a function as a case."""

    def entered(run: Callable[[Connected], None]) -> Callable[[Connected], None]:
        CASES.append(
            NumberedCase(number=number, statement=statement, run=run, kinds=kinds, behaviour=behaviour)
        )
        return run

    return entered


def _rule(number: str, rule: Callable[[Any], None]) -> None:
    statement = rule.__name__.replace("_", " ").capitalize()
    CASES.append(NumberedCase(number=number, statement=statement, run=partial(_kept, rule)))


def _kept(rule: Callable[[Any], None], connected: Connected) -> None:
    rule(connected.setting())


# -------------------------------------------------------------------------------- the port itself

_rule("P01", rules.it_declares_what_it_can)
_rule("P02", rules.an_order_is_what_was_sent_and_is_found_under_its_id)
_rule("P03", rules.nothing_is_under_an_id_that_was_never_sent)
_rule("P04", rules.an_id_sent_again_is_a_duplicate_and_no_second_order)
_rule("P05", rules.an_id_is_refused_for_as_long_as_is_declared)
_rule("P06", rules.a_refusal_is_definitive_and_leaves_no_order)
_rule("P07", rules.what_filled_is_the_sum_of_its_executions_and_is_told_the_same_again)
_rule("P08", rules.a_cancel_asked_twice_changes_no_more_and_leaves_an_ended_order_alone)
_rule("P09", rules.a_replacement_takes_the_place_of_an_open_order)
_rule("P10", rules.what_has_ended_or_is_another_thing_is_not_replaced)
_rule("P11", rules.the_list_has_what_is_open_and_what_is_of_a_session_since)
_rule("P12", rules.holdings_are_the_deposit_after_all_that_filled)
_rule("P13", rules.positions_and_account_say_what_holdings_do)
_rule("P14", rules.activities_add_up_to_the_account)
_rule("P15", rules.a_quote_is_of_the_symbol_and_never_from_later)
_rule("P16", rules.its_clock_tells_a_time_with_a_zone_and_what_comes_next)
_rule("P17", rules.what_is_sold_to_the_last_share_is_not_held)
_rule("P18", rules.a_broker_that_cannot_be_reached_proves_nothing)


# -------------------------------------------------------------------------------- the life of an order


@case("O01", "An order larger than its share of the volume fills in part while the session is open")
def _(connected):
    connected.broker.submit(request("IBM"), now=EARLY)
    found = connected.broker.order_by_client_order_id(IBM, now=OPEN)

    assert (found.status, found.filled_quantity) == (OrderStatus.PARTIAL_FILL, THIN_SHARES)


@case("O02", "What is left of an order at the close is cancelled, says why, and keeps what filled")
def _(connected):
    connected.broker.submit(request("IBM"), now=EARLY)
    found = connected.broker.order_by_client_order_id(IBM, now=LATER)

    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELLED, THIN_SHARES)
    assert found.reason


@case("O03", "An order that is cancelled after a part of it filled keeps that part")
def _(connected):
    connected.broker.submit(request("IBM", time_in_force=TimeInForce.DAY), now=EARLY)
    connected.broker.order_by_client_order_id(IBM, now=OPEN)
    connected.broker.cancel(IBM, now=OPEN)
    found = connected.broker.order_by_client_order_id(IBM, now=LATER)
    fills = connected.broker.fills(IBM, now=LATER)

    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELLED, THIN_SHARES)
    assert sum(fill.quantity for fill in fills) == THIN_SHARES


@case("O04", "An order that is cancelled before the open never fills")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.broker.cancel(AAPL, now=EARLY)
    found = connected.broker.order_by_client_order_id(AAPL, now=LATER)

    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELLED, 0)
    assert connected.broker.fills(AAPL, now=LATER) == []


@case("O05", "The id of a cancelled order stays refused, and the order is found under it")
def _(connected):
    first = connected.broker.submit(request(), now=EARLY)
    connected.broker.cancel(AAPL, now=EARLY)
    with pytest.raises(DuplicateClientOrderId):
        connected.broker.submit(request(), now=EARLY)
    found = connected.broker.order_by_client_order_id(AAPL, now=EARLY)

    assert found.broker_order_id == first.broker_order_id
    assert found.status is OrderStatus.CANCELLED


@case("O06", "A day order that was sent before the open fills as one for the open does")
def _(connected):
    for tif in TimeInForce:
        connected.broker.submit(request(client_order_id=ClientOrderId(tif), time_in_force=tif), now=EARLY)
    terms = [
        [(fill.quantity, fill.price_micros, fill.commission_micros) for fill in fills]
        for fills in (connected.broker.fills(ClientOrderId(tif), now=LATER) for tif in TimeInForce)
    ]

    assert terms[0] == terms[1] != []


@case("O07", "A sale takes shares and brings cash")
def _(connected):
    _bought(connected, 100)
    before = connected.broker.holdings(now=LATER)
    sale = request(client_order_id=ClientOrderId("sale"), side=Side.SELL, quantity=40, session=NEXT)
    connected.broker.submit(sale, now=EVENING)
    after = connected.broker.holdings(now=NEXT_LATER)
    (fill,) = connected.broker.fills(ClientOrderId("sale"), now=NEXT_LATER)

    assert after.quantities == {"AAPL": 60}
    assert after.cash_micros - before.cash_micros == 40 * fill.price_micros - fill.commission_micros


@case(
    "O08",
    "An order that fills in two executions tells two, each with an id of its own",
    behaviour=Behaviour(executions=2),
)
def _(connected):
    _bought(connected, 100)
    fills = connected.broker.fills(AAPL, now=LATER)

    assert [fill.quantity for fill in fills] == [50, 50]
    assert len({fill.execution_id for fill in fills} - {""}) == 2


@case("O09", "Of two replacements in a row the last stands, and the others are cancelled")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    second, third = ClientOrderId("second"), ClientOrderId("third")
    connected.broker.replace(AAPL, request(client_order_id=second, quantity=20), now=EARLY)
    connected.broker.replace(second, request(client_order_id=third, quantity=30), now=EARLY)
    statuses = [
        (found.status, found.filled_quantity)
        for found in (
            connected.broker.order_by_client_order_id(one, now=LATER) for one in (AAPL, second, third)
        )
    ]

    assert statuses == [(OrderStatus.CANCELLED, 0), (OrderStatus.CANCELLED, 0), (OrderStatus.FILLED, 30)]


@case("O10", "The id of a replaced order stays refused")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.broker.replace(AAPL, request(client_order_id=ClientOrderId("second")), now=EARLY)

    with pytest.raises(DuplicateClientOrderId):
        connected.broker.submit(request(), now=EARLY)


@case("O11", "A cancel of a replaced order leaves its replacement open")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    second = ClientOrderId("second")
    connected.broker.replace(AAPL, request(client_order_id=second), now=EARLY)
    connected.broker.cancel(AAPL, now=EARLY)

    assert not connected.broker.order_by_client_order_id(second, now=EARLY).status.is_terminal


@case("O12", "An id of 48 letters, digits, points, dashes and underscores is kept as it is")
def _(connected):
    known_as = ClientOrderId(("ta-x_1.Z" * 6)[:48])
    sent = connected.broker.submit(request(client_order_id=known_as), now=EARLY)

    assert sent.client_order_id == known_as
    assert connected.broker.order_by_client_order_id(known_as, now=EARLY) == sent


@case("O13", "A question for an id of any characters is answered: nothing is there")
def _(connected):
    for strange in ("a b", "../orders", "%2e%2e", "a?b&c=d#e", "Ω", "'; drop table orders"):
        assert connected.broker.order_by_client_order_id(ClientOrderId(strange), now=EARLY) is None


@case("O14", "An order of no shares, or of fewer, is refused and leaves nothing")
def _(connected):
    for quantity in (0, -1):
        _refused(connected, request(quantity=quantity), now=EARLY)


@case("O15", "An order for a session that is over is refused and leaves nothing")
def _(connected):
    _refused(connected, request(time_in_force=TimeInForce.DAY), now=LATER)


@case("O16", "A symbol that is not listed is refused and leaves nothing")
def _(connected):
    _refused(connected, request("NOSUCH"), now=EARLY)


@case("O17", "What is open takes neither cash nor shares")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    held = connected.broker.holdings(now=EARLY)

    assert (held.quantities, held.cash_micros) == ({}, DEPOSIT)
    assert connected.broker.fills(AAPL, now=EARLY) == []
    assert connected.broker.activities(since=SESSION, now=EARLY) == []


@case("O18", "Commissions told with the executions are the fees among the activities")
def _(connected):
    _bought(connected, 100)
    fills = connected.broker.fills(AAPL, now=LATER)
    told = connected.broker.activities(since=SESSION, now=LATER)
    fees = [-one.cash_micros for one in told if one.kind is ActivityKind.FEE]

    assert sum(fees) == sum(fill.commission_micros for fill in fills) > 0


@case("O19", "A fill's cash is its price times its shares, to the micro-unit")
def _(connected):
    _bought(connected, 37)
    (fill,) = [
        one for one in connected.broker.activities(since=SESSION, now=LATER) if one.kind is ActivityKind.FILL
    ]

    assert (fill.quantity, fill.symbol) == (37, "AAPL")
    assert fill.cash_micros == -37 * fill.price_micros


@case("O20", "The list is ascending by the time of sending, each order once")
def _(connected):
    ids = [ClientOrderId(f"ta-{number}") for number in (3, 1, 2)]
    for minutes, known_as in enumerate(ids):
        connected.broker.submit(request(client_order_id=known_as), now=EARLY + timedelta(minutes=minutes))
    listed = connected.broker.orders(since=SESSION, now=EARLY + timedelta(minutes=9))

    assert [order.client_order_id for order in listed] == ids


@case("O21", "A list of more orders than a page has is told whole, also where many have one instant")
def _(connected):
    ids = {ClientOrderId(f"ta-{number}") for number in range(7)}
    for number, known_as in enumerate(sorted(ids)):
        at = EARLY + timedelta(minutes=number // 2)
        connected.broker.submit(request(client_order_id=known_as, quantity=1), now=at)
    connected.small_pages()
    listed = connected.broker.orders(since=SESSION, now=EARLY + timedelta(minutes=9))

    assert len(listed) == len(ids)
    assert {order.client_order_id for order in listed} == ids


@case("O22", "A list of more executions than a page has is told whole", behaviour=Behaviour(executions=7))
def _(connected):
    _bought(connected, 70)
    connected.small_pages()

    assert [fill.quantity for fill in connected.broker.fills(AAPL, now=LATER)] == [10] * 7
    assert len(connected.broker.activities(since=SESSION, now=LATER)) == 14


@case("O23", "Its clock says when the market is open, and when it opens and closes next")
def _(connected):
    assert not connected.broker.clock(now=EARLY).is_open
    assert connected.broker.clock(now=EARLY).next_open == OPEN
    assert connected.broker.clock(now=OPEN).is_open
    assert connected.broker.clock(now=OPEN).next_close == CLOSE
    assert not connected.broker.clock(now=CLOSE).is_open


@case("O24", "A quote is of the open while the session is open, and of the close after it")
def _(connected):
    while_open = connected.broker.quote(Symbol("AAPL"), now=OPEN)
    after = connected.broker.quote(Symbol("AAPL"), now=LATER)

    assert while_open.bid_micros <= 100_000_000 <= while_open.ask_micros
    assert after.bid_micros <= 100_500_000 <= after.ask_micros
    assert OPEN <= while_open.quoted_at < after.quoted_at <= LATER


@case("O25", "What was bought is no more among what can be bought with")
def _(connected):
    before = connected.broker.account(now=EARLY)
    _bought(connected, 100)
    after = connected.broker.account(now=LATER)

    assert after.account == ACCOUNT
    # What a share that is held can be borrowed on is the broker's affair; all of its price it never is.
    assert after.cash_micros < DEPOSIT
    assert after.buying_power_micros < before.buying_power_micros


@case("O26", "Activities of an earlier day are not told where a later one is asked for")
def _(connected):
    _bought(connected, 100)

    assert connected.broker.activities(since=NEXT, now=NEXT_LATER) == []


@case(
    "O27",
    "An order that is accepted with another quantity is told with that one",
    behaviour=Behaviour(script=(SendFault.OTHER_QUANTITY,)),
)
def _(connected):
    order = connected.broker.submit(request(), now=EARLY)

    assert order.quantity == 101
    assert differences(request(), order)


@case(
    "O28",
    "An execution that is taken back is told with what it takes back",
    behaviour=Behaviour(reports={ReportFault.BUST: 10_000}, late_s=60),
)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.broker.order_by_client_order_id(AAPL, now=OPEN)
    first, bust = connected.broker.fills(AAPL, now=LATER)
    held = connected.broker.holdings(now=LATER)

    assert bust.takes_back == first.execution_id
    assert (bust.quantity, bust.price_micros) == (first.quantity, first.price_micros)
    assert (held.quantities, held.cash_micros) == ({}, DEPOSIT)


# -------------------------------------------------------------------------------- a send that goes wrong


@dataclass(frozen=True, kw_only=True)
class _Send:
    """Hold what happens to a send, and what is known of it then."""

    number: str
    statement: str
    fault: Callable[[Connected], Fault]
    word: str
    is_taken: bool
    is_hasty: bool = False
    embedded: SendFault | None = None


def _html(status: int, *, reaches: bool) -> Callable[[Connected], Fault]:
    page = b"<html><body><h1>not now</h1></body></html>"
    return lambda _: Fault(reaches=reaches, status=status, body=page, kind="text/html")


def _edit(**changes: Any) -> Callable[[Connected], Fault]:
    """Return what changes fields of the order in an answer; `quantity` and `filled` as the protocol says."""

    def fault(connected: Connected) -> Fault:
        names = {"quantity": connected.words.quantity, "filled": connected.words.filled}

        def written(value: Any) -> Any:
            return str(value) if connected.words.is_text and not isinstance(value, str) else value

        def rewrite(content: bytes) -> bytes:
            order = json.loads(content)
            for name, value in changes.items():
                order[names.get(name, name)] = written(value) if name in names else value
            return json.dumps(order).encode()

        return Fault(rewrite=rewrite)

    return fault


def _constant(**parts: Any) -> Callable[[Connected], Fault]:
    return lambda _: Fault(**parts)


_SENDS = (
    _Send(
        number="S01", statement="A send whose connection is reset before it arrives is not taken",
        fault=_constant(reaches=False, how="reset"), word="reset", is_taken=False,
        embedded=SendFault.RESET_BEFORE,
    ),
    _Send(
        number="S02", statement="A send whose connection is reset after it was taken is of unknown outcome",
        fault=_constant(how="reset"), word="reset", is_taken=True, embedded=SendFault.RESET_AFTER,
    ),
    _Send(
        number="S03", statement="Half an answer to a send proves nothing",
        fault=_constant(how="half"), word="half_reply", is_taken=True, embedded=SendFault.HALF_REPLY,
    ),
    _Send(
        number="S04", statement="A send that is not answered in time is of unknown outcome",
        fault=_constant(how="stall"), word="time_out", is_taken=True, is_hasty=True,
        embedded=SendFault.SLOW,
    ),
    _Send(
        number="S05", statement="An answer that drips in byte by byte is ended by the deadline of the whole",
        fault=_constant(how="drip"), word="time_out", is_taken=True, is_hasty=True,
    ),
    _Send(
        number="S06", statement="A send that is one too many in its minute is not sent again by the adapter",
        fault=lambda c: Fault(reaches=False, status=429, body=c.words.too_many), word="status_429",
        is_taken=False, embedded=SendFault.RATE_LIMITED,
    ),
    _Send(
        number="S07", statement="A server's error before a send is taken proves nothing",
        fault=lambda c: Fault(reaches=False, status=500, body=c.words.broken), word="status_5xx",
        is_taken=False, embedded=SendFault.FAILED_BEFORE,
    ),
    _Send(
        number="S08", statement="A server's error after a send was taken proves nothing",
        fault=lambda c: Fault(status=503, body=c.words.broken), word="status_5xx", is_taken=True,
        embedded=SendFault.FAILED_AFTER,
    ),
    _Send(
        number="S09", statement="A gateway's time-out after a send was taken makes no second order",
        fault=_html(504, reaches=True), word="status_5xx", is_taken=True,
    ),
    _Send(
        number="S10", statement="A page instead of an answer proves nothing, whatever its status",
        fault=_html(200, reaches=True), word="unreadable_reply|status_2xx", is_taken=True,
    ),
    _Send(
        number="S11", statement="A gateway's page that forbids is no refusal of the broker's",
        fault=_html(403, reaches=True), word="status_4xx|unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S12", statement="A gateway's page that finds nothing is no refusal of the broker's",
        fault=_html(404, reaches=True), word="status_4xx|unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S13", statement="An empty answer proves nothing",
        fault=_constant(status=200), word="unreadable_reply|status_2xx", is_taken=True,
    ),
    _Send(
        number="S14", statement="An answer that is JSON and no order proves nothing",
        fault=lambda _: Fault(rewrite=lambda _: b"null"), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S15", statement="An answer about another id proves nothing of ours",
        fault=_edit(client_order_id="ta-other"), word="other_order", is_taken=True,
    ),
    _Send(
        number="S16", statement="An answer with a quantity that is no number is not read",
        fault=_edit(quantity="NaN"), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S17", statement="An answer with a quantity below zero is not read",
        fault=_edit(quantity=-100), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S18", statement="An answer with a number of four hundred digits is not read",
        fault=_edit(quantity=int("9" * 400)), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S19", statement="An answer with a part of a share is not rounded",
        fault=_edit(quantity="100.5"), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S20", statement="An answer with a status that nobody knows is not read",
        fault=_edit(status="thinking_it_over"), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S21", statement="An answer without a field that is needed is not read",
        fault=_edit(symbol=None), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S22", statement="An answer nested a hundred thousand deep is not read",
        fault=lambda _: Fault(rewrite=lambda _: b"[" * 100_000), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S23", statement="An answer that is no text of any known encoding is not read",
        fault=lambda _: Fault(rewrite=lambda _: b"\xff\xfe{}\x00"), word="unreadable_reply", is_taken=True,
    ),
    _Send(
        number="S24", statement="A send is not carried on to where a redirection points",
        fault=_constant(reaches=False, status=307, headers=(("Location", "/v2/orders"),)),
        word="status_3xx", is_taken=False,
    ),
    _Send(
        number="S25", statement="A refusal with a code that nobody knows is not definitive",
        fault=_constant(status=422, body=b'{"code":42299999,"message":"something new"}'),
        word="status_4xx|unreadable_reply", is_taken=True,
    ),
)  # fmt: skip


def _sent_badly(send: _Send, connected: Connected) -> None:
    adapter = connected.hasty if send.is_hasty else connected.broker
    if connected.line is None:
        connected.truth.behaviour = Behaviour(script=(send.embedded,))
        with pytest.raises(OutcomeUnknown):
            adapter.submit(request(), now=EARLY)
    else:
        connected.line.spoil(send.fault(connected), method="POST")
        with pytest.raises(OutcomeUnknown, match=f"^({send.word}): "):
            adapter.submit(request(), now=EARLY)
        connected.line.heal()
        assert connected.line.sends() == [connected.words.submit]
    found = connected.past.order_by_client_order_id(AAPL, now=EARLY)

    assert (found is not None) == send.is_taken
    assert len(connected.truth.dump().orders) == send.is_taken


CASES += [
    NumberedCase(
        number=send.number,
        statement=send.statement,
        run=partial(_sent_badly, send),
        kinds=ALL if send.embedded is not None else WIRED,
    )
    for send in _SENDS
]


@case("S26", "An answer longer than any order is not read to its end", kinds=WIRED)
def _(connected):
    connected.short_replies()
    connected.line.spoil(Fault(rewrite=lambda content: content + b" " * 100_000), method="POST")
    with pytest.raises(OutcomeUnknown, match=r"^too_long_reply: "):
        connected.broker.submit(request(), now=EARLY)

    assert connected.past.order_by_client_order_id(AAPL, now=EARLY) is not None


@case("S27", "Where nobody listens, nothing was sent, and that is not believed either", kinds=WIRED)
def _(connected):
    connected.line.close()
    with pytest.raises(OutcomeUnknown, match=r"^connect: "):
        connected.broker.submit(request(), now=EARLY)

    assert connected.truth.dump().arrivals == ()


@case("S28", "What was taken and not answered is a duplicate when it is sent again, and one order")
def _(connected):
    _lost(connected, SendFault.RESET_AFTER)
    with pytest.raises(OutcomeUnknown):
        connected.broker.submit(request(), now=EARLY)
    _healed(connected)
    with pytest.raises(DuplicateClientOrderId):
        connected.broker.submit(request(), now=EARLY)

    assert len(connected.truth.dump().orders) == 1
    assert connected.broker.order_by_client_order_id(AAPL, now=EARLY).quantity == 100


@case("S29", "What never arrived is sent again under its id, and is one order")
def _(connected):
    _lost(connected, SendFault.RESET_BEFORE)
    with pytest.raises(OutcomeUnknown):
        connected.broker.submit(request(), now=EARLY)
    _healed(connected)
    order = connected.broker.submit(request(), now=EARLY)

    assert [one.client_order_id for one in connected.truth.dump().orders] == [order.client_order_id]


@case(
    "S30",
    "A duplicate answer to a first send is looked up and adopted",
    behaviour=Behaviour(script=(SendFault.DUPLICATE_ANSWER,)),
)
def _(connected):
    with pytest.raises(DuplicateClientOrderId) as caught:
        connected.broker.submit(request(), now=EARLY)
    found = connected.broker.order_by_client_order_id(caught.value.client_order_id, now=EARLY)

    assert differences(request(), found) == ()


@case(
    "S31",
    "A refusal of the broker's leaves no order and may be tried under its id again",
    behaviour=Behaviour(script=(SendFault.REFUSED,)),
)
def _(connected):
    with pytest.raises(BrokerRejected):
        connected.broker.submit(request(), now=EARLY)

    assert connected.truth.dump().orders == ()
    assert connected.broker.submit(request(), now=EARLY).quantity == 100


@case(
    "S32",
    "A replacement that was taken and not answered is found under its own id, sent once",
    kinds=WIRED,
)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(how="reset"), method="P", path=connected.words.replace)
    wish = request(client_order_id=ClientOrderId("second"), quantity=40)
    with pytest.raises(OutcomeUnknown):
        connected.broker.replace(AAPL, wish, now=EARLY)
    found = connected.past.order_by_client_order_id(wish.client_order_id, now=EARLY)

    assert len(connected.line.sends()) == 2
    assert differences(wish, found) == ()
    assert connected.past.order_by_client_order_id(AAPL, now=EARLY).status is OrderStatus.CANCELLED


@case("S33", "A replacement that never arrived leaves the order open, and was sent once", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(reaches=False, how="reset"), method="P", path=connected.words.replace)
    wish = request(client_order_id=ClientOrderId("second"), quantity=40)
    with pytest.raises(OutcomeUnknown):
        connected.broker.replace(AAPL, wish, now=EARLY)

    assert len(connected.line.sends()) == 2
    assert connected.past.order_by_client_order_id(wish.client_order_id, now=EARLY) is None
    assert not connected.past.order_by_client_order_id(AAPL, now=EARLY).status.is_terminal


@case("S34", "An answer to a replacement that tells of the old order proves nothing", kinds=WIRED)
def _(connected):
    first = connected.broker.submit(request(), now=EARLY)
    wish = request(client_order_id=ClientOrderId("second"), quantity=40)
    told = _edit(client_order_id=first.client_order_id)(connected)
    connected.line.spoil(told, method="P", path=connected.words.replace)

    with pytest.raises(OutcomeUnknown, match=r"^other_order: "):
        connected.broker.replace(AAPL, wish, now=EARLY)


# -------------------------------------------------------------------------------- a question that goes wrong


@case("Q01", "A question whose connection is reset is asked again and answered", kinds=WIRED)
def _(connected):
    sent = connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(how="reset"), method="GET")

    assert connected.broker.order_by_client_order_id(AAPL, now=EARLY) == sent


@case("Q02", "A question that is one too many in its minute is asked again and answered", kinds=WIRED)
def _(connected):
    sent = connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(reaches=False, status=429, body=connected.words.too_many), method="GET")

    assert connected.broker.order_by_client_order_id(AAPL, now=EARLY) == sent


@case("Q03", "A question that fails each time is not answered, and is asked a few times only", kinds=WIRED)
def _(connected):
    connected.line.spoil(Fault(how="reset"), method="GET", always=True)
    for ask in _questions(connected):
        before = len(connected.line.passed)
        with pytest.raises(BrokerUnavailable):
            ask()
        assert len(connected.line.passed) - before <= 3


@case("Q04", "A server's error is no answer to a question", kinds=WIRED)
def _(connected):
    connected.line.spoil(Fault(status=500, body=connected.words.broken), method="GET", always=True)

    _unanswered(connected)


@case("Q05", "A page instead of an answer is no answer to a question", kinds=WIRED)
def _(connected):
    connected.line.spoil(
        Fault(status=200, body=b"<html></html>", kind="text/html"), method="GET", always=True
    )

    _unanswered(connected)


@case("Q06", "A gateway's page that finds nothing does not say that an order is absent", kinds=WIRED)
def _(connected):
    page = Fault(status=404, body=b"<html>nothing here</html>", kind="text/html")
    connected.line.spoil(page, method="GET", always=True)

    _unanswered(connected)


@case("Q07", "Half an answer is no answer to a question", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(how="half"), method="GET", always=True)

    _unanswered(connected)


@case("Q08", "An answer that drips in byte by byte is none by the deadline of the whole", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(Fault(how="drip"), method="GET", always=True)

    with pytest.raises(BrokerUnavailable, match=r"time_out"):
        connected.hasty.orders(since=SESSION, now=EARLY)


@case("Q09", "JSON of another shape is no answer to a question", kinds=WIRED)
def _(connected):
    connected.line.spoil(Fault(rewrite=lambda _: b'"yes"'), method="GET", always=True)

    _unanswered(connected)


@case("Q10", "An answer about another order than was asked for is no answer", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(_renamed(b"ta-AAPL", b"ta-AAPX"), method="GET", always=True)

    with pytest.raises(BrokerUnavailable, match=r"other_order"):
        connected.broker.order_by_client_order_id(AAPL, now=EARLY)


@case("Q11", "A list with one order of unknown status is a failed query", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.line.spoil(
        _renamed(b'"working"', b'"wrking"', b'"accepted"', b'"acceptid"'), method="GET", always=True
    )

    with pytest.raises(BrokerUnavailable):
        connected.broker.orders(since=SESSION, now=EARLY)


@case("Q12", "Cash that is no number, or of forty digits, is a failed query", kinds=WIRED)
def _(connected):
    for value in ("NaN", "Infinity", "9" * 40, "", "1e999999999"):
        connected.line.heal()
        connected.line.spoil(_cash(value), method="GET", path=connected.words.holdings[0], always=True)
        with pytest.raises(BrokerUnavailable):
            connected.broker.holdings(now=EARLY)


@case("Q13", "Executions with a price of no number or below zero are a failed query", kinds=WIRED)
def _(connected):
    _bought(connected, 100)
    for value in ("NaN", "-1", "9" * 40):
        connected.line.heal()
        connected.line.spoil(_price(value), method="GET", path=connected.words.fills, always=True)
        with pytest.raises(BrokerUnavailable):
            connected.broker.fills(AAPL, now=LATER)


@case(
    "Q14",
    "A list that breaks off in its middle is a failed query",
    kinds=ALL - ALPACA,
    behaviour=Behaviour(reports={ReportFault.LIST_CUT: 10_000}),
)
def _(connected):
    connected.broker.submit(request(), now=EARLY)

    with pytest.raises(BrokerUnavailable):
        connected.broker.orders(since=SESSION, now=EARLY)


@case(
    "Q15",
    "A question that the broker loses is not answered with nothing",
    behaviour=Behaviour(reports={ReportFault.QUERY_LOST: 10_000}),
)
def _(connected):
    connected.broker.submit(request(), now=EARLY)

    with pytest.raises(BrokerUnavailable):
        connected.broker.order_by_client_order_id(AAPL, now=EARLY)


@case("Q16", "A broker's clock that is an hour off is told as it is", kinds=WIRED)
def _(connected):
    ahead = EARLY + timedelta(hours=1)

    def rewrite(content: bytes) -> bytes:
        told = json.loads(content)
        told["timestamp" if "timestamp" in told else "now"] = ahead.isoformat()
        return json.dumps(told).encode()

    connected.line.spoil(Fault(rewrite=rewrite), method="GET")

    assert connected.broker.clock(now=EARLY).now == ahead


@case("Q17", "A time without a zone is a failed query", kinds=WIRED)
def _(connected):
    def rewrite(content: bytes) -> bytes:
        told = json.loads(content)
        told["timestamp" if "timestamp" in told else "now"] = "2013-02-28T13:30:00"
        return json.dumps(told).encode()

    connected.line.spoil(Fault(rewrite=rewrite), method="GET", always=True)

    with pytest.raises(BrokerUnavailable):
        connected.broker.clock(now=EARLY)


# -------------------------------------------------------------------------------- a cancel that goes wrong


@case("X01", "A cancel that never arrives leaves the order open, and is asked once", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    _spoil_cancel(connected, Fault(reaches=False, how="reset"))
    with pytest.raises(BrokerUnavailable):
        connected.broker.cancel(AAPL, now=EARLY)

    assert len(connected.line.sends()) == 2
    assert not connected.past.order_by_client_order_id(AAPL, now=EARLY).status.is_terminal


@case("X02", "A cancel that was taken and not answered can be asked for again", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    _spoil_cancel(connected, Fault(how="reset"))
    with pytest.raises(BrokerUnavailable):
        connected.broker.cancel(AAPL, now=EARLY)
    connected.broker.cancel(AAPL, now=EARLY)

    assert connected.broker.order_by_client_order_id(AAPL, now=EARLY).status is OrderStatus.CANCELLED


@case("X03", "A server's error is no cancel", kinds=WIRED)
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    _spoil_cancel(connected, Fault(reaches=False, status=500, body=connected.words.broken))

    with pytest.raises(BrokerUnavailable):
        connected.broker.cancel(AAPL, now=EARLY)


@case("X04", "A cancel of what was never sent changes nothing")
def _(connected):
    connected.broker.submit(request(), now=EARLY)
    connected.broker.cancel(NOTHING, now=EARLY)

    assert not connected.broker.order_by_client_order_id(AAPL, now=EARLY).status.is_terminal


@case("X05", "A cancel that is too late leaves the fill")
def _(connected):
    order = _bought(connected, 100)
    connected.broker.cancel(AAPL, now=LATER)

    assert connected.broker.order_by_client_order_id(AAPL, now=LATER) == order
    assert order.status is OrderStatus.FILLED


# -------------------------------------------------------------------------------- what only Alpaca says


@case("A01", "Wrong keys are a definitive refusal, and nothing is learned of any order", kinds=ALPACA)
def _(connected):
    stranger = connected.with_keys("PKWRONG", "not-the-secret")
    with pytest.raises(BrokerRejected, match=r"^bad_keys: "):
        stranger.submit(request(), now=EARLY)
    with pytest.raises(BrokerUnavailable, match=r"^bad_keys: "):
        stranger.order_by_client_order_id(AAPL, now=EARLY)


@case("A02", "An order for the open is not sent from 09:28 to 19:00, when it would be refused", kinds=ALPACA)
def _(connected):
    for now in (OPEN - timedelta(minutes=2), OPEN, CLOSE, EVENING - timedelta(hours=1, seconds=1)):
        with pytest.raises(BrokerRejected, match=r"^(auction_closed|other_session): "):
            connected.broker.submit(request(), now=now)

    assert connected.line.passed == []


@case("A03", "An order that would be taken for another session than was meant is not sent", kinds=ALPACA)
def _(connected):
    with pytest.raises(BrokerRejected, match=r"^other_session: "):
        connected.broker.submit(request(session=NEXT), now=EARLY)

    assert connected.line.passed == []


@case("A04", "A limit order goes out with its limit as text, exact to the micro-unit", kinds=ALPACA)
def _(connected):
    connected.line.spoil(
        Fault(reaches=False, status=403, body=b'{"code":40310000,"message":"insufficient buying power"}'),
        method="POST",
    )
    limit = request(order_type=OrderType.LIMIT, reference_price_micros=99_990_000)
    with pytest.raises(BrokerRejected, match=r"^not_enough: "):
        connected.broker.submit(limit, now=EARLY)

    (body,) = [json.loads(content) for content in connected.line.bodies if content]
    assert (body["type"], body["limit_price"], body["qty"]) == ("limit", "99.99", "100")


@case("A05", "Refusals are read by status, code and message together", kinds=ALPACA)
def _(connected):
    for status, code, message, word in (
        (400, 40010000, "request body format is invalid", "bad_body"),
        (401, 40110000, "request is not authorized", "unauthorized"),
        (403, None, "forbidden.", "bad_keys"),
        (403, 40310000, "insufficient buying power", "not_enough"),
        (404, 40410000, "asset not found", "not_found"),
        (422, 42210000, "invalid limit_price", "not_allowed"),
    ):
        body = {"message": message} if code is None else {"code": code, "message": message}
        connected.line.spoil(
            Fault(reaches=False, status=status, body=json.dumps(body).encode()), method="POST"
        )
        with pytest.raises(BrokerRejected, match=f"^{word}: "):
            connected.broker.submit(request(), now=EARLY)


@case(
    "A06", "A code of theirs under another status, or another code under theirs, proves nothing", kinds=ALPACA
)
def _(connected):
    for status, code in ((500, 40310000), (403, 42210000), (422, 40310000), (429, 42910000), (422, 40010001)):
        body = json.dumps({"code": code, "message": "no"}).encode()
        connected.line.spoil(Fault(reaches=False, status=status, body=body), method="POST")
        with pytest.raises(OutcomeUnknown, match=r"^status_(4xx|429|5xx): "):
            connected.broker.submit(request(), now=EARLY)
    for message in ("Forbidden", "Access denied by policy"):
        # A gateway's own words, without a code as theirs of wrong keys are.
        body = json.dumps({"message": message}).encode()
        connected.line.spoil(Fault(reaches=True, status=403, body=body), method="POST")
        with pytest.raises(OutcomeUnknown, match=r"^status_4xx: "):
            connected.broker.submit(request(), now=EARLY)


@case("A07", "422 with 40010001 about the client order id is a duplicate, and nothing else is", kinds=ALPACA)
def _(connected):
    body = b'{"code":40010001,"message":"client_order_id must be unique"}'
    connected.line.spoil(Fault(reaches=False, status=422, body=body), method="POST")

    with pytest.raises(DuplicateClientOrderId):
        connected.broker.submit(request(), now=EARLY)


@case(
    "A08",
    "An activity that is told on two pages is a failed query",
    kinds=ALPACA,
    behaviour=Behaviour(executions=5),
)
def _(connected):
    _bought(connected, 70)
    connected.small_pages()
    first: list[bytes] = []

    def rewrite(content: bytes) -> bytes:
        first.append(content)
        return first[0]

    connected.line.spoil(Fault(rewrite=rewrite), method="GET", path=connected.words.fills, always=True)

    with pytest.raises(BrokerUnavailable, match=r"on two pages"):
        connected.broker.fills(AAPL, now=LATER)


@case("A09", "Holdings that move during each look are a failed query", kinds=ALPACA)
def _(connected):
    looks = iter(range(1, 100))

    def rewrite(content: bytes) -> bytes:
        told = json.loads(content)
        told["cash"] = str(next(looks))
        return json.dumps(told).encode()

    connected.line.spoil(Fault(rewrite=rewrite), method="GET", path="/v2/account", always=True)

    with pytest.raises(BrokerUnavailable, match=r"moved"):
        connected.broker.holdings(now=EARLY)


@case("A11", "Not finding a path is not finding no order", kinds=ALPACA)
def _(connected):
    body = b'{"code":40410000,"message":"endpoint not found."}'
    connected.line.spoil(Fault(reaches=False, status=404, body=body), method="GET")

    with pytest.raises(BrokerUnavailable):
        connected.broker.order_by_client_order_id(AAPL, now=EARLY)


@case("A10", "An account that is blocked says so", kinds=ALPACA)
def _(connected):
    for name, value in (("trading_blocked", True), ("account_blocked", True), ("status", "INACTIVE")):

        def rewrite(content: bytes, name: str = name, value: Any = value) -> bytes:
            return json.dumps({**json.loads(content), name: value}).encode()

        connected.line.spoil(Fault(rewrite=rewrite), method="GET")

        assert connected.broker.account(now=EARLY).is_blocked


@case(
    "A12", "No key stands in what is raised, printed or logged, though the server says it back", kinds=ALPACA
)
def _(connected):
    key_id, secret = "PKCANARY0PLANTED0KEY", "canary/PLANTED+secret0123456789ABCDEFGHIJ"
    stranger = connected.with_keys(key_id, secret)
    said = []
    listening = logging.Handler()
    listening.emit = lambda one: said.append(one.getMessage())
    loggers = [logging.getLogger(name) for name in (None, "outbound", "alpaca")]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(listening)
        logger.setLevel(logging.DEBUG)
    echo = f"forbidden: {key_id} {secret}"
    faults = [
        Fault(how="reset"),
        Fault(how="half"),
        Fault(status=403, body=json.dumps({"message": echo}).encode()),
        Fault(status=422, body=json.dumps({"code": 42210000, "message": echo}).encode()),
        Fault(status=200, body=json.dumps({"id": echo, "client_order_id": echo}).encode()),
        Fault(status=500, body=echo.encode(), kind="text/html"),
        Fault(status=302, headers=(("Location", f"/{key_id}/{secret}"),)),
    ]
    try:
        for fault in faults:
            connected.line.spoil(fault, always=True)
            asked = [
                lambda: stranger.submit(request(), now=EARLY),
                lambda: stranger.orders(since=SESSION, now=EARLY),
                lambda: stranger.cancel(AAPL, now=EARLY),
                lambda: stranger.quote(Symbol("AAPL"), now=EARLY),
            ]
            for ask in asked:
                with pytest.raises((BrokerRejected, OutcomeUnknown, BrokerUnavailable)) as caught:
                    ask()
                said.append("".join(traceback.format_exception(caught.value)))
                said += _told_by(caught.value)
            connected.line.heal()
    finally:
        for logger, level in levels:
            logger.removeHandler(listening)
            logger.setLevel(level)
    said += [repr(stranger), str(stranger), repr(stranger.capabilities), repr(stranger._client)]

    assert len(said) > len(faults) * 4
    assert [one for one in said if key_id in one or secret in one] == []


# -------------------------------------------------------------------------------- parts


def _told_by(error: BaseException | None) -> list[str]:
    """Return what an error says of itself, and all that it was caused by."""
    told = []
    while error is not None:
        told += [repr(error), str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return told


def _bought(connected: Connected, quantity: int) -> Any:
    connected.broker.submit(request(quantity=quantity), now=EARLY)
    return connected.broker.order_by_client_order_id(AAPL, now=LATER)


def _refused(connected: Connected, wish: Any, *, now: datetime) -> None:
    with pytest.raises(BrokerRejected) as caught:
        connected.broker.submit(wish, now=now)

    assert str(caught.value).partition(":")[0] in connected.broker.capabilities.definitive_errors
    assert connected.truth.dump().orders == ()


def _lost(connected: Connected, fault: SendFault) -> None:
    if connected.line is None:
        connected.truth.behaviour = Behaviour(script=(fault,))
    else:
        connected.line.spoil(Fault(reaches=fault.is_accepted, how="reset"), method="POST")


def _healed(connected: Connected) -> None:
    if connected.line is None:
        connected.truth.behaviour = Behaviour()
    else:
        connected.line.heal()


def _questions(connected: Connected) -> list[Callable[[], Any]]:
    broker = connected.broker
    return [
        lambda: broker.order_by_client_order_id(AAPL, now=EARLY),
        lambda: broker.orders(since=SESSION, now=EARLY),
        lambda: broker.holdings(now=EARLY),
        lambda: broker.positions(now=EARLY),
        lambda: broker.account(now=EARLY),
        lambda: broker.activities(since=SESSION, now=EARLY),
        lambda: broker.quote(Symbol("AAPL"), now=EARLY),
        lambda: broker.clock(now=EARLY),
    ]


def _unanswered(connected: Connected) -> None:
    for ask in _questions(connected):
        with pytest.raises(BrokerUnavailable):
            ask()


def _spoil_cancel(connected: Connected, fault: Fault) -> None:
    method = "DELETE" if connected.kind is Kind.ALPACA else "POST"
    connected.line.spoil(fault, method=method, path=connected.words.cancel)


def _renamed(*pairs: bytes) -> Fault:
    def rewrite(content: bytes) -> bytes:
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            content = content.replace(old, new)
        return content

    return Fault(rewrite=rewrite)


def _cash(value: str) -> Fault:
    def rewrite(content: bytes) -> bytes:
        told = json.loads(content)
        if isinstance(told, dict):
            told |= {name: value for name in ("cash", "cash_micros") if name in told}
        return json.dumps(told).encode()

    return Fault(rewrite=rewrite)


def _price(value: str) -> Fault:
    def rewrite(content: bytes) -> bytes:
        told = json.loads(content)
        for row in told["rows"] if isinstance(told, dict) else told:
            row |= {name: value for name in ("price", "price_micros") if name in row}
        return json.dumps(told).encode()

    return Fault(rewrite=rewrite)
