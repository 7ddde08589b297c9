"""A book whose bars come over HTTP: what is late, missing, malformed or yesterday's is never decided on."""

from __future__ import annotations

import shutil

import pytest

from resources.alpaca_markets.hosts import AlpacaKeys
from resources.alpaca_markets.market_data import days_left, download_bars
from resources.alpaca_markets.questions import Questions
from resources.market_data.alpaca_bars import Feed
from resources.outbound.client import OutboundClient
from tests.graph.desk import CALENDAR, CONFIG, FIRST, WINDOW, failure_of
from tests.graph.over_http import KEYS, exchange, routed_to
from trading.errors import BrokerUnavailable
from trading.inputs import InputSource, InputStatus
from trading.metrics import by_name
from trading.values import Symbol

LAST_KNOWN = CALENDAR.previous(FIRST)
BEFORE = CALENDAR.previous(LAST_KNOWN)
SYMBOLS = [Symbol(name) for name in ("AAPL", "FB", "GOOG", "IBM", "MSFT")]
BARS = "/v2/stocks/bars"


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    with exchange(tmp_path_factory.mktemp("market") / "exchange.db") as door:
        yield door


def downloaded(market, folder, *, last):
    """Download what a folder lacks up to a session, at its close."""
    keys = AlpacaKeys(key_id=KEYS.key_id, secret=KEYS.secret)
    wanted = {"symbols": SYMBOLS, "last": last, "feed": Feed.IEX, "calendar": CALENDAR}
    with OutboundClient("bars", market.url, headers=keys.headers(), timeout_s=20) as client:
        questions = Questions(client, is_clock_simulated=True)
        first = CALENDAR.before(FIRST, WINDOW)[0]
        for begins, ends in days_left(folder, first=first, **wanted):
            now = CALENDAR.closes_at(last)
            download_bars(questions, folder, **{**wanted, "first": begins, "last": ends}, now=now)


@pytest.fixture(scope="module")
def history(market, tmp_path_factory):
    """Give a folder with the bars of the window but for its last session."""
    folder = tmp_path_factory.mktemp("history") / "bars"
    downloaded(market, folder, last=BEFORE)
    return folder


def well(told):
    return told


def is_late(told):
    return {**told, "bars": {}}


def lacks_most(told):
    return {**told, "bars": {"IBM": told["bars"]["IBM"]}}


def is_malformed(told):
    return {
        **told,
        "bars": {name: [{**bar, "c": "n/a"} for bar in bars] for name, bars in told["bars"].items()},
    }


def is_yesterdays(told):
    day = BEFORE.isoformat()
    return {
        **told,
        "bars": {name: [{**b, "t": day + b["t"][10:]} for b in bars] for name, bars in told["bars"].items()},
    }


def breaks_off(_told):
    return b'{"bars": {"AAPL": [{"t": "2013-'


FAULTS = (is_late, lacks_most, is_malformed, is_yesterdays, breaks_off)


@pytest.fixture
def told_by(market, history, tmp_path, imported, desk_on):
    """Give what downloads the last session as a market tells it, and opens a desk whose book reads that."""

    def opened(fault, *, has_second):
        folder = shutil.copytree(history, tmp_path / "bars")
        market.changes[BARS] = fault
        try:
            downloaded(market, folder, last=LAST_KNOWN)
        except BrokerUnavailable:
            assert fault is breaks_off
        finally:
            market.changes.clear()
        second = '\nfallback_source = "bokeh_stocks"' if has_second else ""
        books = (CONFIG / "books.toml").read_text(encoding="utf-8")
        named = f'source = "alpaca"\npath = "{folder}"{second}\n'
        (tmp_path / "books.toml").write_text(
            books.replace('source = "bokeh_stocks"', f"{named}#", 1), encoding="utf-8"
        )
        desk = desk_on(imported.folder, books_file=tmp_path / "books.toml")
        return desk, desk.import_quotes(LAST_KNOWN, LAST_KNOWN)

    return opened


NOT_ANSWERED = "account.orders:read_broker:broker_unavailable"


def hydrated_orders(desk):
    """Return from whom the account's orders came, why, and how many reads failed."""
    orders = next(
        row for row in desk.rows("input_envelopes", FIRST) if row.source is InputSource.ACCOUNT_ORDERS
    )
    return orders.used, orders.fallback_reason, orders.errors


def tells_first(door, content):
    """Have an exchange tell its first list of orders so: the one that a session is decided on."""
    door.changes["/v2/orders"] = lambda told: content if len(door.asked) <= 1 else told


@pytest.mark.parametrize("content", [b'[{"id": "half', b'{"orders": []}'])
def test_orders_that_a_broker_tells_wrongly_come_from_the_journal(
    imported, desk_on, tmp_path, monkeypatch, content
):
    with exchange(tmp_path / "exchange.db") as door:
        tells_first(door, content)
        desk = desk_on(imported.folder, **routed_to(door, tmp_path, monkeypatch))
        result = desk.run("decide", FIRST)

    assert failure_of(result) == ("", "")
    assert hydrated_orders(desk) == ("journal", NOT_ANSWERED, 1)


def test_a_session_decided_on_a_fallback_ends_as_any_other_and_says_so(
    whole_session, imported, desk_on, tmp_path, monkeypatch
):
    usual, _ = whole_session
    with exchange(tmp_path / "exchange.db") as door:
        tells_first(door, b"<html>busy</html>")
        desk = desk_on(imported.folder, **routed_to(door, tmp_path, monkeypatch))
        result = desk.run("session", FIRST)

    assert failure_of(result) == ("", "")
    assert hydrated_orders(desk) == ("journal", NOT_ANSWERED, 1)
    assert desk.rows("positions", FIRST) == usual.rows("positions", FIRST)
    told = by_name(desk.rows("metrics", FIRST))
    assert told["input_hydration.error"].value == 1
    assert told[f"input_hydration.fallback_total_by_reason.{NOT_ANSWERED}"].value == 1


def pointer_of(desk):
    return desk.lake.require(("us_five", "market_quotes"), str(LAST_KNOWN))


def test_bars_over_http_come_to_the_decisions_that_the_same_bars_from_a_file_come_to(told_by, whole_session):
    usual, _ = whole_session
    desk, result = told_by(well, has_second=False)

    assert result.success, failure_of(result)
    assert failure_of(desk.run("decide", FIRST)) == ("", "")
    assert {quote.source.partition("/")[0] for quote in desk.rows("market_quotes", LAST_KNOWN)} == {
        "alpaca_iex"
    }
    assert [(row.symbol, row.outcome, row.quantity) for row in desk.rows("decisions", FIRST)] == [
        (row.symbol, row.outcome, row.quantity) for row in usual.rows("decisions", FIRST)
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_market_tells_wrongly_is_left_for_the_second_source_with_its_reason(told_by, fault):
    desk, result = told_by(fault, has_second=True)

    assert result.success, failure_of(result)
    reason = pointer_of(desk).extra["fallback_reason"]
    assert reason.startswith("alpaca_iex:read:")
    assert {quote.source.partition("/")[0] for quote in desk.rows("market_quotes", LAST_KNOWN)} == {
        "bokeh_stocks"
    }
    if fault is not is_malformed:
        return
    assert failure_of(desk.run("session", FIRST)) == ("", "")
    quotes = next(
        row for row in desk.rows("input_envelopes", FIRST) if row.source is InputSource.MARKET_QUOTE
    )
    assert (quotes.status, quotes.fallback_reason) == (InputStatus.READY, reason)
    told = by_name(desk.rows("metrics", FIRST))
    assert told[f"input_hydration.fallback_total_by_reason.{reason}"].value == 1
    report = desk.settings.profile_dir / "reports" / "us_five" / str(FIRST) / "report.html"
    assert f"market.quote by fallback: {reason}" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", [lacks_most, is_malformed, is_yesterdays])
def test_without_a_second_source_nothing_is_decided_on_it_and_one_reason_says_why(told_by, fault):
    desk, result = told_by(fault, has_second=False)

    assert result.success, failure_of(result)
    stage, told = failure_of(desk.run("decide", FIRST))
    assert stage == "candidates"
    assert f"{LAST_KNOWN}" in told
    assert desk.journal.intents(**desk.where(FIRST)) == []
    assert desk.sent() == []
