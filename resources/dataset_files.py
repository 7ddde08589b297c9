"""Data sets as files: what a book's source holds now, and the manifests in `config/datasets/` that pin it.

What a data set is, and when two are one, is trading/datasets.py. Light on purpose: the command line reads
manifests before it has decided to import anything big.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from trading.datasets import DataFile, Dataset, DatasetUnknown, dataset, require_unchanged
from trading.errors import BadSetting
from trading.simulation import FillModel

if TYPE_CHECKING:
    from trading.books import BookConfig
    from trading.quotes import MarketData
    from trading.sessions import Calendar

ABOUT = """\
# What `{book}` is replayed on, as it was when people looked at it: a replay refuses a data set that differs.
# Written by `trading datasets manifest --book {book} --write`; a change of it is a commit with a reason.
"""

SYMBOLS_IN_A_LINE = 12


def dataset_of(book: BookConfig, *, source: MarketData, calendar: Calendar) -> Dataset:
    """Return the data set of a book as its source holds it now; reads every file of it.

    Raises `BadQuotes` where the source cannot be read.
    """
    bars = source.raw_bars(book.first_session, book.last_session)
    return dataset(
        book=book.name,
        source=book.source,
        source_sha=source.source_sha(),
        files=source.files(),
        calendar=calendar,
        currency=book.currency,
        first_session=book.first_session,
        last_session=book.last_session,
        symbols={bar.symbol for bar in bars},
        actions=source.actions(),
        costs=book.costs,
    )


def verified_dataset(
    book: BookConfig, *, source: MarketData, calendar: Calendar, books_file: Path
) -> Dataset:
    """Return the data set of a book where it is what its manifest says: what every replay asks for first.

    Raises `DatasetUnknown` where there is no manifest, `DatasetChanged` naming what differs (a file, what
    its hash should be and what it is), `BadSetting` for a manifest that cannot be read.
    """
    path = manifest_path(books_file, book.name)
    expected = read_manifest(path)
    found = dataset_of(book, source=source, calendar=calendar)
    return require_unchanged(expected, found, manifest=f"{path.parent.name}/{path.name}")


def manifest_path(books_file: Path, book: str) -> Path:
    """Return where the manifest of a book's data set stands: beside the file that the book is in."""
    return books_file.parent / "datasets" / f"{book}.toml"


def read_manifest(path: Path) -> Dataset:
    """Return the data set that a manifest tells of; the file is named like its book.

    Raises `DatasetUnknown` where there is no such file, `BadSetting` naming the key that is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetUnknown(
            f"{path}: no manifest of the data set, so nothing says what it should be; look at the data, then "
            f"`trading datasets manifest --book {path.stem} --write`"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: {error}; restore it, or write it anew") from error
    known = {field.name for field in fields(Dataset)} - {"book"}
    if strange := sorted(set(content) ^ known):
        which = "missing" if strange[0] in known else "nothing reads it"
        raise BadSetting(f"{path} {strange[0]}: {which}; known are {', '.join(sorted(known))}")
    hints = {name: hint for name, hint in get_type_hints(Dataset).items() if hint in {str, int, date}}
    for name in hints.keys() & known:
        _require(content, name, hints[name], path)
    costs = _sections(content, "costs", path, of=FillModel, many=False)
    files = _sections(content, "files", path, of=DataFile, many=True)
    symbols = _require(content, "symbols", list, path)
    if not all(isinstance(symbol, str) for symbol in symbols):
        raise BadSetting(f"{path} symbols: a list of texts is needed")
    plain = {name: content[name] for name in hints.keys() & known}
    return Dataset(
        book=path.stem,
        **plain,
        symbols=tuple(symbols),
        files=tuple(DataFile(**file) for file in files),
        costs=FillModel(**costs[0]),
    )


def manifest_text(found: Dataset) -> str:
    """Return the manifest of a data set: `read_manifest` of it gives an equal one."""
    plain = {
        name: value
        for name in (field.name for field in fields(Dataset))
        if name not in {"book", "symbols", "files", "costs"}
        for value in (getattr(found, name),)
    }
    lines = [ABOUT.format(book=found.book), *(f"{name} = {_toml(value)}" for name, value in plain.items())]
    lines += ["symbols = ["]
    for first in range(0, len(found.symbols), SYMBOLS_IN_A_LINE):
        of_line = found.symbols[first : first + SYMBOLS_IN_A_LINE]
        lines.append("  " + " ".join(f"{_toml(symbol)}," for symbol in of_line))
    lines += [
        "]",
        "",
        "[costs]",
        *(f"{key} = {_toml(value)}" for key, value in found.costs._asdict().items()),
    ]
    for file in found.files:
        lines += ["", "[[files]]", *(f"{key} = {_toml(value)}" for key, value in file._asdict().items())]
    return "\n".join(lines) + "\n"


def write_manifest(found: Dataset, books_file: Path) -> Path:
    """Write the manifest of a data set in place of what it had, whole or not at all; return where."""
    path = manifest_path(books_file, found.book)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".writing")
    beside.write_text(manifest_text(found), encoding="utf-8")
    beside.replace(path)
    return path


def _toml(value: str | int | date) -> str:
    if not isinstance(value, str):
        return str(value)
    # A text in JSON is one in TOML too, but for the one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _require(content: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    value = content.get(name)
    if type(value) is not kind:
        raise BadSetting(f"{path} {name} = {value!r}: must be of type {kind.__name__}")
    return value


def _sections(
    content: dict[str, Any], name: str, path: Path, *, of: type[FillModel | DataFile], many: bool
) -> list[dict[str, Any]]:
    """Return the sections of a name, each with exactly the fields of a named tuple and of their types."""
    value = content[name]
    sections = value if many else [value]
    if not isinstance(sections, list) or not all(isinstance(section, dict) for section in sections):
        raise BadSetting(f"{path} {name}: must be {'a list of sections' if many else 'a section'}")
    for section in sections:
        if strange := sorted(set(section) ^ set(of._fields)):
            raise BadSetting(f"{path} [{name}] {strange[0]}: the keys are {', '.join(of._fields)}")
        for key, hint in get_type_hints(of).items():
            _require(section, key, hint, path)
    return sections
