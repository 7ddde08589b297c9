"""A data set is one digest, and a difference is named."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from trading.actions import ActionKind, CorporateAction
from trading.datasets import (
    DataFile,
    Dataset,
    DatasetChanged,
    Difference,
    dataset,
    differences,
    require_unchanged,
)
from trading.simulation import FillModel
from trading.values import Symbol

CALENDAR = load_calendar("XNYS", Path(__file__).parents[2] / "config" / "calendars")
FIRST, LAST = date(2013, 2, 25), date(2013, 3, 1)
BARS, ACTIONS = DataFile("bars.csv", "aa" * 32, 100), DataFile("actions.csv", "bb" * 32, 20)
SPLIT = CorporateAction(
    effective_on=date(2013, 2, 27), symbol=Symbol("BOLT"), kind=ActionKind.SPLIT, numerator=2
)
COSTS = FillModel(5, 1, 500)


def a_dataset() -> Dataset:
    return dataset(
        book="my_bars",
        source="folder",
        source_sha="cc" * 32,
        files=(BARS, ACTIONS),
        calendar=CALENDAR,
        currency="USD",
        first_session=FIRST,
        last_session=LAST,
        symbols=("BOLT", "ACME", "BOLT"),
        actions=(SPLIT,),
        costs=COSTS,
    )


def test_it_counts_sessions_symbols_and_actions_whatever_the_order_they_came_in():
    found = a_dataset()

    assert (found.sessions, found.symbols, found.actions) == (5, ("ACME", "BOLT"), 1)
    assert found.files == (ACTIONS, BARS)


CHANGES = {
    "source": "bytetheory",
    "source_sha": "dd" * 32,
    "files": (BARS,),
    "calendar": "XLON",
    "calendar_sha": "other",
    "currency": "EUR",
    "first_session": date(2013, 2, 26),
    "last_session": date(2013, 2, 28),
    "sessions": 4,
    "symbols": ("ACME",),
    "actions": 0,
    "actions_sha": "other",
    "costs": FillModel(5, 2, 500),
}


@pytest.mark.parametrize("part", CHANGES)
def test_whatever_changes_is_another_data_set_and_is_named(part):
    before = a_dataset()

    after = replace(before, **{part: CHANGES[part]})

    assert after.sha != before.sha
    (changed,) = differences(before, after)
    assert changed.what.startswith(
        {"files": "file actions.csv", "costs": "costs.commission_bps"}.get(part, part)
    )
    with pytest.raises(DatasetChanged, match=changed.found):
        require_unchanged(before, after, manifest="my_bars.toml")


def test_every_part_but_the_name_of_the_book_is_tried():
    assert {field.name for field in fields(Dataset)} - set(CHANGES) == {"book"}


def test_a_copy_under_another_name_is_the_same_data_set():
    assert replace(a_dataset(), book="yours").sha == a_dataset().sha


def test_a_flipped_byte_is_told_with_the_file_both_hashes_and_what_to_do():
    flipped = BARS._replace(sha256="ee" * 32)
    after = replace(a_dataset(), files=(ACTIONS, flipped), source_sha="other")

    with pytest.raises(DatasetChanged) as refused:
        require_unchanged(a_dataset(), after, manifest="datasets/my_bars.toml")

    told = str(refused.value)
    assert told.startswith(f"data set my_bars: file bars.csv is sha256 {'ee' * 32}, 100 bytes, ")
    assert f"datasets/my_bars.toml says sha256 {'aa' * 32}, 100 bytes and 1 more" in told
    assert "trading datasets verify --book my_bars" in told
    assert "trading datasets manifest --book my_bars --write" in told


def test_a_file_that_is_new_or_gone_is_named():
    without = replace(a_dataset(), files=(BARS,))

    assert differences(without, a_dataset()) == (
        Difference("file actions.csv", "nothing", f"sha256 {'bb' * 32}, 20 bytes"),
    )
    assert differences(a_dataset(), without) == (
        Difference("file actions.csv", f"sha256 {'bb' * 32}, 20 bytes", "nothing"),
    )


def test_an_early_close_that_is_told_otherwise_is_another_calendar():
    session = date(2013, 2, 26)
    shorter = replace(CALENDAR, early_closes={**CALENDAR.early_closes, session: CALENDAR.open_time})
    before = a_dataset()

    changed = differences(before, replace(before, calendar_sha=dataset_on(shorter).calendar_sha))

    assert [one.what for one in changed] == ["calendar_sha"]
    assert dataset_on(CALENDAR).calendar_sha == before.calendar_sha


def dataset_on(calendar) -> Dataset:
    return dataset(
        book="my_bars",
        source="folder",
        source_sha="",
        files=(),
        calendar=calendar,
        currency="USD",
        first_session=FIRST,
        last_session=LAST,
        symbols=(),
        actions=(),
        costs=COSTS,
    )
