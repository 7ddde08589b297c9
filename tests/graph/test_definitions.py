"""The definitions: what a person sees of the graph before anything runs, and how its parts may depend."""

from __future__ import annotations

import ast
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.load import location_origins_from_yaml_paths

from jobs.session_jobs import DECIDE, EXECUTE, IMPORT, SETTLE, job_name
from resources.settings import Profile
from tests.graph.desk import PROJECT, settings_in
from trading.gates import GATE_NAMES
from trading_assets.definitions import definitions_of
from trading_assets.session_graph import STAGES
from trading_assets.stages.promotion_decisions import BLOCKING
from trading_assets.tables import ROW_TYPES

# The import takes many sessions at once, a session job one: Dagster says that it takes the smaller number.
pytestmark = pytest.mark.filterwarnings("ignore:.*varying BackfillPolicies:UserWarning")

BOOKS = ("us_five", "us_wide")
ROLES = {"commander", "scanner", "strategist", "supervisor", "executor", "monitor", "reporter"}
FLOW = tuple(ROW_TYPES)
"""Every table, in the order of the flow."""

QUOTE_CHECKS = {"quotes_satisfy_the_suite", "session_is_fit_to_decide_on"}
ADVICE_CHECKS = {"replies_are_readable", "context_was_known", "error_budget_holds", "spending_holds"}
DECISION_CHECKS = {*GATE_NAMES, "no_intent_is_blocked"}
EXECUTION_CHECKS = {"every_outcome_is_known"}
SETTLE_CHECKS = {
    *QUOTE_CHECKS,
    "orders_agree_with_the_broker",
    "positions_agree_with_the_broker",
    "book_balances_to_the_unit",
    "session_replays_the_same",
    "session_raised_no_critical_alert",
}
READ_BEFORE_THE_OPEN = ("input_envelopes", "candidates", "intents", "verdicts", "decisions", "executions")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    return definitions_of(settings_in(tmp_path_factory.mktemp("definitions")))


@pytest.fixture(scope="module")
def nodes(definitions):
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}


def job_of(definitions, book, what):
    return definitions.resolve_job_def(job_name(book, what))


def assets_of(job):
    return {key.path[1] for key in job.asset_layer.selected_asset_keys}


def checks_of(job):
    return {key.name for key in job.asset_layer.asset_graph.asset_check_keys}


def test_the_definitions_load(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_every_book_has_every_table_of_the_flow_and_nothing_else(nodes):
    assert set(nodes) == {f"{book}/{asset}" for book in BOOKS for asset in FLOW}


def test_every_asset_says_who_owns_it_which_role_it_plays_and_what_a_row_is(nodes):
    for name, node in nodes.items():
        assert node.owners == ["team:trading-desk"], name
        assert node.group_name in ROLES, name
        assert node.description, name
        assert "row is" in node.description, name
        assert "parquet" in node.kinds, name
        schema = node.metadata["dagster/column_schema"].columns
        columns = [column.name for column in schema]
        assert columns == list(ROW_TYPES[name.split("/")[1]].__annotations__), name
        assert all(column.type for column in schema), name


def test_every_role_has_an_asset(nodes):
    assert {node.group_name for node in nodes.values()} == ROLES


NAMED = {
    "replays": "replays",
    "scorecards": "replays",
    "sweeps": "sweeps",
    "weekly_health": "weeks",
    "weekly_audit": "weeks",
}
"""The assets whose partitions are names, and of what."""


def test_every_asset_but_the_actions_replays_and_weeks_has_one_partition_a_session(nodes):
    for name, node in nodes.items():
        if name.endswith("/corporate_actions"):
            assert node.partitions_def is None
        elif (of := NAMED.get(name.split("/")[1])) is not None:
            book = name.split("/")[0]
            assert node.partitions_def == dg.DynamicPartitionsDefinition(name=f"{book}__{of}")
        else:
            keys = node.partitions_def.get_partition_keys()
            assert "2010-07-05" not in keys, f"{name}: a holiday is no session"
            assert "2010-07-04" not in keys, f"{name}: a Sunday is no session"
            assert "2010-07-06" in keys


def test_the_partitions_are_the_exchanges_sessions(definitions, nodes):
    keys = nodes["us_five/decisions"].partitions_def.get_partition_keys()

    assert (len(keys), keys[0], keys[-1]) == (3270, "2000-03-01", "2013-03-01")


def test_a_stage_depends_only_on_earlier_stages_of_its_own_book(nodes):
    for name, node in nodes.items():
        book, asset = name.split("/")
        for parent in node.parent_keys:
            assert parent.path[0] == book, name
            assert FLOW.index(parent.path[1]) < FLOW.index(asset), f"{name} reads {parent.path[1]}"


def test_a_decision_reads_the_quotes_of_the_session_before_never_its_own(nodes):
    for book in BOOKS:
        for asset in READ_BEFORE_THE_OPEN:
            mapping = nodes[f"{book}/{asset}"].partition_mappings.get(dg.AssetKey([book, "market_quotes"]))

            assert isinstance(mapping, dg.TimeWindowPartitionMapping), asset
            assert (mapping.start_offset, mapping.end_offset) == (-1, -1), asset


def test_every_other_edge_is_of_one_and_the_same_session(nodes):
    shifted = {
        (name, parent.path[1])
        for name, node in nodes.items()
        for parent in node.parent_keys
        if node.partition_mappings.get(parent) is not None
    }

    assert shifted == {(f"{b}/{asset}", "market_quotes") for b in BOOKS for asset in READ_BEFORE_THE_OPEN}


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize(
    ("what", "assets", "checks"),
    [
        ("import_quotes", set(IMPORT), QUOTE_CHECKS),
        ("decide", set(DECIDE), ADVICE_CHECKS | DECISION_CHECKS),
        ("execute", set(EXECUTE), DECISION_CHECKS | EXECUTION_CHECKS),
        ("settle", set(SETTLE), SETTLE_CHECKS),
        (
            "session",
            {*DECIDE, *EXECUTE, *SETTLE},
            ADVICE_CHECKS | DECISION_CHECKS | EXECUTION_CHECKS | SETTLE_CHECKS,
        ),
    ],
)
def test_a_job_selects_its_stages_and_their_checks_in_one_process(definitions, book, what, assets, checks):
    job = job_of(definitions, book, what)

    assert assets_of(job) == assets
    assert {key.path[0] for key in job.asset_layer.selected_asset_keys} == {book}
    assert checks_of(job) == checks
    assert job.executor_def.name == "in_process"
    assert job.tags["trading/book"] == book
    assert job.partitions_def is not None


def test_the_session_job_passes_every_stage_of_a_session(definitions):
    over_many = {"corporate_actions", "promotion_decisions", *NAMED}

    assert assets_of(job_of(definitions, "us_five", "session")) == set(FLOW) - over_many


def test_the_gates_block_and_nothing_else_does(definitions):
    graph = definitions.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}

    assert blocking == {*GATE_NAMES, *BLOCKING}


def test_every_check_says_what_it_holds(definitions):
    graph = definitions.resolve_asset_graph()

    assert all(graph.get_check_spec(key).description for key in graph.asset_check_keys)


def test_money_is_behind_no_retry(definitions):
    for book in BOOKS:
        for asset in ("executions", "order_status", "broker_positions"):
            op = definitions.resolve_assets_def(dg.AssetKey([book, asset])).op
            assert op.retry_policy is None
            assert op.tags["dagster/max_retries"] == "0"
        for what in ("decide", "execute", "settle", "session"):
            job = job_of(definitions, book, what)
            assert "dagster/max_retries" not in job.tags
            assert all(node.definition.retry_policy is None for node in job.nodes)


def test_the_instance_retries_no_run():
    written = (PROJECT / "dagster.yaml").read_text(encoding="utf-8")

    assert "retry_on_asset_or_op_failure: false" in written


@pytest.mark.parametrize(
    ("profile", "is_running"),
    [(Profile.SIMULATED, True), (Profile.PAPER, False), (Profile.LIVE, False)],
)
def test_schedules_and_sensors_run_by_default_where_nothing_is_at_stake_only(tmp_path, profile, is_running):
    definitions = definitions_of(settings_in(tmp_path, profile=profile, live_allowed=profile is Profile.LIVE))

    schedules = {schedule.name: schedule.default_status.value for schedule in definitions.schedules}
    sensors = {sensor.name: sensor.default_status.value for sensor in definitions.sensors}

    wanted = "RUNNING" if is_running else "STOPPED"
    assert schedules == {
        f"{book}__{what}_schedule": wanted
        for book in BOOKS
        for what in ("decide", "settle", "evidence", "week")
    }
    # What sends nothing watches where there is something to watch.
    watching = "STOPPED" if is_running else "RUNNING"
    assert sensors.pop("watch") == "RUNNING"
    assert sensors == {f"{book}__approvals_sensor": wanted for book in BOOKS} | {
        f"{book}__reconciliation_sensor": watching for book in BOOKS
    }


def test_no_stage_imports_another():
    stages = PROJECT / "trading_assets" / "stages"
    names = {path.stem for path in stages.glob("*.py")} - {"__init__"}

    assert len(names) == len(STAGES)
    for path in sorted(stages.glob("*.py")):
        imported = _imported_by(path)
        assert not [module for module in imported if module.startswith("trading_assets.stages")], path.name


def _imported_by(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    return modules


def test_the_server_has_this_folders_graph_wherever_it_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    (origin,) = location_origins_from_yaml_paths([str(PROJECT / "workspace.yaml")])

    target = origin.loadable_target_origin
    assert (Path(target.python_file), Path(target.working_directory)) == (
        PROJECT / "trading_assets" / "served.py",
        PROJECT,
    )
