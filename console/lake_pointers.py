"""Read the lake's pointers and check its files by their names, with the standard library alone.

A pointer says how many rows a table has, what it was made from and what its maker said of it: enough for
reading verbs, which must not wait for Parquet. Writing, rows and object stores are resources/lake/store.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from resources.lake.files import Files, LocalFiles
from trading.errors import LakeError

POINTER = "current.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """Hold what a pointer says of one partition's current table."""

    book: str
    asset: str
    partition: str
    sha: str
    rows: int
    inputs_sha: str
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def why_none(self) -> str:
        """Return why the table is empty or unfit, as its maker said; empty where nothing was said."""
        return self.extra.get("why_none", "") or self.extra.get("unfit_reason", "")


class LakePointers:
    """Look at the tables under a lake's root: a folder, or what fsspec knows (`s3://…`)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.is_local = "://" not in root
        self._files: Files = LocalFiles(Path(root)) if self.is_local else _stored_objects(root)

    def state(self, book: str, asset: str, partition: str = "") -> TableState | None:
        """Return what the pointer of a partition says, `None` where the table was never made.

        An asset without partitions has the partition ''.

        Raises `LakeError` where the pointer cannot be read.
        """
        path = f"{_folder(book, asset, partition)}/{POINTER}"
        try:
            payload = json.loads(self._files.read(path))
            return _state(book, asset, partition, payload["current"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"{self.root}/{path}: not a pointer ({error}); "
                f"restore it, or re-materialize {book}/{asset} {partition}"
            ) from error

    def has_table(self, book: str, asset: str, partition: str) -> bool:
        """Say whether a table was made: its pointer is there, though it may be damaged."""
        try:
            self._files.read(f"{_folder(book, asset, partition)}/{POINTER}")
        except FileNotFoundError:
            return False
        except OSError:
            # What ails it is told by whoever needs what it says.
            return True
        return True

    def partitions(self, book: str, asset: str) -> list[str]:
        """Return the partitions of an asset that have a table, ascending.

        Raises `LakeError` where the asset's folder cannot be listed.
        """
        return self.folders_with(f"{book}/{asset}", POINTER)

    def latest_partition(self, book: str, asset: str) -> str:
        """Return the last partition of an asset that has a table, empty where none has.

        Raises `LakeError` where the asset's folder cannot be listed.
        """
        with self._listing(f"{book}/{asset}"):
            return self._files.last_folder_with(f"{book}/{asset}", POINTER)

    def tables(self, book: str) -> list[tuple[str, str]]:
        """Return asset and partition of every table that a pointer of a book names, ascending.

        An asset without partitions has the partition ''.
        """
        named = [folder.partition("/") for folder in self._files.below(book, POINTER)]
        return [(asset, unquote(partition)) for asset, _, partition in named]

    def document(self, path: str) -> dict[str, Any] | None:
        """Return a JSON file by its place below the root, `None` where there is none.

        Raises `LakeError` where it cannot be read.
        """
        try:
            found: dict[str, Any] = json.loads(self._files.read(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise LakeError(f"{self.root}/{path}: cannot be read ({error})") from error
        return found

    def file(self, path: str) -> bytes | None:
        """Return a file by its place below the root, `None` where there is none.

        Raises `LakeError` where it cannot be read.
        """
        try:
            return self._files.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LakeError(f"{self.root}/{path}: cannot be read ({error})") from error

    def folders_with(self, folder: str, name: str) -> list[str]:
        """Return the direct subfolders of one that hold a file of that name, ascending.

        Raises `LakeError` where the folder cannot be listed.
        """
        with self._listing(folder):
            return self._files.folders_with(folder, name)

    def fault_of(self, book: str, asset: str, partition: str) -> str:
        """Return how a table is not what its pointer names, empty where it is."""
        try:
            state = self.state(book, asset, partition)
            if state is not None:
                self.content(state)
        except LakeError as error:
            return str(error)
        return ""

    def path(self, state: TableState) -> str:
        """Return where the file of a table lies."""
        return f"{self.root}/{self._relative(state)}"

    def is_intact(self, state: TableState) -> bool:
        """Say whether the table's file is there and its content has the SHA-256 it is named by."""
        try:
            self.content(state)
        except LakeError:
            return False
        return True

    def content(self, state: TableState) -> bytes:
        """Return the bytes of a table's file; raises `LakeError` where they are not what they are named."""
        try:
            content = self._files.read(self._relative(state))
        except OSError as error:
            raise self._broken(state, error.strerror or str(error)) from error
        if hashlib.sha256(content).hexdigest() != state.sha:
            raise self._broken(state, "content does not match its name; the file was altered or is corrupt")
        return content

    @contextmanager
    def _listing(self, folder: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LakeError(
                f"{self.root}/{folder}: cannot be listed ({error.strerror or error}); put it back,"
                " or name the lake with TRADING_LAKE_ROOT"
            ) from error

    def _broken(self, state: TableState, found: str) -> LakeError:
        named = f"{state.book}/{state.asset} {state.partition}".rstrip()
        return LakeError(f"{self.path(state)}: {found}; restore it or re-materialize {named}")

    def _relative(self, state: TableState) -> str:
        return f"{_folder(state.book, state.asset, state.partition)}/{state.sha}.parquet"


def _state(book: str, asset: str, partition: str, current: Mapping[str, Any]) -> TableState:
    return TableState(
        book=book,
        asset=asset,
        partition=partition,
        sha=str(current["sha"]),
        rows=int(current["rows"]),
        inputs_sha=str(current["inputs_sha"]),
        extra={str(key): str(value) for key, value in current["extra"].items()},
    )


def _folder(book: str, asset: str, partition: str) -> str:
    return f"{book}/{asset}/{quote(partition, safe='')}" if partition else f"{book}/{asset}"


def _stored_objects(root: str) -> Files:
    from upath import UPath

    from resources.lake.files import StoredObjects

    place = UPath(root)
    return StoredObjects(place.fs, place.path)
