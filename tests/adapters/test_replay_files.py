"""Replays as they are kept: gone on with after an end at any point, the same bytes whoever makes them.

On four months of `us_five` over a turn of the year, judged from the source. What the tables mean is tested in
tests/trading.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

import pytest

from console.book_outlines import read_book_outlines
from console.desk import Desk
from console.lake_pointers import LakePointers
from console.replays import replay_of
from resources.dataset_files import dataset_of, write_manifest
from resources.journal.reader import JournalReader
from resources.profiles import Profiled
from tests.graph.desk import CONFIG, settings_in
from trading.datasets import DatasetChanged
from trading.errors import BadInput, BadSetting, LakeError
from trading.replay import Asked, request_of
from trading.replaying import run_replay
from trading.scorecard import scorecard_of

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = date(2012, 11, 1), date(2013, 2, 1)
ASKED = Asked(first_session=FIRST, last_session=LAST)

ONE_BOOK = """
[us_five]
title = "Five names from April 2012"
source = "bokeh_stocks"
calendar = "XNYS"
currency = "USD"
account = "SIM-FIVE"
deposit = "1000000"
first_session = 2012-04-02
last_session = 2013-03-01
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


class Stopped(KeyboardInterrupt):
    """Stand for a person's Ctrl-C."""


class House:
    """Run replays on a folder: a new one, or one that holds what an earlier house left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        books = folder / "books.toml"
        is_new = not books.exists()
        if is_new:
            books.write_text(ONE_BOOK, encoding="utf-8")
        self.profiled = Profiled(settings_in(folder / "state", config_dir=CONFIG, books_file=books))
        self.config = self.profiled.books["us_five"]
        if is_new:
            found = dataset_of(
                self.config,
                source=self.profiled.sources["us_five"],
                calendar=self.profiled.calendars["us_five"],
            )
            write_manifest(found, books)
        self.root = Path(self.profiled.settings.lake_root)
        self.told: list[str] = []

    def run(self, *, name="months", asked=ASKED, tell=None):
        return run_replay(
            self.config,
            request_of(asked, self.config, name=name),
            data_sets=self.profiled.data_sets["us_five"],
            calendar=self.profiled.calendars["us_five"],
            store=self.profiled.replay_stores["us_five"],
            trials=None,
            tell=tell or self.told.append,
            clock=perf_counter,
        )

    def bytes_of(self) -> dict[str, str]:
        """Give the digest of every file of replays by its place below the lake."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Give a house in which one replay ran to its end, and that: to look at, not to change."""
    house = House(tmp_path_factory.mktemp("undisturbed"))
    return house, house.run()


@pytest.fixture
def replayed(tmp_path, undisturbed):
    """Give a house on a copy of that one's files, as the next command finds them, and that replay."""
    house, finished = undisturbed
    # The journal holds nothing yet, and is made anew: nobody copies a database that is open.
    shutil.copytree(house.folder, tmp_path, ignore=shutil.ignore_patterns("journal.db*"), dirs_exist_ok=True)
    return House(tmp_path), finished


def stop_after(chunks):
    """Give what interrupts a replay when it tells of a chunk."""
    seen = []

    def tell(line):
        seen.append(line)
        if len(seen) == chunks:
            raise Stopped

    return tell


def desk_of(house):
    """Give the desk that an operator looks at a house's replays from."""
    settings = house.profiled.settings
    return Desk(
        settings=settings,
        books=read_book_outlines(Path(settings.books_file)),
        journal=JournalReader(settings.journal_url),
        lake=LakePointers(str(house.root)),
    )


def test_every_table_of_every_year_is_a_file_that_the_manifest_names_by_its_hash(undisturbed):
    house, finished = undisturbed
    files = house.bytes_of()

    assert {(file.table, file.chunk) for file in finished.files} == {
        (table, year) for table in finished.replayed.tables for year in ("2012", "2013")
    }
    assert all(files[file.path] == file.sha for file in finished.files)
    assert sum(file.rows for file in finished.files if file.table == "sessions") == 63
    folder = f"us_five/replays/months/{finished.replay_sha[:16]}"
    manifest = json.loads((house.root / folder / "manifest.json").read_text())
    assert manifest["replay_sha"] == finished.replay_sha
    assert manifest["summary"]["checks"] == dict.fromkeys(manifest["summary"]["checks"], True)
    assert len(house.told) == 2


def test_what_was_kept_is_read_back_as_it_was(undisturbed):
    house, finished = undisturbed

    manifest, replayed = house.profiled.replay_stores["us_five"].read(finished.files)

    assert manifest["data_sha"] == finished.data.sha
    for name, table in finished.replayed.tables.items():
        for column, values in table.items():
            assert (replayed[name][column] == values).all()


def test_a_replay_that_was_stopped_goes_on_from_its_last_whole_year_to_the_same_bytes(tmp_path, undisturbed):
    house = House(tmp_path)
    with pytest.raises(Stopped):
        house.run(tell=stop_after(1))
    before = house.bytes_of()
    assert not [path for path in before if path.endswith("manifest.json")]
    stopped = replay_of(desk_of(house), "months")

    finished = house.run()

    assert (stopped.is_whole, stopped.years_kept, stopped.years) == (False, 1, 2)
    assert stopped.progress == "1 of 2 years"
    assert (finished.kept_chunks, finished.chunks) == (1, 2)
    assert house.told[0].endswith("2012 kept already")
    assert house.bytes_of() == undisturbed[0].bytes_of()
    assert before.items() <= house.bytes_of().items()


def test_a_replay_again_computes_nothing_and_changes_nothing(replayed):
    house, _ = replayed
    files = house.bytes_of()

    again = house.run()

    assert again.kept_chunks == again.chunks
    assert house.bytes_of() == files


@pytest.mark.parametrize("harm", ["altered", "missing"])
def test_a_year_whose_file_is_not_what_it_was_is_made_again(undisturbed, replayed, harm):
    house, finished = replayed
    fills = house.root / next(file.path for file in finished.files if file.table == "fills")
    if harm == "missing":
        fills.unlink()
    else:
        fills.write_bytes(fills.read_bytes()[:-1] + b"!")
    store = house.profiled.replay_stores["us_five"]
    with pytest.raises(LakeError, match=r"fills/2012\.parquet"):
        store.read(finished.files)

    again = house.run()

    assert again.kept_chunks == 1
    assert house.bytes_of() == undisturbed[0].bytes_of()


@pytest.mark.parametrize("hides", [True, False])
def test_a_table_is_held_to_the_hash_that_the_lake_has_of_it_whatever_the_manifest_says(replayed, hides):
    house, finished = replayed
    told = next(file for file in finished.files if file.table == "fills")
    other = next(file for file in finished.files if file.table == "fills" and file != told)
    content = (house.root / other.path).read_bytes()
    (house.root / told.path).write_bytes(content)
    if hides:
        (manifest,) = house.root.rglob("manifest.json")
        manifest.write_text(manifest.read_text().replace(told.sha, other.sha))

    with pytest.raises(LakeError, match=r"fills/2012\.parquet"):
        house.profiled.replay_stores["us_five"].read(finished.files)


@pytest.mark.parametrize("harm", ["{}", "[]", "{", None])
def test_a_manifest_that_is_none_is_told_and_made_again(replayed, harm):
    house, finished = replayed
    (manifest,) = house.root.rglob("manifest.json")
    was = manifest.read_text()
    manifest.unlink() if harm is None else manifest.write_text(harm)

    with pytest.raises(LakeError, match=r"manifest\.json: .*run the replay again"):
        house.profiled.replay_stores["us_five"].read(finished.files)
    house.run()
    assert manifest.read_text() == was


@pytest.mark.parametrize("harm", ["{}", "[]", "{"])
def test_a_name_that_tells_no_replay_is_named_by_its_file_until_it_is_replayed_again(replayed, harm):
    """Each night asks which replays are whole: a file that says nothing must not end that in a trace."""
    house, finished = replayed
    (begun,) = house.root.rglob("begun.json")
    begun.write_text(harm)

    with pytest.raises(LakeError, match=r"begun\.json: .*run the .*replay"):
        house.profiled.replay_stores["us_five"].whole()
    house.run()
    assert house.profiled.replay_stores["us_five"].whole() == {finished.request.name: finished.replay_sha}


@pytest.mark.parametrize(
    "lost",
    ["all", "files", "state", "currency", "a table", "the book's cash", "JSON", "a close", "record_sha"],
)
def test_a_year_whose_record_is_damaged_is_made_again(undisturbed, replayed, lost):
    house, _ = replayed
    (path,) = house.root.rglob("kept/2012.json")
    record = json.loads(path.read_text())
    match lost:
        case "all":
            record = {}
        case "a table":
            del record["files"][0]
        case "the book's cash":
            record["state"]["book"] = []
        case "a close":
            record["state"]["equities"][0] += 1
        case "JSON":
            record = []
        case _:
            del record[lost]
    path.write_text(json.dumps(record))

    again = house.run()

    assert again.kept_chunks == 1
    assert house.bytes_of() == undisturbed[0].bytes_of()


def test_a_name_is_one_requests(replayed):
    house, _ = replayed

    with pytest.raises(BadInput, match=r"replay months: the name is another request's, with last_session"):
        house.run(asked=Asked(first_session=FIRST, last_session=date(2013, 1, 31)))


def test_a_name_is_free_while_nothing_is_kept_of_the_request_that_had_it(tmp_path):
    house = House(tmp_path)
    mistyped = replace(ASKED, strategies=("momentum:full=0",))
    with pytest.raises(BadSetting, match="give another value there"):
        house.run(asked=mistyped)

    corrected = house.run()

    assert corrected.files
    with pytest.raises(BadInput, match=r"replay months: the name is another request's, with strategies"):
        house.run(asked=mistyped)


def test_other_code_makes_another_replay_beside_the_old_one(replayed):
    house, first = replayed
    house.profiled.replay_stores["us_five"].code_sha = "edited"

    second = house.run()

    assert second.kept_chunks == 0
    assert second.replay_sha != first.replay_sha
    assert (house.root / first.files[0].path).is_file()


DECIDED_BY_THE_TREE = """
from datetime import date
from time import perf_counter
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.replay import Asked, request_of
from trading.replaying import run_replay

profiled = Profiled(load_settings())
config = profiled.books["us_five"]
done = run_replay(
    config,
    request_of(Asked(first_session=date(2012, 12, 3), last_session=date(2013, 1, 31)), config, name="edited"),
    data_sets=profiled.data_sets["us_five"],
    calendar=profiled.calendars["us_five"],
    store=profiled.replay_stores["us_five"],
    trials=None,
    tell=lambda _: None,
    clock=perf_counter,
)
sessions = done.replayed["sessions"]
print(done.kept_chunks, *(int(sessions[name].sum()) for name in ("intents", "blocked", "fills")))
"""


def test_an_edited_guard_changes_the_next_replay_whatever_is_kept(tmp_path):
    """Kept are years, panels and Python's own compiled files; each run is a process, as a command is."""
    House(tmp_path)
    tree = tmp_path / "tree"
    for package in ("trading", "resources"):
        shutil.copytree(ROOT / package, tree / package)
    guards = tree / "trading" / "guards.py"
    whole = guards.read_text("utf-8")
    shared = whole.index("def bounded_notional(")
    edited = whole[shared:].replace("if quantity > largest:", "if quantity > 0:", 1)
    assert edited != whole[shared:]

    def replayed() -> list[int]:
        told = subprocess.run(
            [sys.executable, "-c", DECIDED_BY_THE_TREE],
            cwd=tree,
            env={
                "PYTHONPATH": str(tree),
                "TRADING_STATE_DIR": str(tmp_path / "state"),
                "TRADING_CONFIG_DIR": str(CONFIG),
                "TRADING_BOOKS_FILE": str(tmp_path / "books.toml"),
            },
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        return [int(number) for number in told.split()]

    kept, intents, blocked, fills = replayed()
    assert (kept, blocked < intents, fills > 0) == (0, True, True)
    guards.write_text(whole[:shared] + edited, "utf-8")
    kept, intents_edited, blocked_edited, fills_edited = replayed()
    assert (kept, fills_edited) == (0, 0)
    assert blocked_edited == intents_edited > 0
    guards.write_text(whole, "utf-8")
    assert replayed() == [2, intents, blocked, fills]


def test_a_kept_panel_that_was_altered_is_not_used(replayed):
    house, _ = replayed
    (panel,) = (house.profiled.settings.profile_dir / "panels").iterdir()
    closes = bytearray((panel / "close.npy").read_bytes())
    closes[-3] ^= 1
    (panel / "close.npy").write_bytes(closes)

    with pytest.raises(LakeError, match=r"close\.npy is not what panel\.json says, so it is not used"):
        house.run(name="again")


def test_a_panel_is_made_once_and_again_where_its_source_is_judged_otherwise(replayed):
    house, _ = replayed
    panels = house.profiled.settings.profile_dir / "panels"
    (panel,) = panels.iterdir()
    made = (panel / "close.npy").stat().st_mtime_ns

    house.run(name="again")
    assert (panel / "close.npy").stat().st_mtime_ns == made
    house.profiled.quality = type(house.profiled.quality)(
        limits=house.profiled.quality_limits, reviewed=frozenset({"0123"}), journal=house.profiled.journal
    )
    del house.profiled.data_sets
    house.run(name="released")
    assert len(list(panels.iterdir())) == 2


def test_a_tear_sheet_is_the_same_page_each_time_and_escapes_what_it_is_told(undisturbed):
    house, finished = undisturbed
    card = scorecard_of(finished.replayed, actions=finished.data.actions)
    sheets = house.profiled.tear_sheets

    page = sheets.page("<b>", card, finished.replayed)
    assert page == sheets.page("<b>", card, finished.replayed)
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "<dt>beta</dt><dd>no data</dd>" in page  # without a benchmark there is none
    assert "<td>2012</td>" in page


@pytest.mark.parametrize(
    ("sessions_left", "told"), [(0, ": no data.</figcaption>"), (3, "no data at the end.")]
)
def test_a_book_that_came_to_nothing_has_a_page_that_says_no_data(undisturbed, sessions_left, told):
    house, finished = undisturbed
    sessions = finished.replayed["sessions"]
    equity = sessions["equity_micros"].copy()
    equity[sessions_left:] = 0
    tables = {**finished.replayed.tables, "sessions": {**sessions, "equity_micros": equity}}
    ruined = replace(finished.replayed, tables=tables)
    card = scorecard_of(ruined, actions=finished.data.actions)

    page = house.profiled.tear_sheets.page("ruin", card, ruined)
    assert "<td>no data</td>" in page
    assert told in page


def test_a_source_that_is_not_what_its_manifest_says_is_not_replayed(tmp_path):
    house = House(tmp_path)
    (manifest,) = tmp_path.rglob("us_five.toml")
    pinned = manifest.read_text("utf-8")
    manifest.write_text(pinned.replace("first_session = 2012-04-02", "first_session = 2012-04-03"), "utf-8")

    with pytest.raises(DatasetChanged, match="data set us_five: first_session is 2012-04-02"):
        house.run()
    assert not house.root.exists()


FILES_OF_A_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.adapters.test_replay_files import House
house = House(Path(sys.argv[2]))
house.run()
print(sorted(house.bytes_of().items()))
"""


@pytest.mark.parametrize(("seed", "zone"), [("1", "Asia/Tokyo"), ("2", "America/New_York")])
def test_the_bytes_depend_on_no_seed_of_hashes_and_no_time_zone(tmp_path, undisturbed, seed, zone):
    told = subprocess.run(
        [sys.executable, "-c", FILES_OF_A_RUN, str(ROOT), str(tmp_path)],
        env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone},
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert told.strip() == str(sorted(undisturbed[0].bytes_of().items()))
