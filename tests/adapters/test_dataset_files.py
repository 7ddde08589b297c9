"""Manifests pin the files: what is in the box is as they say, and a copy with one byte flipped is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from resources.dataset_files import (
    dataset_of,
    manifest_path,
    manifest_text,
    read_manifest,
    verified_dataset,
    write_manifest,
)
from resources.market_data.bar_folder import BarFolder
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.books import BookConfig
from trading.datasets import DataFile, Dataset, DatasetChanged, DatasetUnknown
from trading.errors import BadQuotes, BadSetting

ROOT = Path(__file__).parents[2]
FILES = {
    "acme.csv": "date,open,high,low,close,volume\n"
    "2013-02-27,20.10,20.40,20.00,20.30,120000\n2013-02-28,20.30,20.90,20.20,20.80,150000\n",
    "bolt.csv": "date,open,high,low,close,volume\n2013-02-28,55.00,55.80,54.90,55.50,90000\n",
    "actions.csv": "symbol,effective_on,kind,numerator,denominator,dividend\n"
    "BOLT,2013-02-28,dividend,,,0.25\n",
}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Profiled:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADING_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
        return Profiled(load_settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bars"
    made.mkdir()
    for name, text in FILES.items():
        (made / name).write_text(text, "utf-8")
    return made


@pytest.fixture
def book(profiled: Profiled) -> BookConfig:
    return replace(
        profiled.books["us_five"],
        name="my_bars",
        source="folder",
        first_session=date(2013, 2, 27),
        last_session=date(2013, 2, 28),
    )


def found_in(folder: Path, book: BookConfig, profiled: Profiled) -> Dataset:
    return dataset_of(book, source=BarFolder(folder), calendar=profiled.calendars["us_five"])


def verified_in(folder: Path, book: BookConfig, profiled: Profiled, config_dir: Path) -> Dataset:
    return verified_dataset(
        book,
        source=BarFolder(folder),
        calendar=profiled.calendars["us_five"],
        books_file=config_dir / "books.toml",
    )


@pytest.mark.parametrize("name", ["us_five", "us_wide"])
def test_what_is_in_the_box_is_as_its_manifest_says(profiled: Profiled, name: str) -> None:
    held = profiled.datasets[name]

    assert held == read_manifest(manifest_path(ROOT / "config" / "books.toml", name))
    assert held.sessions > 250
    assert len(held.sha) == 64


@pytest.mark.parametrize("name", ["us_five", "us_wide"])
def test_a_manifest_in_the_box_is_as_it_would_be_written(name: str) -> None:
    path = manifest_path(ROOT / "config" / "books.toml", name)

    assert path.read_text("utf-8") == manifest_text(read_manifest(path))


def test_a_folder_is_every_file_of_it_with_what_the_range_holds(
    folder: Path, book: BookConfig, profiled: Profiled
) -> None:
    found = found_in(folder, book, profiled)

    assert [file.name for file in found.files] == sorted(FILES)
    assert [file.size_bytes for file in found.files] == [len(FILES[name]) for name in sorted(FILES)]
    assert (found.sessions, found.symbols, found.actions) == (2, ("ACME", "BOLT"), 1)


def test_what_is_unchanged_is_let_through(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path
) -> None:
    found = found_in(folder, book, profiled)
    write_manifest(found, tmp_path / "books.toml")

    held = verified_in(folder, book, profiled, tmp_path)

    assert held == found
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["my_bars.toml"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_refused_whichever_file_it_is_in(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path, name: str
) -> None:
    before = found_in(folder, book, profiled)
    write_manifest(before, tmp_path / "books.toml")
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    content = bytearray((copied / name).read_bytes())
    place = content.rindex(b"0")
    content[place] ^= 1
    (copied / name).write_bytes(content)

    with pytest.raises(DatasetChanged) as refused:
        verified_in(copied, book, profiled, tmp_path)

    (old,) = (file for file in before.files if file.name == name)
    (new,) = (file for file in BarFolder(copied).files() if file.name == name)
    told = str(refused.value)
    assert old.sha256 != new.sha256
    assert f"file {name} is sha256 {new.sha256}" in told
    assert f"datasets/my_bars.toml says sha256 {old.sha256}" in told
    assert "trading datasets manifest --book my_bars --write" in told


def test_a_renamed_an_added_and_a_missing_file_are_refused(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path
) -> None:
    write_manifest(found_in(folder, book, profiled), tmp_path / "books.toml")

    (folder / "more.csv").write_text(FILES["bolt.csv"], "utf-8")
    with pytest.raises(DatasetChanged, match=r"file more\.csv is sha256 .* says nothing"):
        verified_in(folder, book, profiled, tmp_path)
    (folder / "more.csv").unlink()
    (folder / "bolt.csv").rename(folder / "nut.csv")
    with pytest.raises(DatasetChanged, match=r"file bolt\.csv is nothing"):
        verified_in(folder, book, profiled, tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(BadQuotes, match="does not exist"):
        verified_in(folder, book, profiled, tmp_path)


def test_costs_a_calendar_or_a_range_that_changed_are_refused(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path
) -> None:
    write_manifest(found_in(folder, book, profiled), tmp_path / "books.toml")

    dearer = replace(book, costs=book.costs._replace(slippage_bps=6))
    with pytest.raises(DatasetChanged, match=r"costs\.slippage_bps is 6, .* says 5"):
        verified_in(folder, dearer, profiled, tmp_path)
    with pytest.raises(DatasetChanged, match="last_session is 2013-02-27"):
        verified_in(folder, replace(book, last_session=date(2013, 2, 27)), profiled, tmp_path)
    other = replace(profiled.calendars["us_five"], early_closes={})
    longer = replace(book, first_session=date(2012, 7, 3))
    write_manifest(found_in(folder, longer, profiled), tmp_path / "books.toml")
    with pytest.raises(DatasetChanged, match="calendar_sha is "):
        verified_dataset(longer, source=BarFolder(folder), calendar=other, books_file=tmp_path / "books.toml")


def test_a_data_set_without_a_manifest_is_refused_with_what_to_do(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path
) -> None:
    with pytest.raises(DatasetUnknown, match="trading datasets manifest --book my_bars --write"):
        verified_in(folder, book, profiled, tmp_path)


def test_a_manifest_reads_back_as_it_was_whatever_a_file_is_called(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path
) -> None:
    strange = (DataFile('a "b" \\ \x7f \u2028 é \U0001f600.csv', "aa", 1), DataFile("z.csv", "bb", 2))
    found = replace(
        found_in(folder, book, profiled), files=strange, symbols=tuple(f"S{i:02}" for i in range(40))
    )

    path = write_manifest(found, tmp_path / "books.toml")

    assert read_manifest(path) == found


WRONG = {
    "sessions = 2": ("sessions = 2.0", "sessions = 2.0: must be of type int"),
    "currency = ": ("curency = ", "curency: nothing reads it"),
    "actions = 1\n": ("", "actions: missing"),
    "first_session = 2013-02-27": ('first_session = "2013-02-27"', "must be of type date"),
    "slippage_bps = 5": ("slippage_bps = true", "slippage_bps = True: must be of type int"),
    "commission_bps = 1\n": ("", r"\[costs\] commission_bps: the keys are"),
    "[[files]]": ("[files]", "files: must be a list of sections"),
    "size_bytes": ("size", r"\[files\] size: the keys are"),
    '"ACME",': ("3,", "symbols: a list of texts"),
    "[costs]": ("[costs", "restore it, or write it anew"),
}


@pytest.mark.parametrize("right", WRONG)
def test_a_manifest_that_is_wrong_is_refused_by_file_and_key(
    folder: Path, book: BookConfig, profiled: Profiled, tmp_path: Path, right: str
) -> None:
    (folder / "actions.csv").write_text(FILES["actions.csv"], "utf-8")
    only_one = replace(found_in(folder, book, profiled), files=(DataFile("bars.csv", "aa", 1),))
    path = write_manifest(only_one, tmp_path / "books.toml")
    wrong, told = WRONG[right]
    text = path.read_text("utf-8")
    assert right in text

    path.write_text(text.replace(right, wrong, 1), "utf-8")

    with pytest.raises(BadSetting, match=told) as refused:
        read_manifest(path)
    assert str(path) in str(refused.value)


# ------------------------------------------------------------------------------------------------ replays

FOLDER_BOOK = """
[my_bars]
title = "My own bars"
source = "folder"
path = "bars"
calendar = "XNYS"
currency = "USD"
account = "SIM-MINE"
deposit = "100000"
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


@pytest.fixture
def opened(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Profiled]:
    """Give the desk of a project with a folder of bars, anew at each call as in another process."""
    assert folder == tmp_path / "bars"
    config = Path(shutil.copytree(ROOT / "config", tmp_path / "config"))
    with (config / "books.toml").open("a", encoding="utf-8") as books:
        books.write(FOLDER_BOOK)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))
    return lambda: Profiled(load_settings())


def test_a_replay_of_a_folder_is_given_no_bar_once_a_byte_was_flipped(
    opened: Callable[[], Profiled], folder: Path
) -> None:
    desk = opened()
    asked = desk.books["my_bars"].first_session, desk.books["my_bars"].last_session
    with pytest.raises(DatasetUnknown):
        opened().data_sets["my_bars"].data_set(*asked)
    found = dataset_of(
        desk.books["my_bars"], source=desk.sources["my_bars"], calendar=desk.calendars["my_bars"]
    )
    write_manifest(found, Path(desk.settings.books_file))
    assert opened().data_sets["my_bars"].data_set(*asked).panel.symbols == ("ACME", "BOLT")

    text = (folder / "acme.csv").read_text("utf-8")
    (folder / "acme.csv").write_text(text.replace("20.30,120000", "20.31,120000"), "utf-8")

    with pytest.raises(DatasetChanged, match=r"file acme\.csv is sha256"):
        opened().data_sets["my_bars"].data_set(*asked)


def test_a_replay_of_a_book_whose_costs_were_lowered_since_is_refused(
    opened: Callable[[], Profiled], tmp_path: Path
) -> None:
    books = tmp_path / "config" / "books.toml"
    books.write_text(books.read_text("utf-8").replace("slippage_bps = 5 ", "slippage_bps = 0 ", 1), "utf-8")

    with pytest.raises(DatasetChanged, match=r"costs\.slippage_bps is 0"):
        opened().data_sets["us_five"].data_set(date(2013, 2, 27), date(2013, 2, 28))
