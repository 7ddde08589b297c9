"""The user's own files: what is read, what goes on to quarantine, and what is refused by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.calendars import load_calendar
from resources.market_data.bar_folder import BarFolder
from resources.quality_rules import load_quality_limits
from trading.actions import ActionKind, CorporateAction
from trading.errors import BadQuotes
from trading.quality import DateStyle, Reason, dates_of, judge_range
from trading.quotes import RawBar, SessionQuotes
from trading.values import Symbol

ROOT = Path(__file__).parents[2]
CALENDAR = load_calendar("XNYS", ROOT / "config" / "calendars")
LIMITS = load_quality_limits(ROOT / "config" / "quality.toml")
HEADER = "symbol,date,open,high,low,close,volume\n"
ROW = "IBM,2013-03-01,200.65,202.94,199.36,202.91,3309000\n"


def written(folder: Path, text: str, name: str = "bars.csv") -> BarFolder:
    (folder / name).write_text(text, encoding="utf-8")
    return BarFolder(folder)


def all_rows(source: BarFolder) -> list[RawBar]:
    return source.raw_bars(date.min, date.max)


def judged(source: BarFolder, first: date, last: date) -> tuple[SessionQuotes, ...]:
    return judge_range(
        sessions=CALENDAR.between(first, last),
        raw=source.raw_bars(*dates_of(CALENDAR, first=first, last=last)),
        calendar=CALENDAR,
        previous={},
        actions=source.actions(),
        released=(),
        limits=LIMITS,
        source_sha=source.source_sha(),
    )


# ------------------------------------------------------------------------------------------------ read


def test_a_csv_file_is_read_as_text_by_column_names_in_any_order_and_case(tmp_path: Path) -> None:
    header = "Close,TICKER,Session,Adj Close,Volume,Low,HIGH, Open \n"
    source = written(tmp_path, header + "202.91,IBM,20130301,190.1,3309000,199.36,202.94,200.65\n")

    assert all_rows(source) == [
        RawBar("bar_folder/bars.csv", 2, "IBM", "20130301", "200.65", "202.94", "199.36", "202.91", "3309000")
    ]
    assert source.sessions() == (date(2013, 3, 1),)


def test_symbols_that_look_like_values_stay_symbols_all_the_way(tmp_path: Path) -> None:
    symbols = ["TRUE", "NAN", "ON", "BRK.B", "NA", "NULL"]
    rows = "".join(ROW.replace("IBM", symbol) for symbol in symbols)

    (day,) = judged(written(tmp_path, HEADER + rows), date(2013, 3, 1), date(2013, 3, 1))

    assert [quote.symbol for quote in day.accepted] == sorted(symbols)
    assert day.quarantined == ()


def test_a_file_without_a_symbol_column_is_named_by_its_symbol(tmp_path: Path) -> None:
    text = "date,open,high,low,close,volume\n2013-03-01,1,2,1,2,1000\n"
    for name in ("brk.b.csv", "TRUE.csv"):
        written(tmp_path, text, name)
    (tmp_path / "on.csv.gz").write_bytes(gzip.compress(text.encode()))

    assert sorted(row.symbol for row in all_rows(BarFolder(tmp_path))) == ["BRK.B", "ON", "TRUE"]


def test_a_single_file_is_a_source_and_other_files_beside_are_not_read(tmp_path: Path) -> None:
    written(tmp_path, HEADER + ROW)
    written(tmp_path, "garbage", "other.csv")
    written(tmp_path, "a note", "README.txt")

    assert len(all_rows(BarFolder(tmp_path / "bars.csv"))) == 1


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER + ROW + "\n\n" + ROW.replace("IBM", "AAPL")
    (tmp_path / "bars.csv").write_bytes(text.replace("\n", "\r\n").encode())

    assert [(row.line, row.symbol) for row in all_rows(BarFolder(tmp_path))] == [(2, "IBM"), (5, "AAPL")]


@pytest.mark.parametrize("text", ["2013-03-04", "20130304", "2013/03/04", "04-Mar-2013"])
def test_four_date_styles_give_the_same_session(tmp_path: Path, text: str) -> None:
    (day,) = judged(
        written(tmp_path, HEADER + ROW.replace("2013-03-01", text)), date(2013, 3, 4), date(2013, 3, 4)
    )

    assert [quote.session for quote in day.accepted] == [date(2013, 3, 4)]


def test_dates_that_end_in_the_year_are_read_only_as_declared(tmp_path: Path) -> None:
    text = HEADER + ROW + ROW.replace("2013-03-01", "04/03/2013")
    undeclared = judged(written(tmp_path, text), date(2013, 3, 1), date(2013, 4, 5))
    as_dmy = BarFolder(tmp_path, date_style=DateStyle.DMY)
    as_mdy = BarFolder(tmp_path, date_style=DateStyle.MDY)

    assert [row.reason for row in undeclared[0].quarantined] == [Reason.AMBIGUOUS_DATE]
    assert as_dmy.sessions() == (date(2013, 3, 1), date(2013, 3, 4))
    assert as_mdy.sessions() == (date(2013, 3, 1), date(2013, 4, 3))
    assert [row.session for row in all_rows(as_dmy)] == ["2013-03-01", "2013-03-04"]


def test_a_file_of_which_no_date_can_be_read_is_refused_beside_one_that_can(tmp_path: Path) -> None:
    written(tmp_path, HEADER + ROW)
    (tmp_path / "other.csv").write_text(HEADER + ROW.replace("2013-03-01", "04/03/2013"), encoding="utf-8")

    with pytest.raises(BadQuotes, match=r"other\.csv: none of its 1 dates can be read.*date_style"):
        BarFolder(tmp_path).sessions()


def instants(*texts: str) -> pa.Array:
    return pa.array(texts).cast(pa.timestamp("ns"))


def test_parquet_of_every_usual_type_reads_like_csv(tmp_path: Path) -> None:
    table = pa.table(
        {
            "symbol": pa.array(["NAN", "TRUE", None]).dictionary_encode(),
            "date": instants("2013-03-01", "2013-03-04", "2013-03-04 05:00:00"),
            "open": pa.array([131.28, 1.5, None], pa.float32()),
            "high": pa.array([131.5, 1.5, float("nan")]),
            "low": pa.array([Decimal("131.00"), Decimal("1.50"), Decimal("1.50")]),
            "close": pa.array(["131.28", "1.5", "1.5"]),
            "volume": pa.array([9616100.0, 1e7, 3.0]),
            "note": pa.array([[1], [2], [3]]),
        }
    )
    pq.write_table(table, tmp_path / "bars.parquet")

    source = BarFolder(tmp_path)
    rows = all_rows(source)
    first, second = judged(source, date(2013, 3, 1), date(2013, 3, 4))

    assert rows[0][1:] == (1, "NAN", "2013-03-01", "131.28", "131.5", "131.00", "131.28", "9616100")
    assert rows[2][2:6] == ("", "2013-03-04 05:00:00.000000000", "", "nan")
    assert [quote.symbol for quote in first.accepted] == ["NAN"]
    assert [(quote.symbol, quote.volume) for quote in second.accepted] == [("TRUE", 10_000_000)]
    assert [(row.line, row.reason) for row in second.quarantined] == [
        (3, Reason.UNREADABLE_DATE),
        (0, Reason.SESSION_MISSING_FOR_SYMBOL),
    ]


@pytest.mark.parametrize(
    "dates",
    [
        pa.array([date(2013, 3, 1)]),
        instants("2013-03-01"),
        pa.array([datetime(2013, 3, 1, tzinfo=UTC)]),
        pa.array([datetime(2013, 3, 1, 5, tzinfo=UTC)], pa.timestamp("ms", "America/New_York")),
        pa.array([20130301]),
        pa.array(["01-Mar-2013"]),
    ],
)
def test_a_parquet_date_of_any_type_is_its_day(tmp_path: Path, dates: pa.Array) -> None:
    numbers = {name: pa.array([1]) for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"date": dates} | numbers), tmp_path / "IBM.parquet")

    assert BarFolder(tmp_path).sessions() == (date(2013, 3, 1),)


def test_the_sha_changes_with_content_name_and_actions(tmp_path: Path) -> None:
    shas = [written(tmp_path, HEADER + ROW).source_sha()]
    shas.append(written(tmp_path, HEADER + ROW).source_sha())
    shas.append(written(tmp_path, HEADER + ROW.replace("202.91", "202.90")).source_sha())
    written(tmp_path, "symbol,effective_on,kind,numerator,denominator,dividend\n", "actions.csv")
    shas.append(BarFolder(tmp_path).source_sha())
    (tmp_path / "bars.csv").rename(tmp_path / "bars2.csv")
    shas.append(BarFolder(tmp_path).source_sha())

    assert shas[0] == shas[1]
    assert len(set(shas)) == 4


# ----------------------------------------------------------------------------------------- quarantined


def test_bad_rows_of_a_readable_file_are_quarantined_each_with_its_reason(tmp_path: Path) -> None:
    bad = [
        (HEADER, Reason.HEADER_ROW),
        ("IBM,2013-03-01,200.65\n", Reason.MISSING_FIELD),
        ("IBM,2013-03-01,200,65,202,94,199,36,202,91,3309000\n", Reason.NOT_A_NUMBER),
        (ROW.replace("202.91", "NaN"), Reason.NOT_A_NUMBER),
        (ROW.replace("202.91", "-202.91"), Reason.NON_POSITIVE_PRICE),
        (ROW.replace("2013-03-01", "2013-03-02"), Reason.OFF_SESSION),
        (ROW, Reason.DUPLICATE),
        ("someone's note\n", Reason.UNREADABLE_DATE),
    ]
    text = HEADER + ROW + "".join(row for row, _ in bad)

    (day,) = judged(written(tmp_path, text), date(2013, 3, 1), date(2013, 3, 1))
    by_line = {row.line: row.reason for row in day.quarantined}

    assert [quote.symbol for quote in day.accepted] == ["IBM"]
    assert [by_line[line] for line in range(3, 3 + len(bad))] == [reason for _, reason in bad]
    assert len(day.quarantined) == len(bad)


def test_conflicting_rows_of_two_files_are_both_held(tmp_path: Path) -> None:
    written(tmp_path, HEADER + ROW, "a.csv")
    source = written(tmp_path, HEADER + ROW.replace("202.91", "202.90"), "b.csv")

    (day,) = judged(source, date(2013, 3, 1), date(2013, 3, 1))

    assert day.accepted == ()
    assert {(row.source, row.reason) for row in day.quarantined} == {
        ("bar_folder/a.csv", "conflicting"),
        ("bar_folder/b.csv", "conflicting"),
    }


def test_a_row_without_a_date_is_given_once_with_its_neighbour(tmp_path: Path) -> None:
    text = HEADER + ROW + ROW.replace("2013-03-01", "") + ROW.replace("2013-03-01", "2013-03-04")
    source = written(tmp_path, text)

    assert [row.line for row in source.raw_bars(date(2013, 3, 1), date(2013, 3, 1))] == [2, 3]
    assert [row.line for row in source.raw_bars(date(2013, 3, 4), date(2013, 3, 4))] == [4]


# --------------------------------------------------------------------------------------------- refused


def no_such_path(folder: Path) -> Path:
    return folder / "nowhere"


def of_bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return write


def parquet_of(columns: dict[str, pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


NUMBERS = {name: pa.array([1]) for name in ("high", "low", "close", "volume")}
GOOD_PARQUET = parquet_of({"date": pa.array(["2013-03-01"]), "open": pa.array([1])} | NUMBERS)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (no_such_path, r"nowhere does not exist: name a file or folder"),
        (lambda folder: folder, r"holds no daily bars: files must end in \.csv, \.csv\.gz, \.parquet"),
        (of_bytes("bars.csv", b""), r"bars\.csv is empty: needs a header"),
        (of_bytes("bars.csv", b"\n\n"), r"bars\.csv is empty: needs a header"),
        (of_bytes("bars.csv", HEADER.encode()), r"bars\.csv has a header and no row"),
        (
            of_bytes("bars.csv", b"symbol,day,open,high,low,close,volume\nIBM,2013-03-01,1,1,1,1,1\n"),
            r"bars\.csv: no column date or session; found: symbol, day, open, .*; needed: date",
        ),
        (
            of_bytes("bars.csv", HEADER.replace(",", ";").encode() + ROW.replace(",", ";").encode()),
            r"no column date or session; found: symbol;date;open",
        ),
        (
            of_bytes(
                "bars.csv", b"ticker,symbol,date,open,high,low,close,volume\nA,A,2013-03-01,1,1,1,1,1\n"
            ),
            r"columns ticker, symbol all mean symbol; keep one",
        ),
        (
            of_bytes("bars.csv", (HEADER + ROW).encode() + "IBM,2013-03-04,é".encode("latin-1")),
            r"bars\.csv line 3: byte 0xe9 is not UTF-8; save the file as UTF-8",
        ),
        (
            of_bytes("bars.csv", (HEADER + ROW + '"' + "x" * 200_000).encode()),
            r"bars\.csv line \d+: .*not a CSV file",
        ),
        (
            of_bytes("bars.csv", (HEADER + ROW.replace("2013-03-01", "03/01/2013")).encode()),
            r"none of its 1 dates can be read, the first: date '03/01/2013': day or month first\?",
        ),
        (of_bytes("bars.csv.gz", b"not gzip"), r"bars\.csv\.gz: corrupt gzip file"),
        (of_bytes("bars.csv.gz", gzip.compress(b"x" * 999)[:-12]), r"bars\.csv\.gz: corrupt gzip file"),
        (of_bytes("bars.parquet", b"not parquet"), r"bars\.parquet: corrupt Parquet file"),
        (of_bytes("bars.parquet", GOOD_PARQUET[:-20]), r"bars\.parquet: corrupt Parquet file"),
        (
            of_bytes("bars.parquet", parquet_of(NUMBERS)),
            r"bars\.parquet: no column date or session; found: high",
        ),
        (
            of_bytes(
                "bars.parquet", parquet_of({"date": pa.array(["x"]), "open": pa.array([[1]])} | NUMBERS)
            ),
            r"bars\.parquet: column open of type list<.*> cannot be text",
        ),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_by_name_and_rule(
    tmp_path: Path, place: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(BadQuotes, match=message) as caught:
        BarFolder(place(tmp_path)).sessions()

    assert str(tmp_path) in str(caught.value)


def test_a_damaged_page_inside_a_parquet_file_is_refused(tmp_path: Path) -> None:
    broken = bytearray(GOOD_PARQUET)
    broken[4:60] = b"\xff" * 56
    (tmp_path / "bars.parquet").write_bytes(bytes(broken))

    with pytest.raises(BadQuotes, match=r"bars\.parquet: corrupt Parquet file"):
        BarFolder(tmp_path).sessions()


def test_a_file_of_another_kind_is_refused_when_named_itself(tmp_path: Path) -> None:
    (tmp_path / "bars.xlsx").write_bytes(b"PK")

    with pytest.raises(BadQuotes, match=r"bars\.xlsx: a file of daily bars ends in \.csv"):
        BarFolder(tmp_path / "bars.xlsx").sessions()


# --------------------------------------------------------------------------------------------- actions

ACTIONS = "symbol,effective_on,kind,numerator,denominator,dividend\n"


def with_actions(folder: Path, rows: str, header: str = ACTIONS) -> BarFolder:
    written(folder, HEADER + ROW)
    return written(folder, header + rows, "actions.csv")


def test_actions_are_read_beside_the_bars_and_are_no_bars(tmp_path: Path) -> None:
    source = with_actions(tmp_path, "IBM,2013-02-06,dividend,,,0.85\nAAPL,2005-02-28,Split,2,1,\n")

    assert source.actions() == (
        CorporateAction(
            effective_on=date(2005, 2, 28),
            symbol=Symbol("AAPL"),
            kind=ActionKind.SPLIT,
            numerator=2,
            denominator=1,
        ),
        CorporateAction(
            effective_on=date(2013, 2, 6),
            symbol=Symbol("IBM"),
            kind=ActionKind.DIVIDEND,
            dividend_micros=850_000,
        ),
    )
    assert len(all_rows(source)) == 1
    assert written(tmp_path, HEADER + ROW).actions() != ()


def test_without_an_actions_file_there_are_no_actions(tmp_path: Path) -> None:
    assert written(tmp_path, HEADER + ROW).actions() == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("IBM,2013-02-06,dividend,,,0\n", r"line 2: dividend '0': must be an amount above zero"),
        ("IBM,2013-02-06,dividend,,,\n", r"line 2: dividend '': must be an amount above zero"),
        ("IBM,2013-02-06,split,2,0,\n", r"line 2: denominator '0': must be a whole number"),
        ("IBM,2013-02-06,split,1.5,1,\n", r"line 2: numerator '1\.5': must be a whole number"),
        ("IBM,2013-02-06,spinoff,2,1,\n", r"line 2: kind 'spinoff': must be split, dividend or delisting"),
        ("ibm,2013-02-06,split,2,1,\n", r"line 2: symbol 'ibm': not 1 to 12"),
        ("IBM,06/02/2013,split,2,1,\n", r"line 2: effective_on: date '06/02/2013'"),
        ("IBM,2013-02-06,split,2\n", r"line 2: 4 cells, the header has 6"),
        ("IBM,2013-02-06,split,2,1,\n" * 2, r"line 3: the same action as line 2; remove one"),
    ],
)
def test_a_wrong_action_is_refused_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(BadQuotes, match=rf"actions\.csv {message}"):
        with_actions(tmp_path, rows).actions()


def test_an_actions_file_of_other_columns_or_without_bars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadQuotes, match=r"actions\.csv: columns symbol, on; needed: symbol, effective_on"):
        with_actions(tmp_path, "IBM,x\n", header="symbol,on\n").actions()
    (tmp_path / "bars.csv").unlink()
    with pytest.raises(BadQuotes, match="holds no daily bars"):
        BarFolder(tmp_path).sessions()
