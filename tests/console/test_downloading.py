"""`trading bars download`: bars of a market over HTTP become a folder that a book reads, a year at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from alpaca.data.enums import CorporateActionsType
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest

from console.cli import main
from console.exit_codes import ExitCode
from resources.market_data.alpaca_bars import AlpacaBars
from resources.market_data.bokeh_stocks import BokehStocks
from resources.paper_exchange.starting import Wanted, exchange_of
from tests.graph.desk import CONFIG
from tests.graph.desk import FIRST as FIRST_OF_DESK
from tests.graph.over_http import KEYS, exchange
from trading.actions import ActionKind
from trading.errors import BadInput

WORDS = ("bars", "download", "--symbols", "AAPL,IBM", "--from", "2012-12-03")
FIRST, MIDDLE, LAST = date(2012, 12, 3), date(2013, 1, 31), date(2013, 2, 14)
BARS = "/v2/stocks/bars"
WRONG = "no-such-secret-of-theirs"


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    with exchange(tmp_path_factory.mktemp("exchange") / "exchange.db") as door:
        yield door


@pytest.fixture
def speak(tmp_path, monkeypatch, capsys, market):
    market.changes.clear()
    market.asked.clear()
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(CONFIG))
    monkeypatch.setenv("TRADING_BROKER_BASE_URL", market.url)
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", KEYS.key_id)
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", KEYS.secret)
    (tmp_path / "state" / "simulated").mkdir(parents=True)

    def spoken(*words, to=LAST):
        code = main([*WORDS, "--to", str(to), "--into", str(tmp_path / "bars"), *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return code, said.out, said.err

    return spoken


def bars_asked(market):
    return [one for one in market.asked if one.path == BARS]


def in_the_box(first, last):
    """Return the source's own rows of the two symbols, prices as numbers."""
    return sorted(
        (row.symbol, row.session, *(float(price) for price in (row.open, row.high, row.low, row.close)))
        for row in BokehStocks().raw_bars(first, last)
        if row.symbol in {"AAPL", "IBM"}
    )


def in_the_folder(folder):
    source = AlpacaBars(folder)
    return sorted(
        (row.symbol, row.session, *(float(price) for price in (row.open, row.high, row.low, row.close)))
        for row in source.raw_bars(FIRST, LAST)
    )


def test_what_is_downloaded_is_what_was_traded_with_its_feed_and_its_actions(speak, market, tmp_path):
    code, out, _ = speak("--json")
    told = json.loads(out)
    source = AlpacaBars(tmp_path / "bars")
    records = json.loads((tmp_path / "bars" / "downloads.json").read_text())

    assert code == ExitCode.DONE, out
    assert [(one["first"], one["last"]) for one in told["downloads"]] == [
        ("2012-12-03", "2012-12-31"),
        ("2013-01-01", "2013-02-14"),
    ]
    assert source.name == "alpaca_iex"
    assert in_the_folder(tmp_path / "bars") == in_the_box(FIRST, LAST)
    assert told["rows"] == len(in_the_box(FIRST, LAST)) > 0
    assert {(one["adjustment"], one["feed"]) for one in records} == {("raw", "iex")}
    expected = {
        action
        for action in BokehStocks().actions()
        if action.symbol in {"AAPL", "IBM"} and FIRST <= action.effective_on <= LAST
    }
    assert expected
    assert set(source.actions()) == expected


def test_the_same_words_again_ask_nothing_and_later_ones_ask_for_the_days_since(speak, market, tmp_path):
    assert speak(to=MIDDLE)[0] == ExitCode.DONE
    asked = len(market.asked)
    assert speak(to=MIDDLE)[0] == ExitCode.DONE
    assert len(market.asked) == asked
    code, out, _ = speak("--json")

    assert code == ExitCode.DONE
    assert [(one["first"], one["last"]) for one in json.loads(out)["downloads"]] == [
        ("2013-02-01", "2013-02-14")
    ]
    assert in_the_folder(tmp_path / "bars") == in_the_box(FIRST, LAST)


def test_days_of_which_no_bar_was_told_are_not_kept_as_downloaded(market, speak, tmp_path):
    """The box ends on 2013-03-01: what its market tells later is nothing, and may yet come."""
    ends, later, latest = "2013-03-01", date(2013, 4, 12), date(2013, 5, 10)
    words = ("--from", "2013-02-15", "--json")
    code, out, _ = speak(*words, to=later)
    again = json.loads(speak(*words, to=latest)[1])["downloads"]

    assert code == ExitCode.DONE, out
    assert [(one["first"], one["last"]) for one in json.loads(out)["downloads"]] == [("2013-02-15", ends)]
    assert [(one["first"], one["rows"]) for one in again] == [("2013-03-02", 0)]
    records = json.loads((tmp_path / "bars" / "downloads.json").read_text())
    assert [(one["first"], one["last"]) for one in records] == [("2013-02-15", ends)]


def test_a_download_that_broke_off_keeps_its_whole_years_and_goes_on_from_there(speak, market, tmp_path):
    def only_the_first_year(told):
        return told if len(bars_asked(market)) <= 1 else b"<html>no such page</html>"

    market.changes[BARS] = only_the_first_year
    code, _, err = speak()
    kept = [path.name for path in sorted((tmp_path / "bars").glob("bars_*.csv"))]
    market.changes.clear()

    assert code == ExitCode.DEPENDENCY_DOWN
    assert "unreadable_reply" in err
    assert kept == ["bars_2012-12-03_2012-12-31.csv"]
    assert speak()[0] == ExitCode.DONE
    assert in_the_folder(tmp_path / "bars") == in_the_box(FIRST, LAST)


def test_an_exchange_serves_the_market_that_it_is_told_and_not_the_books_own(speak, tmp_path):
    assert speak()[0] == ExitCode.DONE
    wanted = Wanted(
        book="us_five",
        ledger=tmp_path / "exchange.db",
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        keys=KEYS,
        source="alpaca",
        path=tmp_path / "bars",
    )
    served, usual = exchange_of(wanted), exchange_of(replace(wanted, source=None, path=None))

    assert {name: served.broker.bar(name, LAST) is not None for name in ("AAPL", "IBM", "GOOG")} == {
        "AAPL": True,
        "IBM": True,
        "GOOG": False,
    }
    assert served.broker.bar("AAPL", LAST).source.startswith("alpaca_iex/")
    assert served.broker.bar("AAPL", LAST).close_micros == usual.broker.bar("AAPL", LAST).close_micros
    assert usual.broker.bar("GOOG", LAST) is not None


@pytest.mark.parametrize(
    ("source", "path", "told"),
    [
        ("nosuch", None, "one of bokeh_stocks, bytetheory, folder, alpaca"),
        ("alpaca", None, "needs --path"),
        ("bokeh_stocks", "bars", "leave out --path"),
    ],
)
def test_a_market_that_is_none_is_refused_with_the_words_there_are(tmp_path, source, path, told):
    wanted = Wanted(
        book="us_five",
        ledger=tmp_path / "exchange.db",
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        keys=KEYS,
        source=source,
        path=None if path is None else tmp_path / path,
    )

    with pytest.raises(BadInput, match=told):
        exchange_of(wanted)
    assert not wanted.ledger.exists()


def test_alpacas_own_client_reads_the_exchanges_actions_up_to_its_time(market):
    client = CorporateActionsClient(*KEYS, url_override=market.url)
    asked = {"symbols": ["AAPL", "MSFT"], "start": date(2000, 1, 1), "end": date(2013, 12, 31)}
    told = client.get_corporate_actions(CorporateActionsRequest(**asked)).data
    one = client.get_corporate_actions(
        CorporateActionsRequest(**asked, types=[CorporateActionsType.FORWARD_SPLIT])
    ).data
    expected = [
        action
        for action in BokehStocks().actions()
        if action.symbol in {"AAPL", "MSFT"} and action.effective_on < FIRST_OF_DESK
    ]

    splits = {(row.symbol, row.ex_date, row.new_rate / row.old_rate) for row in told["forward_splits"]}
    assert splits == {
        (action.symbol, action.effective_on, action.numerator / action.denominator)
        for action in expected
        if action.kind is ActionKind.SPLIT
    }
    dividends = {(row.symbol, row.ex_date, round(row.rate * 1_000_000)) for row in told["cash_dividends"]}
    assert dividends == {
        (action.symbol, action.effective_on, action.dividend_micros)
        for action in expected
        if action.kind is ActionKind.DIVIDEND
    }
    assert splits
    assert set(one) == {"forward_splits"}


def test_other_symbols_or_another_feed_do_not_come_into_the_same_folder(speak, market):
    assert speak(to=MIDDLE)[0] == ExitCode.DONE
    asked = len(market.asked)

    for words, told in (
        (("--symbols", "AAPL,GOOG"), "other symbols"),
        (("--feed", "sip"), "has bars of feed iex"),
    ):
        code, _, err = speak(*words)

        assert (code, told in err) == (ExitCode.USAGE, True), err
    assert len(market.asked) == asked


def test_a_symbol_without_a_bar_is_named(speak):
    code, out, _ = speak("--symbols", "AAPL,NOSUCH")

    assert code == ExitCode.DONE
    assert "no bar of NOSUCH" in out


@pytest.mark.parametrize(
    ("setting", "ends_with"),
    [
        (("TRADING_BROKER_APP_SECRET", ""), (ExitCode.USAGE, "TRADING_BROKER_APP_SECRET", "not set")),
        (("TRADING_BROKER_BASE_URL", ""), (ExitCode.USAGE, "TRADING_BROKER_BASE_URL")),
        (
            ("TRADING_BROKER_APP_SECRET", WRONG),
            (ExitCode.USAGE, "TRADING_BROKER_APP_KEY", "TRADING_BROKER_APP_SECRET", "bad_keys"),
        ),
        (
            ("TRADING_BROKER_BASE_URL", "http://127.0.0.1:9"),
            (ExitCode.DEPENDENCY_DOWN, "TRADING_BROKER_BASE_URL", "http://127.0.0.1:9"),
        ),
    ],
)
def test_a_mistake_on_the_way_is_one_line_that_names_its_setting(
    speak, monkeypatch, tmp_path, setting, ends_with
):
    code, *words = ends_with
    monkeypatch.setenv(*setting)
    found, out, err = speak()

    lines = [line for line in err.splitlines() if line.startswith("trading: ")]
    assert (found, out, len(lines)) == (code, "", 1), err
    assert all(word in lines[0] for word in words), lines
    assert WRONG not in err
    assert not list((tmp_path / "bars").glob("*.csv"))
