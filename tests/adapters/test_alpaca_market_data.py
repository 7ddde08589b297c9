"""Bars and latest quotes of Alpaca's market data, from a server that answers as a test says."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from resources.alpaca_markets.market_data import AlpacaQuotes, download_bars
from resources.alpaca_markets.questions import Questions
from resources.market_data.alpaca_bars import AlpacaBars, Feed
from resources.market_data.sources import source_of
from resources.outbound.client import OutboundClient
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import BookLine
from tests.adapters.broker_rules import CALENDAR, NEXT, OPEN, SESSION
from tests.adapters.misbehaving import http, misbehaving
from trading.actions import ActionKind, CorporateAction
from trading.errors import BadInput, BadQuotes, BadSetting, BrokerUnavailable
from trading.quality import Reason, judge_session
from trading.values import Symbol

PROJECT = Path(__file__).resolve().parents[2]
AAPL, IBM = Symbol("AAPL"), Symbol("IBM")
NEXT_CLOSE = CALENDAR.closes_at(NEXT)
NO_ACTIONS = {"corporate_actions": {}, "next_page_token": None}


def bar(on: date, **changes):
    return {
        "t": f"{on}T05:00:00Z",
        "o": 100.1,
        "h": 101.25,
        "l": 99.5,
        "c": 100.7,
        "v": 12_345,
        "n": 99,
        "vw": 100.2,
    } | changes


class Market:
    """Answer questions from pages that are written down, and keep what was asked."""

    def __init__(self, bars=(), actions=(NO_ACTIONS,), latest=None):
        self._pages = {"/v2/stocks/bars": list(bars), "/v1/corporate-actions": list(actions)}
        self._latest = latest or {}
        self.asked = []
        self._heard = None
        self._open = ExitStack()

    def __enter__(self):
        url, self._heard = self._open.enter_context(misbehaving(self._answer))
        client = self._open.enter_context(OutboundClient("alpaca_data", url, timeout_s=20))
        self.questions = Questions(client)
        return self

    def __exit__(self, *_):
        self._open.close()

    def _answer(self, number):
        target = urlsplit(self._heard[number - 1].split(b" ")[1].decode())
        asked = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.asked.append((target.path, asked))
        if target.path in self._latest:
            return http("200 OK", json.dumps(self._latest[target.path]).encode())
        pages = self._pages.get(target.path)
        if pages is None:
            return http("404 Not Found", b'{"code":40410000,"message":"endpoint not found."}')
        page = pages.pop(0) if len(pages) > 1 else pages[0]
        return http("200 OK", page if isinstance(page, bytes) else json.dumps(page).encode())

    def download(self, folder, **changes):
        wanted = {
            "symbols": [AAPL, IBM],
            "first": SESSION,
            "last": NEXT,
            "feed": Feed.IEX,
            "calendar": CALENDAR,
            "now": NEXT_CLOSE,
        }
        return download_bars(self.questions, folder, **(wanted | changes))


def judged(source, session=SESSION):
    return judge_session(
        session=session,
        raw=source.raw_bars(session, session),
        calendar=CALENDAR,
        previous={},
        actions=(),
        released=(),
        limits=load_quality_limits(PROJECT / "config" / "quality.toml"),
        source_sha=source.source_sha(),
        known_at=CALENDAR.closes_at(session),
    )


TWO_PAGES = (
    {"bars": {"AAPL": [bar(SESSION)]}, "next_page_token": "two"},
    {"bars": {"AAPL": [bar(NEXT)], "IBM": [bar(SESSION)]}, "next_page_token": None},
)


def test_bars_of_all_pages_are_a_books_source_and_its_name_tells_the_feed(tmp_path):
    with Market(TWO_PAGES) as market:
        told = market.download(tmp_path)
        asked = [parameters for path, parameters in market.asked if path == "/v2/stocks/bars"]
    source = AlpacaBars(tmp_path)
    quotes = judged(source).accepted

    assert (told.rows, told.feed, told.other_actions) == (3, Feed.IEX, ())
    assert source.name == "alpaca_iex"
    assert source.sessions() == (SESSION, NEXT)
    assert [(quote.symbol, quote.open_micros, quote.volume) for quote in quotes] == [
        ("AAPL", 100_100_000, 12_345),
        ("IBM", 100_100_000, 12_345),
    ]
    assert all(quote.source.startswith("alpaca_iex/") for quote in quotes)
    assert [one.get("page_token") for one in asked] == [None, "two"]
    assert {(one["adjustment"], one["feed"], one["timeframe"]) for one in asked} == {("raw", "iex", "1Day")}


def test_a_book_whose_source_is_alpaca_reads_what_was_downloaded(tmp_path):
    with Market(TWO_PAGES) as market:
        market.download(tmp_path / "data" / "bars")
    line = BookLine.model_validate(
        {
            "title": "mine",
            "source": "alpaca",
            "path": "data/bars",
            "calendar": "XNYS",
            "currency": "USD",
            "account": "MINE",
            "deposit": "1000",
            "slippage_bps": 1,
            "commission_bps": 1,
            "participation_bps": 1,
        }
    )
    source = source_of("mine", line, root=tmp_path)

    assert (source.name, source.sessions()) == ("alpaca_iex", (SESSION, NEXT))
    with pytest.raises(BadSetting, match="needs a path"):
        source_of("mine", line.model_copy(update={"path": None}), root=tmp_path)


def test_the_free_feeds_partial_volume_is_written_down_beside_the_bars(tmp_path):
    with Market(TWO_PAGES) as market:
        market.download(tmp_path)
    (kept,) = json.loads((tmp_path / "downloads.json").read_text())

    assert (kept["feed"], kept["has_whole_volume"], kept["adjustment"]) == ("iex", False, "raw")
    assert Feed.SIP.has_whole_volume


def test_malformed_rows_are_quarantined_each_with_its_reason_and_the_rest_is_accepted(tmp_path):
    rows = [
        bar(SESSION),
        bar(SESSION, o="NaN"),
        bar(SESSION, c=-1),
        bar(SESSION, v=None),
        bar(SESSION, h=1.5),
        bar(SESSION, c=100.1234567),
        bar(SESSION, o=int("9" * 30)),
        "no bar",
        {"t": "yesterday"},
    ]
    content = json.dumps({"bars": {"AAPL": rows}, "next_page_token": None}).encode()
    with Market((content,)) as market:
        market.download(tmp_path)
    found = judged(AlpacaBars(tmp_path))

    assert [quote.symbol for quote in found.accepted] == ["AAPL"]
    assert len(found.quarantined) == len(rows) - 1
    assert {
        Reason.NOT_A_NUMBER,
        Reason.NON_POSITIVE_PRICE,
        Reason.MISSING_FIELD,
        Reason.TOO_PRECISE,
        Reason.TOO_LARGE,
        Reason.UNREADABLE_DATE,
    } <= {row.reason for row in found.quarantined}


def test_a_price_is_kept_digit_by_digit_and_never_passes_through_a_float(tmp_path):
    told = b'{"t":"2013-02-28T05:00:00Z","o":0.1,"h":100000000.000001,"l":0.1,"c":0.3,"v":1}'
    page = b'{"bars":{"AAPL":[' + told + b']},"next_page_token":null}'
    with Market((page,)) as market:
        market.download(tmp_path, symbols=[AAPL])
    (row,) = AlpacaBars(tmp_path).raw_bars(SESSION, SESSION)

    assert (row.open, row.high, row.close) == ("0.1", "100000000.000001", "0.3")


def test_a_bar_is_of_the_exchanges_date_whatever_the_hour_in_utc(tmp_path):
    summer = date(2013, 2, 28)
    late = {"bars": {"AAPL": [bar(summer, t="2013-03-01T03:59:59Z")]}, "next_page_token": None}
    with Market((late,)) as market:
        market.download(tmp_path, symbols=[AAPL])

    assert AlpacaBars(tmp_path).sessions() == (summer,)


@pytest.mark.parametrize(
    "pages",
    [
        ({"bars": {"AAPL": []}, "next_page_token": "same"},),
        ({"bars": None, "next_page_token": None},),
        ([1, 2],),
        (b"<html>",),
        ({"bars": {}, "next_page_token": 7},),
    ],
)
def test_half_a_download_is_none_and_leaves_nothing(tmp_path, pages):
    with Market(pages) as market, pytest.raises(BrokerUnavailable):
        market.download(tmp_path / "bars")

    assert not (tmp_path / "bars").exists()


def test_the_bar_of_a_session_that_is_still_open_is_not_downloaded(tmp_path):
    with Market(TWO_PAGES) as market:
        with pytest.raises(BadInput, match="still open"):
            market.download(tmp_path, now=NEXT_CLOSE - timedelta(seconds=1))

        assert market.asked == []


def test_the_same_days_again_with_other_rows_are_refused_and_with_the_same_change_nothing(tmp_path):
    other = ({"bars": {"AAPL": [bar(SESSION, c=100.8)]}, "next_page_token": None},)
    for pages in (TWO_PAGES, TWO_PAGES):
        with Market(pages) as market:
            market.download(tmp_path)
    before = AlpacaBars(tmp_path).source_sha()
    with Market(other) as market, pytest.raises(BadQuotes, match="other rows"):
        market.download(tmp_path)

    assert AlpacaBars(tmp_path).source_sha() == before


def test_a_folder_of_two_feeds_is_no_source(tmp_path):
    with Market(TWO_PAGES) as market:
        market.download(tmp_path)
    sip = ({"bars": {"AAPL": [bar(NEXT)]}, "next_page_token": None},)
    with Market(sip) as market:
        market.download(tmp_path, first=NEXT, feed=Feed.SIP)

    with pytest.raises(BadQuotes, match="of one feed"):
        _ = AlpacaBars(tmp_path).name
    with pytest.raises(BadQuotes, match="nothing"):
        _ = AlpacaBars(tmp_path / "empty").name


def test_splits_and_dividends_come_beside_the_bars_exactly_and_other_actions_are_named(tmp_path):
    actions = {
        "corporate_actions": {
            "forward_splits": [{"symbol": "AAPL", "ex_date": "2013-02-28", "new_rate": 3, "old_rate": 2}],
            "reverse_splits": [{"symbol": "IBM", "ex_date": "2013-03-01", "new_rate": 1, "old_rate": 10}],
            "cash_dividends": [{"symbol": "AAPL", "ex_date": "2013-03-01", "rate": 0.225, "special": False}],
            "spin_offs": [{"source_symbol": "IBM", "symbol": "KD", "ex_date": "2013-03-01"}],
        },
        "next_page_token": None,
    }
    with Market(TWO_PAGES, (actions,)) as market:
        told = market.download(tmp_path)

    assert AlpacaBars(tmp_path).actions() == (
        CorporateAction(effective_on=SESSION, symbol=AAPL, kind=ActionKind.SPLIT, numerator=3, denominator=2),
        CorporateAction(effective_on=NEXT, symbol=AAPL, kind=ActionKind.DIVIDEND, dividend_micros=225_000),
        CorporateAction(effective_on=NEXT, symbol=IBM, kind=ActionKind.SPLIT, numerator=1, denominator=10),
    )
    assert told.other_actions == ("spin_offs KD",)


def test_an_action_is_of_its_ex_date_however_much_later_it_is_processed(tmp_path):
    """Alpaca lists by the day of processing, which for a dividend is the day that it is paid."""
    processed = {
        "cash_dividends": [
            {"symbol": "AAPL", "ex_date": "2013-03-01", "rate": 0.225, "process_date": "2013-04-15"},
            {"symbol": "IBM", "ex_date": "2013-02-08", "rate": 0.85, "process_date": "2013-03-09"},
            {"symbol": "IBM", "ex_date": "2013-05-08", "rate": 0.95, "process_date": "2013-06-10"},
        ],
        "spin_offs": [{"symbol": "KD", "ex_date": "2013-05-03", "process_date": "2013-05-04"}],
    }
    with Market(TWO_PAGES, ({"corporate_actions": processed, "next_page_token": None},)) as market:
        told = market.download(tmp_path)
        (asked,) = (words for path, words in market.asked if path == "/v1/corporate-actions")

    assert (asked["start"], asked["end"] > "2013-06-20") == ("2013-02-28", True)
    assert [(one.symbol, one.effective_on) for one in AlpacaBars(tmp_path).actions()] == [(AAPL, NEXT)]
    assert (told.actions, told.other_actions) == (1, ())


@pytest.mark.parametrize(
    "row",
    [
        {"symbol": "AAPL", "ex_date": "2013-02-28", "new_rate": 0, "old_rate": 2},
        {"symbol": "AAPL", "ex_date": "2013-02-28", "new_rate": 2, "old_rate": 0},
        {"symbol": "AAPL", "ex_date": "soon", "new_rate": 2, "old_rate": 1},
        {"symbol": "AAPL", "new_rate": 2, "old_rate": 1},
        {"symbol": "AAPL", "ex_date": "2013-02-28", "new_rate": "1E+999999", "old_rate": 1},
        {"symbol": "AAPL", "ex_date": "2013-02-28", "new_rate": 1, "old_rate": "1E-999999"},
    ],
)
def test_an_action_that_cannot_be_read_stops_the_download(tmp_path, row):
    actions = {"corporate_actions": {"forward_splits": [row]}, "next_page_token": None}

    with Market(TWO_PAGES, (actions,)) as market, pytest.raises(BrokerUnavailable, match="forward_splits"):
        market.download(tmp_path)


@pytest.mark.parametrize("rate", ["0.1234567", "0.0000001", "1E+999999", 0, -1, None, True])
def test_a_dividend_is_exact_to_the_micro_unit_or_refused_and_never_rounded(tmp_path, rate):
    row = {"symbol": "AAPL", "ex_date": "2013-03-01", "rate": rate}
    actions = {"corporate_actions": {"cash_dividends": [row]}, "next_page_token": None}

    with Market(TWO_PAGES, (actions,)) as market, pytest.raises(BrokerUnavailable, match="cash_dividends"):
        market.download(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rows", [None, "AAPL", {"symbol": "AAPL"}, ["AAPL"], [None], [[]]])
@pytest.mark.parametrize("kind", ["forward_splits", "spin_offs"])
def test_what_is_no_list_of_actions_stops_the_download_and_says_of_which_kind(tmp_path, kind, rows):
    actions = {"corporate_actions": {kind: rows}, "next_page_token": None}

    with Market(TWO_PAGES, (actions,)) as market, pytest.raises(BrokerUnavailable, match=kind):
        market.download(tmp_path)


# -------------------------------------------------------------------------------- latest quotes


def quotes_of(bp, ap, at=OPEN):
    return {"quotes": {"AAPL": {"t": at.isoformat(), "bp": bp, "ap": ap, "bs": 1, "as": 1}}}


def trades_of(price, at=OPEN):
    return {"trades": {"AAPL": {"t": at.isoformat(), "p": price, "s": 100}}}


def latest(quotes, trades):
    return {"/v2/stocks/quotes/latest": quotes, "/v2/stocks/trades/latest": trades}


NO_QUOTES, NO_TRADES = {"quotes": {}}, {"trades": {}}


@pytest.mark.parametrize(
    ("quotes", "trades", "price"),
    [
        (quotes_of(99.99, 100.02), trades_of(90), 100_005_000),
        (quotes_of(0.000001, 0.000002), NO_TRADES, 1),
        (quotes_of(0, 100.02), trades_of(100.01), 100_010_000),
        (quotes_of(99.99, 0), trades_of(100.01), 100_010_000),
        (quotes_of(101, 100), trades_of(100.01), 100_010_000),
        (quotes_of(0, 100.02), NO_TRADES, None),
        (NO_QUOTES, trades_of(0), None),
        (NO_QUOTES, NO_TRADES, None),
        (quotes_of("NaN", 100), trades_of(100), None),
        (quotes_of(-1, 100), trades_of(100), None),
    ],
)
def test_a_live_price_is_the_middle_of_two_sides_or_the_last_trade_and_never_zero(quotes, trades, price):
    with Market(latest=latest(quotes, trades)) as market:
        live = AlpacaQuotes(market.questions, feed=Feed.IEX, clock=lambda: OPEN)
        found = live.live_quote(AAPL, SESSION)

    assert (None if found is None else found.price_micros) == price
    assert found is None or found.quoted_at == OPEN


@pytest.mark.parametrize(
    ("quotes", "age"),
    [(quotes_of(99.99, 100.02), 0), (quotes_of(0, 100.02), 9), (quotes_of(99.99, 0), 9), (NO_QUOTES, 9)],
)
def test_a_price_is_as_old_as_what_it_is_made_of(quotes, age):
    earlier = OPEN - timedelta(minutes=9)
    with Market(latest=latest(quotes, trades_of(100, at=earlier))) as market:
        live = AlpacaQuotes(market.questions, feed=Feed.IEX, clock=lambda: OPEN)
        found = live.live_quote(AAPL, SESSION)

    assert found.quoted_at == OPEN - timedelta(minutes=age)


def test_a_price_that_cannot_be_asked_for_is_no_price():
    with Market() as market:
        market.questions = Questions(OutboundClient("alpaca_data", "http://127.0.0.1:9", timeout_s=5))
        live = AlpacaQuotes(market.questions, feed=Feed.IEX, clock=lambda: datetime(2013, 1, 2, tzinfo=UTC))

        assert live.live_quote(AAPL, SESSION) is None
