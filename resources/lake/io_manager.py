"""Dagster's way into the lake: assets return rows and are given rows; the content hash is the data version.

An `IOManager` of its own rather than a `UPathIOManager`: that one maps a partition to a path and refuses a
run over several, while here a partition is a pointer to one of many files (store.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dagster import DataVersion, InputContext, IOManager, MetadataValue, OutputContext

from resources.lake.codec import columns_of
from resources.lake.store import UNFIT_REASON, AssetPath, Lake, Pointer
from trading.errors import LakeError
from trading.values import digest

INPUTS_SHA = "inputs_sha"
"""Metadata of an output: the digest of all it was made from, where its body read more than its inputs."""

OPTIONAL = "optional"
"""Metadata of an `AssetIn`: true where a missing input is `None` instead of an error."""

REMEDY = "dagster asset materialize -f trading_assets/definitions.py --select {asset}{partition_option}"


class LakeIOManager(IOManager):
    """Write and read the rows of assets whose keys are (book, asset).

    `row_types` maps asset names to row types; a type that no table can hold is refused here. An output is
    a tuple or list of rows, in a run over several partitions a dict of them by partition key; an input is
    a tuple of rows, or a dict of tuples where several partitions are mapped. `extras` names the output
    metadata that travels to the pointer. There, as under `inputs_sha`, a text holds for every partition
    of the run and a dict (`MetadataValue.json`) by partition key for those it names; keep such a dict
    short, since Dagster repeats it in the event of every partition. `remedies` maps asset names to the
    command that makes them, with `{book}`, `{asset}` and `{partition}` filled in.
    """

    def __init__(
        self,
        lake: Lake,
        row_types: Mapping[str, type[Any]],
        *,
        extras: Collection[str] = (UNFIT_REASON,),
        remedies: Mapping[str, str] | None = None,
    ) -> None:
        for row_type in row_types.values():
            columns_of(row_type)
        self._lake = lake
        self._row_types = dict(row_types)
        self._extras = tuple(extras)
        self._remedies = dict(remedies or {})
        self._loaded: dict[tuple[str, str], dict[str, str]] = {}

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store an output, partition by partition; set its data version and say where it lies."""
        asset = _asset_of(context)
        pointers = {
            partition: self._lake.write_rows(
                asset,
                partition,
                self._row_type(asset),
                rows,
                inputs_sha=_told(context, INPUTS_SHA, partition) or self._loaded_digest(context),
                extra={
                    name: told
                    for name in self._extras
                    if (told := _told(context, name, partition)) is not None
                },
            )
            for partition, rows in _by_partition(context, asset, obj).items()
        }
        context.step_context.set_data_version(context.asset_key, DataVersion(_data_version(pointers)))
        context.add_output_metadata(_metadata(self._lake, asset, pointers))

    def load_input(self, context: InputContext) -> Any:
        """Return the rows of an input; raise `LakeError` where they are missing, unless it is optional."""
        asset = _asset_of(context)
        if not context.has_asset_partitions:
            return self._rows(context, asset, None)
        partitions = list(context.asset_partition_keys)
        if not partitions:
            if _is_optional(context):
                return None
            raise LakeError(f"{'/'.join(asset)}: no partition of it is mapped to this session")
        if len(partitions) == 1:
            return self._rows(context, asset, partitions[0])
        found = {partition: self._rows(context, asset, partition) for partition in partitions}
        return {partition: rows for partition, rows in found.items() if rows is not None}

    def _rows(self, context: InputContext, asset: AssetPath, partition: str | None) -> tuple[Any, ...] | None:
        if self._lake.pointer(asset, partition) is None:
            if _is_optional(context):
                return None
            raise LakeError(
                f"{_named(asset, partition)}: not materialized; run `{self._remedy(asset, partition)}`"
            )
        rows, pointer = self._lake.read_rows(asset, partition, self._row_type(asset))
        self._loaded.setdefault(_step_of(context), {})[_named(asset, partition)] = pointer.sha
        return rows

    def _row_type(self, asset: AssetPath) -> type[Any]:
        try:
            return self._row_types[asset[1]]
        except KeyError:
            known = ", ".join(sorted(self._row_types))
            raise TypeError(
                f"asset {'/'.join(asset)}: no row type is registered for {asset[1]}; known: {known}"
            ) from None

    def _remedy(self, asset: AssetPath, partition: str | None) -> str:
        option = "" if partition is None else f" --partition {partition}"
        template = self._remedies.get(asset[1])
        if template is None:
            return REMEDY.format(asset="/".join(asset), partition_option=option)
        return template.format(book=asset[0], asset=asset[1], partition=partition or "")

    def _loaded_digest(self, context: OutputContext) -> str:
        """Return the digest of the inputs that this step was given, empty where it was given none."""
        loaded = self._loaded.get(_step_of(context), {})
        return digest(sorted(loaded.items())) if loaded else ""


def _asset_of(context: InputContext | OutputContext) -> AssetPath:
    if not context.has_asset_key:
        raise TypeError(f"{context.name}: the lake keeps assets only, not the outputs of plain ops")
    path = context.asset_key.path
    if len(path) != 2:  # noqa: PLR2004 - book and asset
        raise TypeError(f"asset {'/'.join(path)}: a key in the lake is book and asset")
    return path[0], path[1]


def _step_of(context: InputContext | OutputContext) -> tuple[str, str]:
    return context.step_context.run_id, context.step_context.step.key


def _is_optional(context: InputContext) -> bool:
    return bool((context.definition_metadata or {}).get(OPTIONAL, False))


def _by_partition(context: OutputContext, asset: AssetPath, obj: Any) -> dict[str | None, Any]:
    """Return the rows of each partition of a run; raises `TypeError` where the output does not fit it."""
    partitions: list[str | None] = (
        list(context.asset_partition_keys) if context.has_asset_partitions else [None]
    )
    if isinstance(obj, list | tuple) and len(partitions) == 1:
        return {partitions[0]: obj}
    if isinstance(obj, dict) and set(obj) == set(partitions):
        return {partition: obj[partition] for partition in partitions}
    if isinstance(obj, dict):
        absent = sorted(str(key) for key in set(partitions) - set(obj))
        foreign = sorted(str(key) for key in set(obj) - set(partitions))
        raise TypeError(
            f"{'/'.join(asset)}: rows are missing for {absent}, and given for {foreign} outside the run"
        )
    expected = (
        "a tuple of rows" if len(partitions) == 1 else f"a dict of rows by {len(partitions)} partition keys"
    )
    raise TypeError(f"{'/'.join(asset)}: output is {type(obj).__name__}, expected {expected}")


def _told(context: OutputContext, name: str, partition: str | None) -> str | None:
    """Return what an output's metadata says under a name, for one partition."""
    told = (context.output_metadata or {}).get(name)
    if isinstance(told, MetadataValue):
        told = told.value
    if isinstance(told, Mapping):
        told = told.get(partition)
    return str(told) if told else None


def _data_version(pointers: Mapping[str | None, Pointer]) -> str:
    """Return the content hash, or the digest of all of a range run's, for which Dagster keeps one version."""
    if len(pointers) == 1:
        return next(iter(pointers.values())).sha
    return digest(sorted((str(partition), pointer.sha) for partition, pointer in pointers.items()))


def _metadata(lake: Lake, asset: AssetPath, pointers: Mapping[str | None, Pointer]) -> dict[str, Any]:
    rows = sum(pointer.rows for pointer in pointers.values())
    if len(pointers) > 1:
        folder = lake.root.joinpath(*asset)
        return {"rows": rows, "partitions": len(pointers), "path": MetadataValue.path(str(folder))}
    ((partition, pointer),) = pointers.items()
    return {
        "rows": rows,
        "sha": pointer.sha,
        INPUTS_SHA: pointer.inputs_sha,
        "path": MetadataValue.path(lake.place(asset, partition, pointer.sha)),
    }


def _named(asset: AssetPath, partition: str | None) -> str:
    return "/".join(asset) if partition is None else f"{'/'.join(asset)} {partition}"
