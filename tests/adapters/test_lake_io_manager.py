"""Assets in, rows out: the IO manager in real Dagster runs, in process."""

from datetime import date
from enum import StrEnum
from typing import NamedTuple

import dagster as dg
import pytest

from resources.lake.io_manager import INPUTS_SHA, LakeIOManager
from resources.lake.store import UNFIT_REASON, Lake
from trading.errors import LakeError
from trading.values import digest

DAYS = dg.StaticPartitionsDefinition(["2013-02-26", "2013-02-27", "2013-02-28"])
DAY = "2013-02-27"
QUOTES = ("us_five", "market_quotes")
WISHES = ("us_five", "wishes")


class Wish(StrEnum):
    LONG = "long"
    FLAT = "flat"


class Priced(NamedTuple):
    symbol: str
    session: date
    close_micros: int


class Wished(NamedTuple):
    symbol: str
    wish: Wish


ROW_TYPES = {"market_quotes": Priced, "wishes": Wished, "instruments": Priced}


def priced(day):
    return (
        Priced("AAPL", date.fromisoformat(day), 1_000_000),
        Priced("IBM", date.fromisoformat(day), 2_000_000),
    )


@dg.asset(
    key=["us_five", "market_quotes"], partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run()
)
def market_quotes(context: dg.AssetExecutionContext):
    rows = {day: priced(day) for day in context.partition_keys}
    return dg.Output(
        rows,
        metadata={
            INPUTS_SHA: "f" * 64,
            UNFIT_REASON: dg.MetadataValue.json({"2013-02-28": "half are missing"}),
        },
    )


@dg.asset(
    key=["us_five", "wishes"],
    partitions_def=DAYS,
    ins={"quotes": dg.AssetIn(["us_five", "market_quotes"])},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def wishes(quotes):
    return tuple(Wished(quote.symbol, Wish.LONG) for quote in quotes)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(assets, lake, instance, **options):
    return dg.materialize(
        assets, resources={"io_manager": LakeIOManager(lake, ROW_TYPES)}, instance=instance, **options
    )


def event_of(instance, asset):
    return instance.get_latest_materialization_event(dg.AssetKey(asset)).asset_materialization


def cause_of(result):
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return failure.step_failure_data.error.cause


def over(first, last):
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def test_the_data_version_of_an_asset_is_the_content_hash_of_its_file(lake, instance):
    run([market_quotes], lake, instance, partition_key=DAY)

    sha = lake.sha_of(Priced, priced(DAY))
    event = event_of(instance, QUOTES)
    assert event.tags["dagster/data_version"] == sha == lake.pointer(QUOTES, DAY).sha
    assert event.metadata["sha"].value == sha
    assert event.metadata["rows"].value == 2
    assert event.metadata["inputs_sha"].value == "f" * 64
    assert event.metadata["path"].value == str(
        lake.root / "us_five" / "market_quotes" / DAY / f"{sha}.parquet"
    )


def test_rows_cross_from_asset_to_asset_with_their_types(lake, instance):
    result = run([market_quotes, wishes], lake, instance, partition_key=DAY)

    assert result.success
    assert lake.read_rows(WISHES, DAY, Wished)[0] == (Wished("AAPL", Wish.LONG), Wished("IBM", Wish.LONG))


def test_the_lineage_of_an_asset_is_by_default_the_digest_of_the_inputs_it_was_given(lake, instance):
    run([market_quotes, wishes], lake, instance, partition_key=DAY)

    read = lake.pointer(QUOTES, DAY).sha
    assert lake.pointer(WISHES, DAY).inputs_sha == digest([["us_five/market_quotes 2013-02-27", read]])


def test_a_range_run_writes_every_partition_with_its_own_remarks(lake, instance):
    result = run([market_quotes], lake, instance, tags=over("2013-02-26", "2013-02-28"))

    assert result.success
    pointers = {day: lake.pointer(QUOTES, day) for day in lake.partitions(QUOTES)}
    assert list(pointers) == ["2013-02-26", "2013-02-27", "2013-02-28"]
    assert [pointer.sha for pointer in pointers.values()] == [
        lake.sha_of(Priced, priced(day)) for day in pointers
    ]
    assert [dict(pointer.extra) for pointer in pointers.values()] == [
        {},
        {},
        {"unfit_reason": "half are missing"},
    ]
    event = event_of(instance, QUOTES)
    assert event.tags["dagster/data_version"] == digest([[day, pointers[day].sha] for day in pointers])
    assert event.metadata["rows"].value == 6


def test_a_range_run_that_forgets_a_partition_fails_and_names_it(lake, instance):
    @dg.asset(
        key=["us_five", "market_quotes"], partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run()
    )
    def forgetful():
        return {"2013-02-26": priced("2013-02-26")}

    result = run([forgetful], lake, instance, tags=over("2013-02-26", "2013-02-27"), raise_on_error=False)

    assert "rows are missing for ['2013-02-27']" in cause_of(result).message
    assert lake.partitions(QUOTES) == ()


def test_several_mapped_partitions_load_as_a_dict(lake, instance):
    seen = {}

    @dg.asset(key=["us_five", "wishes"], ins={"quotes": dg.AssetIn(["us_five", "market_quotes"])})
    def over_all(quotes):
        seen.update(quotes)
        return ()

    run([market_quotes], lake, instance, tags=over("2013-02-26", "2013-02-28"))
    run([over_all, market_quotes], lake, instance, selection=[over_all])

    assert seen == {day: priced(day) for day in DAYS.get_partition_keys()}


def test_a_missing_input_stops_the_run_and_names_the_command_that_makes_it(lake, instance):
    result = run(
        [market_quotes, wishes], lake, instance, selection=[wishes], partition_key=DAY, raise_on_error=False
    )

    assert cause_of(result).cls_name == "LakeError"
    assert cause_of(result).message == (
        "trading.errors.LakeError: us_five/market_quotes 2013-02-27: not materialized; "
        "run `dagster asset materialize -f trading_assets/definitions.py "
        "--select us_five/market_quotes --partition 2013-02-27`\n"
    )


def test_the_command_of_a_missing_input_is_the_one_that_the_root_says(lake, instance):
    manager = LakeIOManager(
        lake,
        ROW_TYPES,
        remedies={"market_quotes": "trading quotes import --book {book} --through {partition}"},
    )

    with pytest.raises(LakeError, match="run `trading quotes import --book us_five --through 2013-02-27`"):
        dg.materialize(
            [market_quotes, wishes],
            selection=[wishes],
            partition_key=DAY,
            resources={"io_manager": manager},
            instance=instance,
        )


def test_a_missing_optional_input_is_none(lake, instance):
    seen = []

    @dg.asset(
        key=["us_five", "wishes"],
        partitions_def=DAYS,
        ins={"quotes": dg.AssetIn(["us_five", "market_quotes"], metadata={"optional": True})},
    )
    def undemanding(quotes):
        seen.append(quotes)
        return ()

    run([market_quotes, undemanding], lake, instance, selection=[undemanding], partition_key=DAY)

    assert seen == [None]


def test_an_asset_without_partitions_is_kept_and_read(lake, instance):
    @dg.asset(key=["us_five", "instruments"])
    def instruments():
        return list(priced(DAY))

    @dg.asset(
        key=["us_five", "wishes"], partitions_def=DAYS, ins={"known": dg.AssetIn(["us_five", "instruments"])}
    )
    def of_instruments(known):
        return tuple(Wished(row.symbol, Wish.FLAT) for row in known)

    run([instruments, of_instruments], lake, instance, partition_key=DAY)

    assert lake.pointer(("us_five", "instruments"), None).rows == 2
    assert lake.pointer(WISHES, DAY).rows == 2


@pytest.mark.parametrize("way", ["output", "context", "result"])
def test_remarks_travel_to_the_pointer_however_they_are_given(lake, instance, way):
    remarks = {UNFIT_REASON: "stale", INPUTS_SHA: "a" * 64}

    @dg.asset(key=["us_five", "market_quotes"], partitions_def=DAYS)
    def remarked(context: dg.AssetExecutionContext):
        if way == "output":
            return dg.Output(priced(DAY), metadata=remarks)
        if way == "result":
            return dg.MaterializeResult(value=priced(DAY), metadata=remarks)
        context.add_output_metadata(remarks)
        return priced(DAY)

    run([remarked], lake, instance, partition_key=DAY)

    pointer = lake.pointer(QUOTES, DAY)
    assert (pointer.extra, pointer.inputs_sha) == ({"unfit_reason": "stale"}, "a" * 64)


def test_the_same_partition_twice_is_the_same_file_and_pointer(lake, instance):
    run([market_quotes, wishes], lake, instance, partition_key=DAY)
    before = {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}

    run([market_quotes, wishes], lake, instance, partition_key=DAY)

    assert {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()} == before
    assert len(before) == 4


@pytest.mark.parametrize("value", [None, "rows", 7])
def test_an_output_that_is_no_rows_is_refused(lake, instance, value):
    @dg.asset(key=["us_five", "market_quotes"], partitions_def=DAYS)
    def strange():
        return dg.Output(value)

    result = run([strange], lake, instance, partition_key=DAY, raise_on_error=False)

    assert f"output is {type(value).__name__}, expected a tuple of rows" in cause_of(result).message


def test_a_row_type_that_no_table_can_hold_is_refused_with_its_field_when_the_manager_is_made(lake):
    class Listed(NamedTuple):
        symbols: list[str]

    with pytest.raises(TypeError, match=r"row type Listed, field symbols: no column holds list\[str\]"):
        LakeIOManager(lake, {"listed": Listed})


def test_an_asset_without_a_row_type_is_refused(lake, instance):
    @dg.asset(key=["us_five", "surprises"])
    def surprises():
        return ()

    result = run([surprises], lake, instance, raise_on_error=False)

    assert "asset us_five/surprises: no row type is registered for surprises" in cause_of(result).message
