"""The reference says what the code says, and names everything that a reader may meet.

What the pages are made of is docs/write_reference.py.
"""

from __future__ import annotations

import functools
import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from resources.settings import describe_settings
from tests.docs.pages import DOCS, ROOT, name_of
from tests.docs.reader import without_settings
from trading.attribution import MEASURES_OF_ROUND_TRIPS
from trading.gates import GATE_NAMES
from trading.guards import GUARDS, REASONS
from trading.honest import MEASURES_OF_LUCK
from trading.lifecycle import EDGES, IntentState
from trading.metrics import METRICS
from trading.performance import MEASURES, MEASURES_BESIDE
from trading.scorecard import MEASURES_OF_TRADING
from trading.stress import usual_scenarios
from trading_assets.definitions import definitions_of
from trading_assets.session_graph import STAGES

REFERENCE = DOCS / "reference"
REVIEWED = sorted({path.name for path in (ROOT / "config").glob("*.toml")} - {"alerts.toml"})


@functools.cache
def writer() -> ModuleType:
    """Give the script that writes the reference, as a module."""
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[Path, str]:
    """Give every generated page as it would be written now, on a machine without settings."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        patch.chdir(tmp_path_factory.mktemp("anywhere"))
        patch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
        pages: dict[Path, str] = writer().pages()
        return pages


def repository():
    """Give what Dagster would load."""
    return definitions_of(writer().load_settings()).get_repository_def()


def text_of(*pages: str) -> str:
    """Give pages of the reference as one text."""
    return "\n".join((REFERENCE / page).read_text("utf-8") for page in pages)


def unnamed(names, text: str) -> list[str]:
    """Give the names that a text does not have in code marks."""
    return [name for name in names if f"`{name}`" not in text]


def test_every_generated_page_is_current(written):
    stale = [name_of(page) for page, text in written.items() if page.read_text("utf-8") != text]

    assert stale == [], "run `make docs`"


def test_every_page_of_the_reference_is_generated(written):
    assert set(REFERENCE.glob("*.md")) - set(written) == set()


def test_generated_pages_name_no_machine(written, tmp_path_factory):
    machine = str(tmp_path_factory.getbasetemp())

    assert [name_of(page) for page, text in written.items() if machine in text or str(ROOT) in text] == []


def test_every_asset_check_job_schedule_and_sensor_is_named(monkeypatch):
    without_settings(monkeypatch)
    monkeypatch.chdir(ROOT)
    found = repository()
    graph = found.asset_graph
    books = tomllib.loads((ROOT / "config" / "books.toml").read_text("utf-8"))
    names = {key.path[-1] for key in graph.get_all_asset_keys()} | {
        key.name for key in graph.asset_check_keys
    }
    for started in (*found.get_all_jobs(), *found.schedule_defs, *found.sensor_defs):
        book, _, what = started.name.partition("__")
        if book in books:
            names.add(f"<book>__{what}")

    assert len(names) > 30
    assert unnamed(names, text_of("assets_and_checks.md")) == []


def test_every_setting_is_named():
    assert unnamed([one.variable for one in describe_settings()], text_of("settings.md")) == []


@pytest.mark.parametrize("name", REVIEWED)
def test_every_key_of_a_reviewed_file_is_told_with_its_meaning(name):
    text = (ROOT / "config" / name).read_text("utf-8")
    told = {key.name: key.meaning for key in writer().config_keys(text)}
    page = text_of("config.md")

    assert set(keys_of(tomllib.loads(text), deep=name != "strategies.toml")) - set(told) == set()
    assert unnamed(told, page) == []
    assert [key for key, meaning in told.items() if not meaning] == []


def test_every_guard_has_its_reason_and_its_units():
    text = text_of("guards.md")

    assert unnamed([name for name, _ in GUARDS], text) == []
    assert unnamed([reason for code, reason in REASONS.items() if code], text) == []
    assert list(writer().UNITS_OF_GUARD) == [name for name, _ in GUARDS]


def test_every_gate_is_explained():
    text = (DOCS / "explanation" / "gates_and_guards.md").read_text("utf-8")

    assert unnamed(GATE_NAMES, text) == []


def test_every_measure_tells_its_formula_its_sampling_and_when_it_is_no_data():
    measures = {
        **MEASURES,
        **MEASURES_BESIDE,
        **MEASURES_OF_TRADING,
        **MEASURES_OF_ROUND_TRIPS,
        **MEASURES_OF_LUCK,
    }
    untold = [
        name
        for name, measure in measures.items()
        if not all(list(writer().measure_told(measure).values())[:3])
    ]

    assert untold == []
    assert unnamed(measures, text_of("measures.md")) == []
    assert unnamed([scenario.name for scenario in usual_scenarios()], text_of("measures.md")) == []


def test_every_metric_and_alert_is_named():
    rules = tomllib.loads((ROOT / "config" / "alerts.toml").read_text("utf-8"))["rules"]

    assert unnamed([metric.name for metric in METRICS], text_of("metrics.md")) == []
    assert unnamed([rule["code"] for rule in rules], text_of("alerts.md")) == []
    assert [rule["runbook"] for rule in rules if not (ROOT / rule["runbook"]).is_file()] == []


def test_the_life_of_an_intent_tells_every_state_and_every_edge():
    text = (DOCS / "explanation" / "intent_life.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    told = {
        (int(row[0].removeprefix("| ")), row[1].strip("`"), before, after)
        for row in rows
        for before in row[2].split(" or ")
        for after in row[3].split(" or ")
    }
    edges = {
        (
            edge.row,
            edge.step.value,
            _place(edge.from_state.value if edge.from_state else "new", edge.from_stage.value),
            _place(edge.to_state.value, edge.to_stage.value),
        )
        for edge in EDGES
    }

    assert unnamed(list(IntentState), text) == []
    assert told == edges


def test_the_architecture_follows_a_quote_through_every_stage_in_the_order_of_the_flow():
    text = (DOCS / "explanation" / "architecture.md").read_text("utf-8")
    files = [f"trading_assets/stages/{stage.__name__.removesuffix('_stage')}.py" for stage in STAGES]
    way = [
        "config/books.toml",
        "resources/market_data/",
        *files,
        "resources/notifier.py",
        "resources/reports.py",
    ]

    assert [name for name in way if name not in text] == []
    decided = [text.index(name) for name in files if "corporate_actions" not in name]
    assert decided == sorted(decided)


def test_the_architecture_names_every_file_of_the_craft():
    text = (DOCS / "explanation" / "architecture.md").read_text("utf-8")
    crafts = [name_of(path) for path in (ROOT / "trading").glob("*.py") if path.stem != "__init__"]

    assert [name for name in crafts if f"`{name}`" not in text] == []


def keys_of(content: dict[str, Any], *, deep: bool) -> Iterator[str]:
    """Give the keys that hold a value, in sections and, unless a line is one value, below."""
    for key, value in content.items():
        if deep and isinstance(value, dict):
            yield from keys_of(value, deep=True)
        elif deep and isinstance(value, list) and value and isinstance(value[0], dict):
            yield from keys_of(value[0], deep=True)
        else:
            yield key


def _place(state: str, stage: str) -> str:
    return f"{state} ({stage})" if stage else state
