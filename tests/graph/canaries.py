"""Planted secrets, and who looks for them: in every file of a state folder, whatever it is packed in."""

from __future__ import annotations

import base64
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

SQLITE_HEAD = b"SQLite format 3\0"


def told_in(content: bytes, canaries: Mapping[str, str]) -> set[str]:
    """Return the names of the secrets that stand in some bytes, plainly or in base64 at any alignment."""
    return {name for name, secret in canaries.items() if any(form in content for form in _forms(secret))}


def leaks_in(folder: Path, canaries: Mapping[str, str], *, but: Iterable[Path] = ()) -> list[tuple[str, str]]:
    """Return each secret that stands in a file below a folder, or in its name: which, and where."""
    spared = set(but)
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path not in spared):
        named = told_in(str(path).encode(), canaries)
        for content in contents_of(path):
            named |= told_in(content, canaries)
        found += [(name, str(path.relative_to(folder))) for name in sorted(named)]
    return found


def contents_of(path: Path) -> Iterator[bytes]:
    """Yield what is in a file: its bytes, and the cells of a database or a table as they were put there."""
    content = path.read_bytes()
    yield content
    if content.startswith(SQLITE_HEAD):
        yield from _cells(path)
    elif content.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield repr(table.to_pylist()).encode()
        yield repr(table.schema.metadata).encode()


def _cells(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in connection.execute(f'select * from "{name}"'):  # noqa: S608 - names of its own tables
                for cell in row:
                    content = cell if isinstance(cell, bytes) else str(cell).encode()
                    yield content
                    if isinstance(cell, bytes):
                        yield _unpacked(cell)


def _unpacked(cell: bytes) -> bytes:
    """Return what a packed cell holds; Dagster packs the snapshots of its jobs."""
    try:
        return zlib.decompress(cell)
    except zlib.error:
        return b""


def _forms(secret: str) -> list[bytes]:
    plain = secret.encode()
    packed = [base64.b64encode(b"\0" * shift + plain) for shift in range(3)]
    # The first and last digits of base64 also depend on what stands before and after.
    return [plain, *(digits[4:-4] for digits in packed)]
