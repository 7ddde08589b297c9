"""Where replays are kept: Parquet files by table and year, each named in a record with its SHA-256.

    <lake>/<book>/replays/<name>/request.json                  what the name was given to
    <lake>/<book>/replays/<name>/begun.json                    which replay of it was begun last
    <lake>/<book>/replays/<name>/refused.json                  which replay was refused last, and why
    <lake>/<book>/replays/<name>/<replay>/<table>/<year>.parquet
    <lake>/<book>/replays/<name>/<replay>/kept/<year>.json     a whole chunk: its files, its end, its digest
    <lake>/<book>/replays/<name>/<replay>/manifest.json        all of them, once the replay is
    <lake>/<book>/replays/<name>/<replay>/scorecard.json, tear_sheet.html

`<replay>` is the beginning of the digest of all that the replay comes from, so that other data or rules never
write over it. Bytes depend on the rows and the writer's version alone. What keeps it is trading/replaying.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from upath import UPath

from resources.craft import craft_sha
from resources.lake.files import Files
from resources.lake.store import files_under, parquet_bytes
from trading.errors import BadInput, BadSetting, LakeError
from trading.replay import ReplayRequest, ReplayState, joined, state_from_payload
from trading.replayed import COLUMNS, Columns, Replayed
from trading.replaying import ReplayFile
from trading.values import canonical_json, digest

ASSET = "replays"
REQUEST = "request.json"
BEGUN = "begun.json"
REFUSED = "refused.json"
MANIFEST = "manifest.json"
_SHA = "record_sha"
"""The key of a record's own digest: of all that it holds besides."""

_RECORDED = {"files", "book", "currency", "opening_micros", "state", _SHA}
"""What the record of a chunk holds."""

_OF_THE_RECORD = {"state", _SHA}
"""What of it is nobody's but whoever goes on from there, and in no manifest."""

SHA_SHOWN = 16
"""Hex digits of a replay's digest in its folder's name."""


class ReplayFiles:
    """Keep the replays of one book under a lake's root; a `trading.replaying.ReplayStore`."""

    def __init__(self, root: str, *, book: str) -> None:
        self._root = UPath(root)
        self._files = files_under(self._root)
        self._book = book
        self.code_sha = craft_sha()

    @contextmanager
    def keeping(self, request: ReplayRequest, *, replay_sha: str, data_sha: str) -> Iterator[KeptReplayFiles]:
        """Give where a replay is kept, alone under its name.

        Raises `BadInput` where the name was given to another request.
        """
        folder = f"{self._book}/{ASSET}/{request.name}"
        with self._files.alone_in(folder):
            self.refuse_taken(request)
            path = f"{folder}/{REQUEST}"
            self._files.put(path, canonical_json(request.payload()).encode())
            begun = canonical_json({"replay_sha": replay_sha})
            self._files.put(f"{folder}/{BEGUN}", begun.encode())
            kept = KeptReplayFiles(
                self._files,
                f"{folder}/{replay_sha[:SHA_SHOWN]}",
                about={
                    "name": request.name,
                    "request": request.payload(),
                    "replay_sha": replay_sha,
                    "data_sha": data_sha,
                    "code_sha": self.code_sha,
                    "writer": f"pyarrow {pa.__version__}",
                },
            )
            try:
                yield kept
            except (BadInput, BadSetting) as error:
                # The same request ends there each time: whoever lists it is told so, not to run it again.
                why = canonical_json({"replay_sha": replay_sha, "why": str(error)})
                self._files.put(f"{folder}/{REFUSED}", why.encode())
                raise

    def read(self, files: Sequence[ReplayFile]) -> tuple[Mapping[str, Any], Replayed]:
        """Return a finished replay's manifest and tables.

        Raises `LakeError` at a file, or a manifest, that is not what `files` says: who changes a table can
        change the manifest beside it as well.
        """
        folder = self._folder_of(files)
        place = f"{folder}/{MANIFEST}"
        try:
            manifest = _json(self._files, place)
            named = {ReplayFile(**file) for record in manifest["chunks"] for file in record["files"]}
        except (FileNotFoundError, KeyError, TypeError) as error:
            raise LakeError(f"{place}: cannot be read ({error}); run the replay again") from error
        other = sorted(named ^ set(files))
        if other:
            raise LakeError(
                f"{place}: was altered, {other[0].path} is not what the replay left; "
                "run the replay again, and it is made anew"
            )
        return manifest, KeptReplayFiles(self._files, folder, about=manifest).tables()

    def whole(self) -> dict[str, str]:
        """Return the digest of each replay that came to its end, by name: of the one begun last.

        Raises `LakeError` where it cannot be read which one that is.
        """
        place = f"{self._book}/{ASSET}"
        begun = {
            name: self._begun(f"{place}/{name}/{BEGUN}") for name in self._files.folders_with(place, BEGUN)
        }
        finished = set(self._files.below(place, MANIFEST))
        return {name: sha for name, sha in begun.items() if f"{name}/{sha[:SHA_SHOWN]}" in finished}

    def _begun(self, path: str) -> str:
        try:
            return str(_json(self._files, path)["replay_sha"])
        except (KeyError, TypeError) as error:
            raise LakeError(f"{path}: names no replay; run the same `trading replay` again") from error

    def put_beside(self, files: Sequence[ReplayFile], name: str, content: str) -> str:
        """Put a page beside a finished replay's tables, and return where it lies."""
        folder = self._folder_of(files)
        with self._files.alone_in(folder):
            self._files.put(f"{folder}/{name}", content.encode())
        return f"{self._root}/{folder}/{name}"

    def _folder_of(self, files: Sequence[ReplayFile]) -> str:
        if not files:
            raise LakeError(f"{self._book}/{ASSET}: the replay names no file; run it again")
        return files[0].path.rsplit("/", 2)[0]

    def refuse_taken(self, request: ReplayRequest) -> None:
        """Raise `BadInput` where the name was given to another request, of which a year is kept.

        Who mistyped a request, and corrects it, loses nothing by having the name.
        """
        try:
            taken = _json(self._files, f"{self._book}/{ASSET}/{request.name}/{REQUEST}")
        except FileNotFoundError:
            return
        asked = request.payload()
        differs = [name for name in asked if taken.get(name) != asked[name]]
        if differs and self.keeps_a_year_of(taken, name=request.name):
            told = ", ".join(f"{name} {taken.get(name)} (asked: {asked[name]})" for name in differs)
            raise BadInput(
                f"replay {request.name}: the name is another request's, with {told}; "
                "give this one another --name"
            )

    def keeps_a_year_of(self, taken: Mapping[str, Any], *, name: str) -> bool:
        """Return whether a year of the request that has a name is kept, by whatever rules, data or code."""
        first, last = (date.fromisoformat(taken[day]).year for day in ("first_session", "last_session"))
        place = f"{self._book}/{ASSET}/{name}"
        return any(self._files.below(place, f"{year}.json") for year in range(first, last + 1))


class KeptReplayFiles:
    """Keep one replay's chunks in a folder; a `trading.replaying.KeptReplay`."""

    def __init__(self, files: Files, folder: str, *, about: Mapping[str, Any]) -> None:
        self._files = files
        self._folder = folder
        self._about = about
        self._records: dict[str, dict[str, Any]] = {}

    def state_after(self, chunk: str) -> ReplayState | None:
        """Return what a chunk ended with, `None` where its record or a file of it is not what it was."""
        try:
            record = _json(self._files, self._record(chunk))
            state = state_from_payload(record["state"])
            for file in record["files"]:
                self._content(file)
            tables = {file["table"] for file in record["files"]}
            is_whole = set(record) >= _RECORDED and tables == set(COLUMNS) and record[_SHA] == _sha_of(record)
        except (FileNotFoundError, LakeError, KeyError, ValueError, TypeError, AttributeError):
            return None
        if not is_whole:
            return None
        self._records[chunk] = record
        return state

    def put(self, chunk: str, part: Replayed, state: ReplayState) -> None:
        """Keep a chunk: its files first, then the record that names them."""
        kept = []
        for table in COLUMNS:
            content = parquet_bytes(_table(table, part[table]))
            path = f"{self._folder}/{table}/{chunk}.parquet"
            with self._files.alone_in(path.rpartition("/")[0]):
                self._files.put(path, content)
            kept.append(
                ReplayFile(
                    table=table,
                    chunk=chunk,
                    path=path,
                    rows=len(part[table]["session"]),
                    sha=hashlib.sha256(content).hexdigest(),
                )._asdict()
            )
        record = {
            "files": kept,
            "book": part.book,
            "currency": part.currency,
            "opening_micros": part.opening_micros,
            "state": state.payload(),
        }
        # A close of the end state that was altered would change what goes on from it, and no file's hash.
        record |= {_SHA: _sha_of(record)}
        path = self._record(chunk)
        with self._files.alone_in(path.rpartition("/")[0]):
            self._files.put(path, canonical_json(record).encode())
        self._records[chunk] = record

    def tables(self) -> Replayed:
        """Return all that is kept, read back; raises `LakeError` where a file was altered."""
        records = self._records or {record["chunk"]: record for record in self._about["chunks"]}
        return joined([self._part(records[chunk]) for chunk in sorted(records)])

    def finish(self, summary: Mapping[str, Any]) -> tuple[ReplayFile, ...]:
        """Write the manifest, with what is told of the replay, and return the files that it names."""
        chunks = [
            {"chunk": chunk, **{key: value for key, value in record.items() if key not in _OF_THE_RECORD}}
            for chunk, record in sorted(self._records.items())
        ]
        self._files.put(
            f"{self._folder}/{MANIFEST}",
            canonical_json({**self._about, "summary": summary, "chunks": chunks}).encode(),
        )
        return tuple(ReplayFile(**file) for record in chunks for file in record["files"])

    def _part(self, record: Mapping[str, Any]) -> Replayed:
        tables = {file["table"]: _columns(file["table"], self._content(file)) for file in record["files"]}
        return Replayed(
            book=record["book"],
            currency=record["currency"],
            opening_micros=record["opening_micros"],
            tables={name: tables[name] for name in COLUMNS},
        )

    def _content(self, file: Mapping[str, Any]) -> bytes:
        try:
            content = self._files.read(file["path"])
        except FileNotFoundError as error:
            raise LakeError(f"{file['path']}: is missing; run the replay again") from error
        if hashlib.sha256(content).hexdigest() != file["sha"]:
            raise LakeError(f"{file['path']}: was altered; run the replay again, and it is made anew")
        return content

    def _record(self, chunk: str) -> str:
        return f"{self._folder}/kept/{chunk}.json"


def _json(files: Files, path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(files.read(path))
    except ValueError as error:
        raise LakeError(f"{path}: is no JSON ({error}); remove it and run the replay again") from error
    return found


def _sha_of(record: Mapping[str, Any]) -> str:
    return digest({key: value for key, value in record.items() if key != _SHA})


def _table(name: str, columns: Columns) -> pa.Table:
    return pa.table({column: pa.array(columns[column]) for column in COLUMNS[name]})


def _columns(name: str, content: bytes) -> Columns:
    table = parquet.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    return {
        column: np.array(table.column(column).to_numpy(), dtype=dtype)
        for column, dtype in COLUMNS[name].items()
    }
