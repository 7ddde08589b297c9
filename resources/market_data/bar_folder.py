"""The user's own daily bars: one CSV or Parquet file, or a folder of them, with `actions.csv` beside.

Columns by name, in any order and case: `symbol` or `ticker` (without it the file's name is the symbol),
`date` or `session`, `open`, `high`, `low`, `close`, `volume`; others are ignored. Files end in `.csv`,
`.csv.gz` or `.parquet`. Everything is read as text, so a symbol `TRUE` or `NAN` stays one; a bad row is
handed on to be quarantined, a file that cannot be read at all is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from resources.market_data.bar_rows import BarRows, data_file, sha_of
from trading.actions import ActionKind, CorporateAction
from trading.datasets import DataFile
from trading.errors import BadQuotes
from trading.quality import SYMBOL_PATTERN, DateStyle, Fault, micros_or_fault, read_date
from trading.quotes import RawBar
from trading.values import Symbol, digest

ENDINGS = (".csv", ".csv.gz", ".parquet")
ACTIONS_FILE = "actions.csv"
ACTION_COLUMNS = ("symbol", "effective_on", "kind", "numerator", "denominator", "dividend")

_NAMES = {
    "symbol": ("symbol", "ticker"),
    "session": ("date", "session"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
}
_NEEDED = (
    "date (or session), open, high, low, close, volume, and symbol (or ticker) unless the file is named so"
)
_MIDNIGHT = re.compile(r"(\S+) 00:00:00(?:\.0+)?(?:Z|[+-]\d{4})?")


class BarFolder:
    """Give the bars of a file or folder; implements `trading.quotes.MarketData`.

    Reads everything once, when first asked: make a new one to see files that changed since.
    """

    def __init__(self, path: Path, *, date_style: DateStyle | None = None, name: str = "bar_folder") -> None:
        """Name the file or folder; `date_style` says how dates like `03/01/2013` are meant.

        With a style, dates are handed on in ISO form, since a reader of the quarantine cannot know it.
        """
        self.name = name
        self._path = path
        self._date_style = date_style

    def source_sha(self) -> str:
        """Return the SHA-256 over the names and contents of all files, `actions.csv` included."""
        return digest([[file.name, sha_of(file.content)] for file in self._files])

    def files(self) -> tuple[DataFile, ...]:
        """Return all files that are read, `actions.csv` included, by name."""
        return tuple(data_file(file.path, file.content) for file in self._files)

    def sessions(self) -> tuple[date, ...]:
        """Return the dates that have rows, ascending."""
        return self._bars.dates()

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows from `first` to `last`, both included."""
        return self._bars.between(first, last)

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return the actions of the folder's `actions.csv`, none where there is no such file.

        Raises `BadQuotes` for the first row that is wrong: a split that is left out makes a wrong book.
        """
        return self._actions

    @cached_property
    def _files(self) -> list[_File]:
        if self._path.is_file():
            paths = [self._path]
        elif self._path.is_dir():
            paths = sorted(path for path in self._path.iterdir() if path.name.lower().endswith(ENDINGS))
        else:
            raise BadQuotes(f"{self._path} does not exist: name a file or folder of daily bars")
        files = [_File(path=path, name=path.name, content=_content(path)) for path in paths]
        if all(_holds_actions(file) for file in files):
            raise BadQuotes(f"{self._path} holds no daily bars: files must end in {', '.join(ENDINGS)}")
        return files

    @cached_property
    def _bars(self) -> BarRows:
        rows: list[RawBar] = []
        for file in self._files:
            if _holds_actions(file):
                continue
            found = list(self._rows(file))
            if not found:
                raise BadQuotes(
                    f"{file.path} has a header and no row: give one row a daily bar, or remove it"
                )
            _require_a_readable_date(file, found)
            rows += found
        return BarRows(rows, name=f"{self.name} {self._path}")

    def _rows(self, file: _File) -> Iterator[RawBar]:
        header, table = _table(file)
        places = _places(file, header)
        source = f"{self.name}/{file.name}"
        needed = [places[name] for name in _NAMES]
        for line, cells in table:
            symbol, session, opened, high, low, close, volume = _seven(cells, needed, width=len(header))
            if needed[0] is None:
                symbol = _symbol_of(file)
            yield RawBar(source, line, symbol, self._session_text(session), opened, high, low, close, volume)

    def _session_text(self, text: str) -> str:
        if self._date_style is None:
            return text
        on = read_date(text, self._date_style)
        return text if isinstance(on, Fault) else on.isoformat()

    @cached_property
    def _actions(self) -> tuple[CorporateAction, ...]:
        found: dict[CorporateAction, int] = {}
        for file in self._files:
            if not _holds_actions(file):
                continue
            header, table = _table(file)
            names = [name.strip().lower() for name in header]
            if sorted(names) != sorted(ACTION_COLUMNS):
                raise BadQuotes(
                    f"{file.path}: columns {', '.join(header)}; needed: {', '.join(ACTION_COLUMNS)}"
                )
            for line, cells in table:
                where = f"{file.path} line {line}"
                action = _action(where, names, cells)
                if action in found:
                    raise BadQuotes(f"{where}: the same action as line {found[action]}; remove one")
                found[action] = line
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    name: str
    content: bytes


def _require_a_readable_date(file: _File, rows: list[RawBar]) -> None:
    """Raise `BadQuotes` for a file of which no date can be read: beside others it would vanish unseen."""
    first = read_date(rows[0].session)
    if isinstance(first, Fault) and all(isinstance(read_date(row.session), Fault) for row in rows):
        raise BadQuotes(
            f"{file.path}: none of its {len(rows)} dates can be read, the first: {first.detail}; "
            "write them like 2013-03-01, or set the book's date_style in books.toml"
        )


def _holds_actions(file: _File) -> bool:
    return file.name.lower() == ACTIONS_FILE


def _symbol_of(file: _File) -> str:
    ending = next(ending for ending in ENDINGS if file.name.lower().endswith(ending))
    return file.name[: -len(ending)].upper()


# ----------------------------------------------------------------------------------- bytes to text cells

Table = tuple[list[str], Iterator[tuple[int, list[str]]]]
"""A header, and the rows below it, each with its line (in Parquet: row) number."""


def _content(path: Path) -> bytes:
    if not path.name.lower().endswith(ENDINGS):
        raise BadQuotes(f"{path}: a file of daily bars ends in {', '.join(ENDINGS)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadQuotes(f"{path}: {error.strerror}; make it readable") from error
    if not content:
        raise BadQuotes(f"{path} is empty: needs a header and one row a daily bar")
    return content


def _table(file: _File) -> Table:
    if file.name.lower().endswith(".parquet"):
        return _parquet_table(file)
    content = _unpacked(file) if file.name.lower().endswith(".gz") else file.content
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise BadQuotes(
            f"{file.path} line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from error
    rows = _csv_rows(file, text)
    header = next(rows, None)
    if header is None:
        raise BadQuotes(f"{file.path} is empty: needs a header and one row a daily bar")
    return header[1], rows


def _unpacked(file: _File) -> bytes:
    try:
        return gzip.decompress(file.content)
    except (OSError, EOFError, zlib.error) as error:
        raise BadQuotes(f"{file.path}: corrupt gzip file ({error}); copy or download it again") from error


def _csv_rows(file: _File, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise BadQuotes(
            f"{file.path} line {reader.line_num}: {error}; not a CSV file as it stands"
        ) from error


def _parquet_table(file: _File) -> Table:
    # Only who has Parquet files pays for the import.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(io.BytesIO(file.content))
    except (pa.ArrowException, OSError) as error:
        raise BadQuotes(f"{file.path}: corrupt Parquet file ({error}); copy or write it again") from error
    places = _places(file, table.column_names)
    columns: list[list[str]] = [[""] * table.num_rows for _ in table.column_names]
    for place in places.values():
        if place is None:
            continue
        try:
            texts = table.column(place).cast(pa.string()).to_pylist()
        except pa.ArrowException as error:
            name, kind = table.column_names[place], table.column(place).type
            raise BadQuotes(f"{file.path}: column {name} of type {kind} cannot be text ({error})") from error
        columns[place] = [_plain_text(text) for text in texts]
    return list(table.column_names), (
        (row, list(cells)) for row, cells in enumerate(zip(*columns, strict=True), 1)
    )


def _plain_text(text: str | None) -> str:
    """Return a Parquet cell as a CSV file would have it: no value is empty, a midnight is its date."""
    if text is None:
        return ""
    if match := _MIDNIGHT.fullmatch(text):
        return match[1]
    return text


# ------------------------------------------------------------------------------------------- cells to bars


def _places(file: _File, header: Sequence[str]) -> dict[str, int | None]:
    """Return the column of each field; None for the symbol where the file's name is it."""
    names = [name.strip().lower() for name in header]
    places: dict[str, int | None] = {}
    for field, spellings in _NAMES.items():
        found = [place for place, name in enumerate(names) if name in spellings]
        if len(found) > 1:
            doubled = ", ".join(header[place] for place in found)
            raise BadQuotes(f"{file.path}: columns {doubled} all mean {field}; keep one")
        if not found and field != "symbol":
            missing, present = " or ".join(spellings), ", ".join(header)
            raise BadQuotes(f"{file.path}: no column {missing}; found: {present}; needed: {_NEEDED}")
        places[field] = found[0] if found else None
    return places


def _seven(cells: list[str], places: Sequence[int | None], *, width: int) -> list[str]:
    """Return symbol, date and the five numbers of a row; cells too few are empty.

    Cells too many (an unquoted decimal comma moves all that follow) are put behind the volume, which is
    then no number: the row is quarantined with all its text instead of read wrongly.
    """
    picked = ["" if place is None or place >= len(cells) else cells[place] for place in places]
    if len(cells) > width:
        picked[-1] = ",".join([picked[-1], *cells[width:]])
    return picked


def _action(where: str, names: list[str], cells: list[str]) -> CorporateAction:
    """Return the action of one row; raises `BadQuotes` naming the cell that is wrong."""
    if len(cells) != len(names):
        raise BadQuotes(f"{where}: {len(cells)} cells, the header has {len(names)}")
    row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    if not SYMBOL_PATTERN.fullmatch(row["symbol"]):
        raise BadQuotes(f"{where}: symbol {row['symbol']!r}: not 1 to 12 of A-Z, 0-9, point and dash")
    on = read_date(row["effective_on"])
    if isinstance(on, Fault):
        raise BadQuotes(f"{where}: effective_on: {on.detail}")
    symbol, kind = Symbol(row["symbol"]), row["kind"].lower()
    if kind == ActionKind.SPLIT:
        new, old = (
            _shares(where, "numerator", row["numerator"]),
            _shares(where, "denominator", row["denominator"]),
        )
        return CorporateAction(
            effective_on=on, symbol=symbol, kind=ActionKind.SPLIT, numerator=new, denominator=old
        )
    if kind == ActionKind.DIVIDEND:
        paid = micros_or_fault("dividend", row["dividend"])
        if isinstance(paid, Fault) or paid <= 0:
            raise BadQuotes(f"{where}: dividend {row['dividend']!r}: must be an amount above zero a share")
        return CorporateAction(effective_on=on, symbol=symbol, kind=ActionKind.DIVIDEND, dividend_micros=paid)
    if kind == ActionKind.DELISTING:
        paid = micros_or_fault("dividend", row["dividend"])
        if isinstance(paid, Fault) or paid < 0:
            raise BadQuotes(
                f"{where}: dividend {row['dividend']!r}: must be what is paid a share, 0 for nothing"
            )
        return CorporateAction(
            effective_on=on, symbol=symbol, kind=ActionKind.DELISTING, dividend_micros=paid
        )
    raise BadQuotes(f"{where}: kind {row['kind']!r}: must be split, dividend or delisting")


def _shares(where: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadQuotes(f"{where}: {name} {text!r}: must be a whole number of shares above zero")
    return int(text)
