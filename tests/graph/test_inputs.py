"""Inputs of a session: read before the scan from whom is asked first, or visibly from the next one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.graph.desk import CALENDAR, CONFIG, FIRST, SESSIONS, failure_of
from trading.errors import BrokerUnavailable
from trading.inputs import InputRow, InputSource, InputStatus
from trading.orders import BrokerOrder, OrderStatus
from trading.recorded import relived
from trading.values import ClientOrderId, Side, Symbol

SECOND = SESSIONS[1]
FOREIGN = BrokerOrder(
    broker_order_id="pb-foreign",
    client_order_id=ClientOrderId("typed-in-by-hand"),
    symbol=Symbol("IBM"),
    side=Side.BUY,
    quantity=10,
    filled_quantity=0,
    status=OrderStatus.WORKING,
)


class Broker:
    """Be the real broker, whose list of orders is answered by `orders`."""

    def __init__(self, real: Any, answer: Any) -> None:
        self._real, self._answer = real, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def orders(self, **asked: Any) -> Any:
        return self._answer(self._real, **asked)


def with_orders(answer):
    return {"brokers": lambda profiled: {"us_five": Broker(profiled.brokers["us_five"], answer)}}


def timed_out(real, **_asked):
    raise BrokerUnavailable("no answer within 5 s")


def with_a_foreign_one(real, **asked):
    return [*real.orders(**asked), FOREIGN]


def of_another_shape(real, **_asked):
    return [BrokerOrder(**{**{name: getattr(FOREIGN, name) for name in FOREIGN.__slots__}, "quantity": -1})]


def lived_again(desk):
    profiled = desk.profiled
    return relived(
        FIRST,
        config=profiled.books["us_five"],
        lane="simulated",
        calendar=CALENDAR,
        windows=profiled.windows["us_five"],
        records=profiled.session_records["us_five"],
    )


def by_source(desk, session):
    return {row.source: row for row in desk.rows("input_envelopes", session)}


def test_a_whole_session_reads_every_source_from_the_first_that_is_asked(whole_session):
    desk, _ = whole_session
    rows = by_source(desk, FIRST)

    assert list(rows) == list(InputSource)
    assert {row.status for row in rows.values()} == {InputStatus.READY}
    assert [(row.used, row.attempted, row.ready, row.errors) for row in rows.values()] == [
        ("lake", 1, 1, 0),
        ("broker", 1, 1, 0),
        ("journal", 1, 1, 0),
    ]
    assert rows[InputSource.MARKET_QUOTE].records == len(desk.rows("market_quotes", CALENDAR.previous(FIRST)))


def test_a_broker_that_does_not_answer_is_replaced_by_the_journal_and_is_back_the_session_after(
    imported, desk_on
):
    down = desk_on(imported.folder, ports=with_orders(timed_out))
    assert failure_of(down.run("decide", FIRST)) == ("", "")
    broken = by_source(down, FIRST)[InputSource.ACCOUNT_ORDERS]
    up = desk_on()
    assert up.run("session", FIRST).success
    assert up.run("session", SECOND).success
    again = by_source(up, FIRST)[InputSource.ACCOUNT_ORDERS]

    assert (broken.used, broken.fallback_reason) == (
        "journal",
        "account.orders:read_broker:broker_unavailable",
    )
    assert (broken.attempted, broken.ready, broken.errors) == (2, 1, 1)
    assert again == broken, "a decided session keeps what it was decided on"
    assert by_source(up, SECOND)[InputSource.ACCOUNT_ORDERS].used == "broker"


@pytest.mark.parametrize("answer", [timed_out, of_another_shape])
def test_without_anybody_who_knows_the_orders_nothing_is_decided_and_one_reason_says_so(
    imported, desk_on, answer, tmp_path
):
    books = tmp_path / "books.toml"
    books.write_text(
        (CONFIG / "books.toml")
        .read_text(encoding="utf-8")
        .replace('account_orders = ["broker", "journal"]', 'account_orders = ["broker"]'),
        encoding="utf-8",
    )
    desk = desk_on(imported.folder, ports=with_orders(answer), books_file=books)

    stage, told = failure_of(desk.run("decide", FIRST))

    status = "ask" if answer is timed_out else "error"
    assert stage == "candidates"
    assert f"inputs {status}: account.orders:" in told
    assert desk.journal.intents(**desk.where(FIRST)) == []
    assert "inputs" in desk.journal.session_record(**desk.where(FIRST)).refused
    assert by_source(desk, FIRST)[InputSource.ACCOUNT_ORDERS].status == status

    well = desk_on(books_file=books)
    assert failure_of(well.run("decide", FIRST)) == ("", "")
    assert by_source(well, FIRST)[InputSource.ACCOUNT_ORDERS].status is InputStatus.READY


def test_an_open_order_of_the_account_lowers_its_score_and_the_session_replays_the_same(
    whole_session, imported, desk_on
):
    usual, _ = whole_session
    desk = desk_on(imported.folder, ports=with_orders(with_a_foreign_one))
    assert failure_of(desk.run("decide", FIRST)) == ("", "")
    penalties = {row.symbol: row.penalty for row in desk.rows("candidates", FIRST)}
    inputs_sha = {row.inputs_sha for row in desk.rows("decisions", FIRST)}

    assert penalties["IBM"] == -0.2
    assert [symbol for symbol, penalty in penalties.items() if penalty] == ["IBM"]
    assert inputs_sha != {row.inputs_sha for row in usual.rows("decisions", FIRST)}

    told = lived_again(desk)
    assert told.is_same, told.detail

    # What was hydrated is what is replayed: another record, another decision.
    rows = [
        row._replace(payloads="[]") if row.source is InputSource.ACCOUNT_ORDERS else row
        for row in desk.rows("input_envelopes", FIRST)
    ]
    desk.lake.write_rows(("us_five", "input_envelopes"), str(FIRST), InputRow, rows)
    differs = lived_again(desk)
    assert not differs.is_same


def test_what_was_hydrated_stands_in_the_table_as_it_was_read(imported, desk_on):
    desk = desk_on(imported.folder, ports=with_orders(with_a_foreign_one))
    assert failure_of(desk.run("decide", FIRST)) == ("", "")
    row = by_source(desk, FIRST)[InputSource.ACCOUNT_ORDERS]

    (kept,) = json.loads(row.payloads)
    assert (kept["schema_version"], kept["symbol"], kept["status"]) == (
        "account.orders.v1",
        "IBM",
        "working",
    )
