"""The lake: content-addressed, immutable, atomic; in a folder and in an object store."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import fsspec
import pyarrow as pa
import pytest
from dagster_duckdb import DuckDBResource

from resources.lake.accepted import LakeLineage
from resources.lake.codec import table_of
from resources.lake.query import price_history, query
from resources.lake.store import Lake
from trading.errors import BadInput, LakeError

ASSET = ("us_five", "wishes")
DAY = "2013-02-28"


class Wished(NamedTuple):
    symbol: str
    weight: int


ROWS = (Wished("AAPL", 10), Wished("IBM", 20))
OTHER = (Wished("AAPL", 30),)


@pytest.fixture(params=["folder", "objects"])
def lake(request, tmp_path):
    if request.param == "folder":
        yield Lake(tmp_path / "lake")
        return
    root = f"memory://lake-{uuid4().hex}"
    yield Lake(root)
    if fsspec.filesystem("memory").exists(root):
        fsspec.filesystem("memory").rm(root, recursive=True)


@pytest.fixture
def folder(tmp_path):
    return Lake(tmp_path / "lake")


def files_of(lake):
    root = Path(str(lake.root))
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def file_of(lake, pointer):
    return Path(lake.place(ASSET, DAY, pointer.sha))


def test_rows_come_back_with_the_pointer_to_them(lake):
    written = lake.write_rows(ASSET, DAY, Wished, ROWS, inputs_sha="f" * 64, extra={"unfit_reason": "stale"})

    rows, pointer = lake.read_rows(ASSET, DAY, Wished)
    assert rows == ROWS
    assert pointer == written == lake.pointer(ASSET, DAY)
    assert (pointer.rows, pointer.inputs_sha, pointer.extra) == (2, "f" * 64, {"unfit_reason": "stale"})
    assert pointer.previous_sha is None


def test_an_empty_table_is_a_table(lake):
    lake.write_rows(ASSET, DAY, Wished, ())

    assert lake.read_rows(ASSET, DAY, Wished)[0] == ()


def test_the_content_hash_is_known_before_anything_is_written(lake):
    expected = lake.sha_of(Wished, ROWS)

    assert lake.partitions(ASSET) == ()
    assert lake.write_rows(ASSET, DAY, Wished, ROWS).sha == expected


def test_equal_rows_are_equal_bytes_whatever_way_the_table_was_put_together(folder):
    rows = [Wished(f"S{number}", number) for number in range(5_000)]
    whole = table_of(Wished, rows)
    pieces = pa.concat_tables([table_of(Wished, rows[at : at + 7]) for at in range(0, len(rows), 7)])
    marked = whole.replace_schema_metadata({"pandas": "{}", "written": "today"})

    shas = {
        folder.write(ASSET, key, table).sha for key, table in zip("abc", (whole, pieces, marked), strict=True)
    }

    assert shas == {folder.sha_of(Wished, rows)}


def test_another_process_writes_the_same_bytes(folder, tmp_path):
    script = (
        "from resources.lake.store import Lake; from trading.quotes import Quote; from datetime import *; "
        "at = datetime(2013, 2, 28, 21, tzinfo=timezone.utc); "
        "q = Quote('AAPL', date(2013, 2, 28), 1, 2, 3, 4, 5, 's', 'f', at); "
        "print(Lake('unused').sha_of(Quote, [q]))"
    )
    shas = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Seoul"))
    }

    assert len(shas) == 1


def test_the_same_again_changes_no_byte(folder):
    folder.write_rows(ASSET, DAY, Wished, ROWS, inputs_sha="f" * 64)
    before = files_of(folder)

    folder.write_rows(ASSET, DAY, Wished, ROWS, inputs_sha="f" * 64)

    assert files_of(folder) == before
    assert sorted(before) == sorted(
        f"us_five/wishes/{DAY}/{name}" for name in (f"{folder.sha_of(Wished, ROWS)}.parquet", "current.json")
    )


def test_a_new_version_leaves_the_old_one_readable(lake):
    first = lake.write_rows(ASSET, DAY, Wished, ROWS, extra={"note": "first"})
    second = lake.write_rows(ASSET, DAY, Wished, OTHER)

    assert lake.read_rows(ASSET, DAY, Wished)[0] == OTHER
    assert lake.read_rows(ASSET, DAY, Wished, sha=first.sha)[0] == ROWS
    assert second.previous_sha == first.sha
    assert lake.versions(ASSET, DAY) == (second.current, first.current)


def test_the_same_rows_from_other_inputs_are_one_file_and_two_versions(folder):
    folder.write_rows(ASSET, DAY, Wished, ROWS, inputs_sha="a" * 64)
    folder.write_rows(ASSET, DAY, Wished, ROWS, inputs_sha="b" * 64)

    assert [version.inputs_sha[0] for version in folder.versions(ASSET, DAY)] == ["b", "a"]
    assert len([name for name in files_of(folder) if name.endswith(".parquet")]) == 1


def test_partitions_are_listed_by_key_whatever_stands_in_it(lake):
    keys = ["..", "2013-02-27", "2013-02-28", "a/b", "été 100%"]
    for key in keys:
        lake.write_rows(ASSET, key, Wished, ROWS)

    assert lake.partitions(ASSET) == tuple(sorted(keys))
    assert all(lake.read_rows(ASSET, key, Wished)[0] == ROWS for key in keys)


def test_an_asset_without_partitions_has_one_table(lake):
    lake.write_rows(ASSET, None, Wished, ROWS)

    assert lake.read_rows(ASSET, None, Wished)[0] == ROWS
    assert lake.partitions(ASSET) == ()


def test_what_was_never_made_has_no_pointer_and_is_refused_by_name(lake):
    assert lake.pointer(ASSET, DAY) is None
    assert lake.versions(ASSET, DAY) == ()
    with pytest.raises(LakeError, match=f"us_five/wishes {DAY}: not materialized yet"):
        lake.read(ASSET, DAY)


@pytest.mark.parametrize(
    "asset", [("us_five", ".."), ("", "wishes"), ("a/b", "wishes"), ("us_five", ".hidden")]
)
def test_a_name_that_would_climb_out_of_the_lake_is_refused(folder, asset):
    with pytest.raises(BadInput, match="letters, digits"):
        folder.write_rows(asset, DAY, Wished, ROWS)


ALTERED = "content does not match its name; the file was altered or is corrupt; restore it or re-materialize"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_parquet(path):
    path.write_text("symbol,weight\nAAPL,10\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            truncated,
            ALTERED,
        ),
        (
            flipped,
            ALTERED,
        ),
        (
            no_parquet,
            ALTERED,
        ),
        (Path.unlink, "the file is missing; restore it or re-materialize"),
    ],
)
def test_a_damaged_file_is_named_and_healed_by_making_it_again(folder, damage, told):
    pointer = folder.write_rows(ASSET, DAY, Wished, ROWS)
    # What was decoded before helps nobody: every read asks the file.
    assert folder.read_rows(ASSET, DAY, Wished)[0] == ROWS
    damage(file_of(folder, pointer))

    with pytest.raises(LakeError, match=told) as failure:
        folder.read_rows(ASSET, DAY, Wished)
    assert str(file_of(folder, pointer)) in str(failure.value)

    assert folder.write_rows(ASSET, DAY, Wished, ROWS) == pointer
    assert folder.read_rows(ASSET, DAY, Wished)[0] == ROWS


def test_a_file_that_is_named_rightly_and_is_no_parquet_is_refused(folder):
    content = b"not a table"
    pointer = folder.write_rows(ASSET, DAY, Wished, ROWS)
    forged = pa.py_buffer(content)
    sha = hashlib.sha256(forged).hexdigest()
    file_of(folder, pointer).with_name(f"{sha}.parquet").write_bytes(content)

    with pytest.raises(LakeError, match="not a Parquet file"):
        folder.read(ASSET, DAY, sha=sha)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 99, "current": {}, "earlier": []}']
)
def test_a_damaged_pointer_is_named(folder, text):
    folder.write_rows(ASSET, DAY, Wished, ROWS)
    (folder.root / "us_five" / "wishes" / DAY / "current.json").write_text(text)

    with pytest.raises(LakeError, match=r"current.json: no pointer of format 1"):
        folder.read(ASSET, DAY)


def test_a_table_is_made_once_its_pointer_can_be_read(folder):
    tables = LakeLineage(lake=folder, assets=())
    before = tables.is_made("us_five", "wishes", DAY)
    folder.write_rows(ASSET, DAY, Wished, ROWS)
    made = tables.is_made("us_five", "wishes", DAY)
    (folder.root / "us_five" / "wishes" / DAY / "current.json").write_text("{")

    assert (before, made) == (False, True)
    assert not tables.is_made("us_five", "wishes", DAY)


def test_rows_of_another_type_are_refused_with_the_partition(folder):
    class Renamed(NamedTuple):
        symbol: str
        share: float

    folder.write_rows(ASSET, DAY, Wished, ROWS)

    with pytest.raises(LakeError, match=f"us_five/wishes {DAY}: table of Renamed: column share is missing"):
        folder.read_rows(ASSET, DAY, Renamed)


class FullDisk:
    """Let some bytes through and then none, as the kernel does for a process with a file size limit."""

    def __init__(self, size):
        self._limit = size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def __enter__(self):
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        signal.signal(signal.SIGXFSZ, self._handler)


@pytest.mark.parametrize("extra", [{}, {"note": "x" * 5000}], ids=["while the table", "while the pointer"])
def test_a_full_disk_changes_nothing(folder, extra):
    folder.write_rows(ASSET, DAY, Wished, ROWS)
    before = files_of(folder)
    size = 100 if not extra else 3000

    with FullDisk(size), pytest.raises(LakeError, match=rf"{DAY}: .*; free space, nothing was changed"):
        folder.write_rows(ASSET, DAY, Wished, OTHER, extra=extra)

    assert files_of(folder) == before
    assert folder.read_rows(ASSET, DAY, Wished)[0] == ROWS


def test_a_lake_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "lake").write_text("a file, not a folder", encoding="utf-8")

    with pytest.raises(LakeError, match="nothing was changed"):
        Lake(tmp_path / "lake").write_rows(ASSET, DAY, Wished, ROWS)


KILLED = """
import os, sys
from resources.lake import files
from resources.lake.store import Lake
from tests_row import Wished

calls = 0
at = int(sys.argv[2])

def counted(real):
    def call(*args, **options):
        global calls
        if calls == at:
            os._exit(9)
        calls += 1
        return real(*args, **options)
    return call

os.fsync = counted(os.fsync)
files.Path.replace = counted(files.Path.replace)
Lake(sys.argv[1]).write_rows(("us_five", "wishes"), "2013-02-28", Wished, [Wished("AAPL", 30)])
"""


def test_killed_at_any_point_the_lake_holds_the_old_table_or_the_new_and_heals(tmp_path):
    (tmp_path / "tests_row.py").write_text(
        "from typing import NamedTuple\nclass Wished(NamedTuple):\n    symbol: str\n    weight: int\n",
        encoding="utf-8",
    )
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    lake = Lake(tmp_path / "healed")
    lake.write_rows(ASSET, DAY, Wished, ROWS)
    lake.write_rows(ASSET, DAY, Wished, OTHER)
    healed = files_of(lake)
    outcomes = []
    for at in range(20):
        torn = Lake(tmp_path / f"torn-{at}")
        torn.write_rows(ASSET, DAY, Wished, ROWS)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "killed.py"), str(torn.root), str(at)],
            check=False,
            env={**os.environ, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{tmp_path}"},
        )

        outcomes.append(torn.read_rows(ASSET, DAY, Wished)[0])
        torn.write_rows(ASSET, DAY, Wished, OTHER)
        assert files_of(torn) == healed
        if done.returncode == 0:
            break
        assert done.returncode == 9

    assert (
        len(outcomes) > 6
    )  # two files, each with a sync, a rename and the folder's sync; and the run that lived
    assert (outcomes[0], outcomes[-1]) == (ROWS, OTHER)
    assert all(outcome in (ROWS, OTHER) for outcome in outcomes)


def test_what_a_dead_writer_left_is_seen_by_nobody_and_removed_by_the_next(folder):
    folder.write_rows(ASSET, DAY, Wished, ROWS)
    left_over = folder.root / "us_five" / "wishes" / DAY / f".tmp-{'0' * 64}.parquet"
    left_over.write_bytes(b"half")

    assert folder.read_rows(ASSET, DAY, Wished)[0] == ROWS
    folder.write_rows(ASSET, DAY, Wished, OTHER)

    assert not left_over.exists()


def test_many_writers_of_one_partition_lose_no_version(folder):
    def write(weight):
        folder.write_rows(ASSET, DAY, Wished, [Wished("AAPL", weight)])

    writers = [threading.Thread(target=write, args=(weight,)) for weight in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    versions = folder.versions(ASSET, DAY)
    assert len({version.sha for version in versions}) == len(versions) == 8
    assert not [name for name in files_of(folder) if ".tmp-" in name]


@pytest.fixture
def two_days(lake):
    lake.write_rows(ASSET, "2013-02-27", Wished, ROWS)
    lake.write_rows(ASSET, "2013-02-28", Wished, OTHER)
    return lake


def test_duckdb_reads_the_current_tables_with_their_partition(two_days):
    two_days.write_rows(ASSET, "2013-02-28", Wished, [Wished("GOOG", 7)])

    found = query(
        two_days,
        "select partition, symbol from wishes where weight < $most order by all",
        tables={"wishes": ASSET},
        parameters={"most": 15},
    )

    assert found.to_pylist() == [
        {"partition": "2013-02-27", "symbol": "AAPL"},
        {"partition": "2013-02-28", "symbol": "GOOG"},
    ]


def test_duckdb_reads_through_dagsters_resource_as_well(two_days):
    found = query(
        two_days,
        "select sum(weight)::int as total from wishes",
        tables={"wishes": ASSET},
        first="2013-02-28",
        connect=DuckDBResource(database=":memory:").get_connection,
    )

    assert found.to_pylist() == [{"total": 30}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("selec 1", "query: Parser Error: syntax error"),
        ("select nothing from wishes", 'Referenced column "nothing" not found'),
        ("select * from read_csv('/etc/hostname')", "file system operations are disabled"),
        ("select * from ROWS_HERE", "Table with name ROWS_HERE does not exist"),
        ("-- a remark", "asks for nothing; write a select"),
    ],
)
def test_a_wrong_query_is_told_in_duckdbs_words_and_reaches_nothing_else(two_days, sql, told):
    ROWS_HERE = table_of(Wished, ROWS)  # noqa: N806, F841 - DuckDB would find a variable by its name

    with pytest.raises(BadInput, match=told):
        query(two_days, sql, tables={"wishes": ASSET})


def test_a_query_over_nothing_says_so(lake):
    with pytest.raises(LakeError, match="us_five/wishes: nothing is materialized; materialize it first"):
        query(lake, "select 1", tables={"wishes": ASSET})


def test_a_query_verifies_what_it_reads(folder):
    flipped(file_of(folder, folder.write_rows(ASSET, DAY, Wished, ROWS)))

    with pytest.raises(LakeError, match="content does not match its name"):
        query(folder, "select 1", tables={"wishes": ASSET})


def test_the_history_of_a_symbol_is_read_between_two_sessions(folder):
    class Bar(NamedTuple):
        symbol: str
        session: str
        open_micros: int
        high_micros: int
        low_micros: int
        close_micros: int
        volume: int

    for day in ("2013-02-26", "2013-02-27", "2013-02-28"):
        bars = [Bar(symbol, day, 1, 2, 3, int(day[-2:]), 5) for symbol in ("AAPL", "IBM")]
        folder.write_rows(("us_five", "market_quotes"), day, Bar, bars)

    history = price_history(
        folder, book="us_five", symbol="IBM", first=date(2013, 2, 27), last=date(2013, 2, 28)
    )

    assert history.column("close_micros").to_pylist() == [27, 28]
