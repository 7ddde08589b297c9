"""The lake: content-addressed, immutable Parquet, one atomic pointer for each asset and partition.

    <root>/<book>/<asset>/<partition>/<sha256>.parquet     never changed, kept for good
    <root>/<book>/<asset>/<partition>/current.json         the pointer, replaced at once

An asset without partitions lies directly in its own folder. Bytes depend on the rows and the writer's
version alone, so equal tables are one file. Not here: rows (codec.py), places (files.py), Dagster
(io_manager.py).
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow import parquet
from upath import UPath

from resources.lake.codec import rows_of, schema_digest, table_of
from resources.lake.files import Files, LocalFiles, StoredObjects
from trading.errors import BadInput, LakeError
from trading.values import canonical_json

Row = TypeVar("Row")

AssetPath = tuple[str, str]
"""Book and asset, e.g. `("us_five", "market_quotes")`."""

POINTER = "current.json"
POINTER_FORMAT = 1
"""Raised when the pointer's JSON changes its meaning."""

UNFIT_REASON = "unfit_reason"
"""What a pointer says of a table on which nobody may decide, and why; empty or absent where it is fit."""

COMPRESSION_LEVEL = 3
"""zstd's own default: higher levels save little on tables of some hundred rows."""

TABLES_KEPT, TABLE_KEPT_BYTES_MAX = 512, 64 * 1024
"""How many decoded tables a process keeps, a window's and the session's own, and of how large a file."""

POINTERS_KEPT = 2048
"""How many pointers and places of partitions a process keeps: a session looks eight times at its window."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Describe one state of a partition.

    `sha` is the SHA-256 of its file, `inputs_sha` the digest of everything it was made from (or empty),
    `writer` the Parquet writer, `extra` what its maker said of it, e.g. `UNFIT_REASON`.
    """

    sha: str
    rows: int
    inputs_sha: str
    schema_sha: str
    writer: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """Return the version as plain JSON values."""
        return {
            "sha": self.sha,
            "rows": self.rows,
            "inputs_sha": self.inputs_sha,
            "schema_sha": self.schema_sha,
            "writer": self.writer,
            "extra": dict(self.extra),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Name a partition's current version and, newest first, those it replaced."""

    current: Version
    earlier: tuple[Version, ...] = ()

    @property
    def sha(self) -> str:
        """Return the content hash of the current file: the asset's data version."""
        return self.current.sha

    @property
    def rows(self) -> int:
        """Return the number of rows in the current file."""
        return self.current.rows

    @property
    def inputs_sha(self) -> str:
        """Return the digest of what the current file was made from, empty where nobody said."""
        return self.current.inputs_sha

    @property
    def extra(self) -> Mapping[str, str]:
        """Return what the maker of the current file said of it."""
        return self.current.extra

    @property
    def previous_sha(self) -> str | None:
        """Return the content hash of the version before, `None` for a first one."""
        return self.earlier[0].sha if self.earlier else None


class Lake:
    """Keep tables under a folder or an object store (`s3://…`)."""

    def __init__(self, root: str | Path | UPath) -> None:
        self.root = UPath(root)
        self._files = files_under(self.root)

    def write(
        self,
        asset: AssetPath,
        partition: str | None,
        table: pa.Table,
        *,
        inputs_sha: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Pointer:
        """Store a table and point to it; return the pointer.

        The same table again makes no new file, and with the same `inputs_sha` and `extra` it changes
        nothing at all. Raises `LakeError` where it cannot be written: then nothing was changed.
        """
        folder = _folder(asset, partition)
        content = parquet_bytes(table)
        version = Version(
            sha=hashlib.sha256(content).hexdigest(),
            rows=table.num_rows,
            inputs_sha=inputs_sha,
            schema_sha=schema_digest(table.schema),
            writer=f"pyarrow {pa.__version__}",
            extra=dict(extra or {}),
        )
        with self._saying_what_failed(folder), self._files.alone_in(folder):
            before = self.pointer(asset, partition)
            made = self._put_unless_there(folder, version.sha, content)
            if before is not None and before.current == version:
                return before
            earlier = () if before is None else (before.current, *before.earlier)
            pointer = Pointer(current=version, earlier=earlier)
            try:
                self._files.put(f"{folder}/{POINTER}", _pointer_text(pointer).encode())
            except BaseException:
                if made:
                    self._files.remove(_file(folder, version.sha))
                raise
            return pointer

    def write_rows(
        self,
        asset: AssetPath,
        partition: str | None,
        row_type: type[Row],
        rows: Iterable[Row],
        *,
        inputs_sha: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Pointer:
        """Store rows of a type as a table; see `write` and `codec.table_of`."""
        return self.write(asset, partition, table_of(row_type, rows), inputs_sha=inputs_sha, extra=extra)

    def read(
        self, asset: AssetPath, partition: str | None, *, sha: str | None = None
    ) -> tuple[pa.Table, Pointer]:
        """Return the current table, or the version named by `sha`, and the pointer; the hash is verified.

        Raises `LakeError` where the table was never made, is missing, altered or corrupt.
        """
        pointer = self.require(asset, partition)
        return self.table(asset, partition, sha or pointer.sha), pointer

    def read_rows(
        self, asset: AssetPath, partition: str | None, row_type: type[Row], *, sha: str | None = None
    ) -> tuple[tuple[Row, ...], Pointer]:
        """Return the current rows, or those of the version named by `sha`, and the pointer."""
        table, pointer = self.read(asset, partition, sha=sha)
        try:
            return rows_of(row_type, table), pointer
        except LakeError as error:
            raise LakeError(f"{_named(asset, partition)}: {error}; re-materialize it") from error

    def table(
        self, asset: AssetPath, partition: str | None, sha: str, *, columns: list[str] | None = None
    ) -> pa.Table:
        """Return the table stored under a content hash, or some of its columns; the hash is verified."""
        path = _file(_folder(asset, partition), sha)
        place = self.place(asset, partition, sha)
        cure = f"restore it or re-materialize {_named(asset, partition)}"
        try:
            content = self._files.read(path)
        except FileNotFoundError as error:
            raise LakeError(f"{place}: no content under this name; the file is missing; {cure}") from error
        except OSError as error:
            raise LakeError(f"{place}: {error.strerror or error}; {cure}") from error
        if hashlib.sha256(content).hexdigest() != sha:
            raise LakeError(
                f"{place}: content does not match its name; the file was altered or is corrupt; {cure}"
            )
        try:
            decoded = _table_in if len(content) <= TABLE_KEPT_BYTES_MAX else _table_in.__wrapped__
            return decoded(content, None if columns is None else tuple(columns))
        except (pa.ArrowException, OSError) as error:
            raise LakeError(f"{place}: not a Parquet file: {error}; {cure}") from error

    def pointer(self, asset: AssetPath, partition: str | None) -> Pointer | None:
        """Return the pointer of a partition, `None` where it was never materialized."""
        path = f"{_folder(asset, partition)}/{POINTER}"
        try:
            content = self._files.read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LakeError(f"{self.root}/{path}: {error.strerror or error}") from error
        try:
            return _pointer_in(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LakeError(
                f"{self.root}/{path}: no pointer of format {POINTER_FORMAT} ({error}); "
                f"restore it, or remove it and re-materialize {_named(asset, partition)}"
            ) from error

    def require(self, asset: AssetPath, partition: str | None) -> Pointer:
        """Return the pointer of a partition; raises `LakeError` where it was never materialized."""
        pointer = self.pointer(asset, partition)
        if pointer is None:
            raise LakeError(f"{_named(asset, partition)}: not materialized yet; materialize it first")
        return pointer

    def versions(self, asset: AssetPath, partition: str | None) -> tuple[Version, ...]:
        """Return all versions of a partition, newest first."""
        pointer = self.pointer(asset, partition)
        return () if pointer is None else (pointer.current, *pointer.earlier)

    def place(self, asset: AssetPath, partition: str | None, sha: str) -> str:
        """Return where the file of a content hash lies, to show to a person."""
        return f"{self.root}/{_file(_folder(asset, partition), sha)}"

    def partitions(self, asset: AssetPath) -> tuple[str, ...]:
        """Return the keys of the materialized partitions of an asset, ascending."""
        return tuple(
            sorted(unquote(name) for name in self._files.folders_with(_folder(asset, None), POINTER))
        )

    def sha_of(self, row_type: type[Row], rows: Iterable[Row]) -> str:
        """Return the content hash that rows would be stored under, without storing them."""
        return hashlib.sha256(parquet_bytes(table_of(row_type, rows))).hexdigest()

    def _put_unless_there(self, folder: str, sha: str, content: bytes) -> bool:
        """Put a file under its hash; one that is there but altered is healed. Say whether it was put."""
        path = _file(folder, sha)
        try:
            if self._files.read(path) == content:
                return False
        except FileNotFoundError:
            pass
        self._files.put(path, content)
        return True

    @contextmanager
    def _saying_what_failed(self, folder: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cure = "free space" if error.errno in _FULL else "make it writable"
            raise LakeError(
                f"{self.root}/{folder}: {error.strerror or error}; {cure}, nothing was changed"
            ) from error


def files_under(root: UPath) -> Files:
    """Return where bytes are kept under a folder of this machine or in an object store."""
    if root.protocol in {"", "file", "local"}:
        return LocalFiles(Path(root.path))
    return StoredObjects(root.fs, root.path)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet bytes that depend on its rows alone.

    One row group, no dictionaries, no statistics, no schema of Arrow's or pandas' beside Parquet's own:
    smaller and faster at the sizes of a session, and nothing in it that was not in the rows.
    """
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table.replace_schema_metadata(None),
        sink,
        row_group_size=max(1, table.num_rows),
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


@lru_cache(maxsize=TABLES_KEPT)
def _table_in(content: bytes, columns: tuple[str, ...] | None) -> pa.Table:
    """Return the table, or some columns of it, that a file's bytes hold; nobody can change what is kept.

    The stages of a session read one window after the other, and to decode it took longer than to read it
    and to verify its hashes.
    """
    asked = None if columns is None else list(columns)
    return parquet.ParquetFile(pa.BufferReader(content)).read(columns=asked, use_threads=False)


def _pointer_text(pointer: Pointer) -> str:
    return canonical_json(
        {
            "format": POINTER_FORMAT,
            "current": pointer.current.payload(),
            "earlier": [version.payload() for version in pointer.earlier],
        }
    )


@lru_cache(maxsize=POINTERS_KEPT)
def _pointer_in(content: bytes) -> Pointer:
    """Return the pointer that a file's bytes hold; whoever asks is given the same one, to read."""
    payload = json.loads(content)
    if payload["format"] != POINTER_FORMAT:
        raise ValueError(f"format {payload['format']}")
    return Pointer(
        current=Version(**payload["current"]),
        earlier=tuple(Version(**version) for version in payload["earlier"]),
    )


@lru_cache(maxsize=POINTERS_KEPT)
def _folder(asset: AssetPath, partition: str | None) -> str:
    book, name = asset
    _require_name(book)
    _require_name(name)
    return f"{book}/{name}" if partition is None else f"{book}/{name}/{_quoted(partition)}"


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadInput(f"book or asset {name!r}: letters, digits, - and _ only, beginning with no sign")


def _quoted(partition: str) -> str:
    """Return a partition key as one folder name; a leading dot would hide or climb, so it is quoted too."""
    if not partition:
        raise BadInput("partition '': a key is not empty")
    name = quote(partition, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _file(folder: str, sha: str) -> str:
    return f"{folder}/{sha}.parquet"


def _named(asset: AssetPath, partition: str | None) -> str:
    return "/".join(asset) if partition is None else f"{'/'.join(asset)} {partition}"
