"""What must hold for every table of accepted quotes, as a Great Expectations suite.

A second opinion on the result of trading/quality.py, written independently of it: the rules there decide
row by row, the expectations here look at the table that was stored. Used by the checks of the stage
`market_quotes`; never on an order's path. Nothing is written, no context folder, no analytics.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite
    from great_expectations.core.batch_definition import BatchDefinition

PRICES = ("open_micros", "high_micros", "low_micros", "close_micros")
COLUMNS = ("symbol", "session", *PRICES, "volume", "source", "source_sha", "known_at", "released")
INSIDE = (
    ("high_micros", "low_micros"),
    ("high_micros", "open_micros"),
    ("high_micros", "close_micros"),
    ("open_micros", "low_micros"),
    ("close_micros", "low_micros"),
)
"""Pairs of columns of which the first is never below the second, except where a person released the row."""

EXAMPLES_SHOWN = 5


def validate_quotes(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the expectations that a table of accepted quotes fails, none where all hold.

    `frame` has the fields of `trading.quotes.Quote` as columns, one row per symbol × session. Each failure
    names `expectation`, `columns`, `unexpected_count`, up to five `examples` as text, and `error` where the
    expectation could not be computed. The first call of a process imports the library, which takes seconds.
    """
    table, suite = _table_and_suite()
    batch = table.get_batch(batch_parameters={"dataframe": frame})
    # Whether all is well takes half as long as what is wrong, and almost always all is well.
    if batch.validate(suite, result_format="BOOLEAN_ONLY").success:
        return []
    result = batch.validate(suite, result_format="SUMMARY")
    failures = [_failure(outcome.to_json_dict()) for outcome in result.results if not outcome.success]
    return sorted(failures, key=lambda failure: (failure["expectation"], failure["columns"]))


@lru_cache(maxsize=1)
def suite_sha() -> str:
    """Return the digest of what judges: expectations and library, which is not imported."""
    library = version("great-expectations")
    return hashlib.sha256(Path(__file__).read_bytes() + library.encode()).hexdigest()


def _failure(outcome: dict[str, Any]) -> dict[str, Any]:
    config, result = outcome["expectation_config"], outcome["result"]
    kwargs = config["kwargs"]
    columns = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return {
        "expectation": config["type"],
        "columns": ", ".join(columns or kwargs.get("column_list", [])),
        "unexpected_count": result.get("unexpected_count", 0),
        "examples": [str(example) for example in result.get("partial_unexpected_list", [])][:EXAMPLES_SHOWN],
        "error": _error(outcome["exception_info"]),
    }


def _error(info: dict[str, Any]) -> str:
    """Return why an expectation could not be computed; the library nests that by metric, or not."""
    details = [info] if "exception_message" in info else list(info.values())
    return "; ".join(
        sorted({str(detail["exception_message"]) for detail in details if detail["exception_message"]})
    )


@lru_cache(maxsize=1)
def _table_and_suite() -> tuple[BatchDefinition[Any], ExpectationSuite]:
    """Build the suite once a process, in a context that lives in memory only and keeps no results."""
    # Takes four to nine seconds: only the check that validates pays for it.
    import great_expectations as gx  # noqa: PLC0415
    from great_expectations.data_context.types import base  # noqa: PLC0415

    context = gx.get_context(
        mode="ephemeral",
        project_config=base.DataContextConfig(
            # Without a documentation site, since the default one makes itself a folder.
            store_backend_defaults=base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=base.ProgressBarsConfig(globally=False),
        ),
    )
    table = context.data_sources.add_pandas("quotes").add_dataframe_asset("accepted")
    suite = context.suites.add(gx.ExpectationSuite(name="accepted_quotes", expectations=_expectations()))
    return table.add_batch_definition_whole_dataframe("table"), suite


def _expectations() -> list[dict[str, Any]]:
    from great_expectations.expectations.row_conditions import Column  # noqa: PLC0415 - see _table_and_suite

    # A released row may break what a person looked at: its range and its volume.
    judged = {"row_condition": Column("released") == False}  # noqa: E712 - makes a condition, compares nothing
    return [
        _expect("table_row_count_to_be_between", min_value=1),
        *(_expect("column_values_to_not_be_null", column=column) for column in COLUMNS),
        _expect("column_values_to_match_regex", column="symbol", regex=r"^[A-Z0-9.\-]{1,12}$"),
        _expect("compound_columns_to_be_unique", column_list=["symbol", "session"]),
        *(_expect("column_values_to_be_between", column=price, min_value=1) for price in PRICES),
        *(
            _expect(
                "column_pair_values_a_to_be_greater_than_b",
                column_A=higher,
                column_B=lower,
                or_equal=True,
                **judged,
            )
            for higher, lower in INSIDE
        ),
        _expect("column_values_to_be_between", column="volume", min_value=0),
        _expect("column_values_to_be_between", column="volume", min_value=1, **judged),
        _expect("column_values_to_match_regex", column="source_sha", regex=r"^[0-9a-f]{64}$"),
    ]


def _expect(what: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{what}", "kwargs": kwargs}
