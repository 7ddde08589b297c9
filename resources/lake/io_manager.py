"""Dagster's way into the lake: assets return rows and are given rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import InputContext, OutputContext, UPathIOManager

from resources.lake.store import Lake

INPUTS_SHA = "inputs_sha"
UNFIT_REASON = "unfit_reason"


class LakeIOManager(UPathIOManager):
    """`row_types`: asset name (last part of its key) → row type; asset keys are (book, asset).

    Write: rows (tuple or list); in a run over several partitions `dict[partition_key, rows]`. The data version is
    set here. `Output(metadata={"inputs_sha": …, "unfit_reason": …})` travel to the pointer; in a range run a
    value may be a dict by partition key (MetadataValue.json).
    Read: one partition → tuple of rows, several → dict; missing → LakeError, or None under
    `AssetIn(metadata={"optional": True})`.
    """

    def __init__(self, lake: Lake, row_types: Mapping[str, type[Any]], *, remedies: Mapping[str, str] | None = None) -> None: ...
    def handle_output(self, context: OutputContext, obj: Any) -> None: ...
    def load_input(self, context: InputContext) -> Any: ...
