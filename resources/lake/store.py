"""The lake: content-addressed, immutable Parquet files, each partition with an atomic pointer to its current one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from upath import UPath

AssetPath = tuple[str, str]
"""(book, asset), e.g. `("us_five", "market_quotes")`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Describe one file of a partition: content hash, rows, what it was made from, what else its maker said."""

    sha: str
    rows: int
    inputs_sha: str
    schema_sha: str
    writer: str
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Name the current version of a partition and, newest first, the versions it replaced."""

    current: Version
    earlier: tuple[Version, ...] = ()

    @property
    def sha(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def inputs_sha(self) -> str: ...
    @property
    def extra(self) -> Mapping[str, str]: ...


class Lake:
    """Keep tables under a folder or an object store (`s3://…`)."""

    def __init__(self, root: str | UPath) -> None: ...

    def write(
        self,
        asset: AssetPath,
        partition: str | None,
        table: pa.Table,
        *,
        inputs_sha: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Pointer: ...

    def read(self, asset: AssetPath, partition: str | None, *, sha: str | None = None) -> tuple[pa.Table, Pointer]: ...

    def pointer(self, asset: AssetPath, partition: str | None) -> Pointer | None: ...

    def versions(self, asset: AssetPath, partition: str | None) -> tuple[Version, ...]: ...

    def partitions(self, asset: AssetPath) -> tuple[str, ...]: ...

    def sha_of(self, row_type: type[Any], rows: Iterable[Any]) -> str: ...
