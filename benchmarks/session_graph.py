"""One whole session through the graph in process, against a graph of as many steps that does nothing.

The idle graph has the same assets, checks, inputs and partitions, on the same storage; its bodies return
nothing. Then where the time of the real one goes: each moment counts for the innermost of what is timed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import Parameter, Signature, isgeneratorfunction, unwrap
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.execution.plan import compute_generator  # where a step's body is called
from measuring import BOOK, SESSIONS, Figure, desk, median, timed

from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.paper_broker.broker import PaperBroker
from resources.reports import ReportWriter
from resources.run_records import KeptEvents, KeptRuns

RUNS = SESSIONS[1:]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
IDLE = "idle"


def measure() -> list[Figure]:
    """Return the figures."""
    with desk() as launcher:
        idle = idle_job(launcher.definitions(BOOK), f"{BOOK}__session")

        def run_idle(session: Any) -> Any:
            return idle.execute_in_process(
                partition_key=str(session), instance=launcher.instance, run_config=QUIET
            )

        idle_run = run_idle(SESSIONS[0])
        real_run = launcher.instance.get_run_records(limit=2)[1].dagster_run
        idle_events, real_events = (
            len(launcher.instance.all_logs(run_id)) for run_id in (idle_run.run_id, real_run.run_id)
        )
        real, nothing = [], []
        for session in RUNS[:-1]:  # in turns, so that both meet the same machine
            real.append(timed(lambda session=session: launcher.run_job(BOOK, "session", session)))
            nothing.append(timed(lambda session=session: run_idle(session)))
        parts = breakdown(lambda: launcher.run_job(BOOK, "session", RUNS[-1]))
    baseline = "the idle graph"
    wall, idle_wall = median([w for w, _ in real]), median([w for w, _ in nothing])
    cpu, idle_cpu = median([c for _, c in real]), median([c for _, c in nothing])
    return [
        Figure(
            what="a session through the graph, wall",
            value=wall,
            unit="s",
            baseline=baseline,
            ratio=wall / idle_wall,
        ),
        Figure(
            what="a session through the graph, CPU",
            value=cpu,
            unit="s",
            baseline=baseline,
            ratio=cpu / idle_cpu,
        ),
        Figure(what="the idle graph, wall", value=idle_wall, unit="s", note=f"{idle_events} events"),
        Figure(what="events of a session", value=real_events, unit="events"),
        *(
            Figure(
                what=f"of a session: {part}",
                value=seconds,
                unit="s",
                note=f"{seconds / sum(parts.values()):.0%}",
            )
            for part, seconds in sorted(parts.items(), key=lambda item: -item[1])
        ),
    ]


def idle_job(definitions: dg.Definitions, name: str) -> Any:
    """Return a job shaped like another of the same definitions, whose steps do nothing."""
    steps = {node.name for node in definitions.resolve_job_def(name).nodes}
    assets = [idle_asset(one) for one in definitions.assets or [] if one.op.name in steps]
    checks = [idle_check(one) for one in definitions.asset_checks or [] if one.op.name in steps]
    outside = {key for one in assets for key in one.dependency_keys} - {
        key for one in assets for key in one.keys
    }
    given = [dg.AssetSpec(key) for key in outside]
    job = dg.define_asset_job(
        IDLE,
        selection=dg.AssetSelection.assets(*(key for one in assets for key in one.keys))
        | dg.AssetSelection.checks(*(key for one in checks for key in one.check_keys)),
        executor_def=dg.in_process_executor,
    )
    whole = dg.Definitions(
        assets=[*assets, *given],
        asset_checks=checks,
        jobs=[job],
        resources={"io_manager": dg.IOManagerDefinition.hardcoded_io_manager(Nowhere())},
    )
    return whole.resolve_job_def(IDLE)


class Nowhere(dg.IOManager):
    """Store nothing, and give nothing."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Forget it."""

    def load_input(self, context: dg.InputContext) -> None:
        """Give nothing."""


def idle_asset(real: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Return an asset with the outputs and inputs of another."""
    names = {key: name for name, key in real.keys_by_output_name.items()}
    loaded = _loaded(real)

    def nothing(**_: Any) -> Any:
        return tuple(None for _ in names) if len(names) > 1 else None

    decorated = dg.multi_asset(
        name=f"{IDLE}_{real.op.name}",
        outs={names[spec.key]: dg.AssetOut(key=_idle(spec.key), is_required=True) for spec in real.specs},
        ins=loaded,
        deps=_unloaded(real),
        partitions_def=real.partitions_def,
    )
    return decorated(_taking(nothing, loaded))


def idle_check(real: dg.AssetChecksDefinition) -> dg.AssetChecksDefinition:
    """Return checks with the names and inputs of others, which pass."""
    specs = [
        dg.AssetCheckSpec(
            spec.name,
            asset=_idle(spec.asset_key),
            blocking=spec.blocking,
            additional_deps=[_idle(dep.asset_key) for dep in spec.additional_deps],
            partitions_def=spec.partitions_def,
        )
        for spec in real.check_specs
    ]

    loaded = _loaded(real)

    def nothing(**_: Any) -> Iterator[dg.AssetCheckResult]:
        for spec in specs:
            yield dg.AssetCheckResult(check_name=spec.name, asset_key=spec.asset_key, passed=True)

    decorated = dg.multi_asset_check(name=f"{IDLE}_{real.op.name}", specs=specs, ins=loaded)
    return decorated(_taking(nothing, loaded))


def _taking(act: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """Return a function that says it takes these arguments, as Dagster wants to read it."""
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    act.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return act


def _idle(key: dg.AssetKey) -> dg.AssetKey:
    return dg.AssetKey([IDLE, *key.path])


def _loaded(real: dg.AssetsDefinition) -> dict[str, dg.AssetIn]:
    """Return the inputs that a step is given."""
    return {
        name: dg.AssetIn(key=_idle(key))
        for name, key in real.keys_by_input_name.items()
        if not real.op.input_def_named(name).dagster_type.is_nothing
    }


def _unloaded(real: dg.AssetsDefinition) -> list[dg.AssetDep]:
    """Return what a step only comes after."""
    return [
        dg.AssetDep(_idle(key), partition_mapping=real.get_partition_mapping_for_dep(key))
        if hasattr(real, "get_partition_mapping_for_dep")
        else dg.AssetDep(_idle(key))
        for name, key in real.keys_by_input_name.items()
        if real.op.input_def_named(name).dagster_type.is_nothing
    ]


def breakdown(run: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds of one run by what they went to; what nothing else claims is Dagster's engine."""
    clock = Clock()
    with ExitStack() as stack:
        for owner, part in (
            (KeptEvents, "Dagster's events, stored"),
            (KeptRuns, "Dagster's events, stored"),
            (Lake, "the lake: Parquet and pointers"),
            (SqlJournal, "the journal"),
            (PaperBroker, "the paper broker"),
            (ReportWriter, "the daily report: plots and pages"),
        ):
            for name in _methods(owner):
                stack.enter_context(patch.object(owner, name, clock.around(part, getattr(owner, name))))
        body = compute_generator.invoke_compute_fn
        stack.enter_context(
            patch.object(
                compute_generator,
                "invoke_compute_fn",
                clock.around("rules, and the rest of the bodies", body),
            )
        )
        with clock.inside("Dagster's engine"):
            run()
    return dict(clock.spent)


def _methods(owner: type) -> list[str]:
    """Return the public methods of a class that are plain calls: a context manager's time is its block's."""
    chosen = {"store_event", "handle_run_event", "add_run"} if owner.__name__.startswith("Kept") else None
    found = []
    for name in dir(owner):
        member = getattr(owner, name, None)
        plain = callable(member) and not name.startswith("_") and not isgeneratorfunction(unwrap(member))
        if (
            plain
            and (chosen is None or name in chosen)
            and not isinstance(owner.__dict__.get(name), classmethod)
        ):
            found.append(name)
    return found


class Clock:
    """Count each moment for the innermost part that is being timed."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._parts: list[str] = []
        self._since = 0.0

    @contextmanager
    def inside(self, part: str) -> Iterator[None]:
        """Count the block for a part."""
        self._switch()
        self._parts.append(part)
        try:
            yield
        finally:
            self._switch()
            self._parts.pop()

    def around(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is counted for a part."""

        @wraps(act)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.inside(part):
                return act(*arguments, **options)

        return counted

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._parts:
            self.spent[self._parts[-1]] += now - self._since
        self._since = now
