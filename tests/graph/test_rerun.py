"""A session run again: the same bytes, the same ids, and no second order, whatever died in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import pytest

from jobs.session_jobs import SESSION
from resources.lake.io_manager import LakeIOManager
from tests.graph.desk import CALENDAR, FIRST, Desk, copied, failure_of
from trading.journal import RunControlAction
from trading_assets.stage import POINTER_EXTRAS
from trading_assets.tables import REMEDIES, ROW_TYPES


class Killed(BaseException):
    """Stand for the end of a process: nothing that catches errors catches it."""


class Fuse:
    """Hold where the process dies next: once, at a call of a port, before or after it did its work."""

    def __init__(self) -> None:
        self.armed: tuple[str, str, str] | None = None

    def check(self, moment: str, port: str, call: str) -> None:
        """Die here, where that was armed."""
        if self.armed == (moment, port, call):
            self.armed = None
            raise Killed(f"{moment} {port}.{call}")


class Mortal:
    """Stand in front of a port, and die at a call of it."""

    def __init__(self, real: Any, port: str, fuse: Fuse) -> None:
        self._real, self._port, self._fuse = real, port, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._fuse.check("before", self._port, name)
            answer = found(*arguments, **options)
            self._fuse.check("after", self._port, name)
            return answer

        return call


class MortalLake(dg.IOManager):
    """Stand in front of the lake, and die as a stage's table is stored."""

    def __init__(self, real: LakeIOManager, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse

    def handle_output(self, context: Any, obj: Any) -> None:
        self._fuse.check("before", "lake", context.asset_key.path[1])
        self._real.handle_output(context, obj)
        self._fuse.check("after", "lake", context.asset_key.path[1])

    def load_input(self, context: Any) -> Any:
        return self._real.load_input(context)


def mortal_ports(fuse: Fuse, book: str = "us_five") -> Mapping[str, Callable[[Any], Any]]:
    """Return the ports of a desk that dies where the fuse says."""
    per_book = {
        name: lambda profiled, name=name: {book: Mortal(getattr(profiled, name)[book], name, fuse)}
        for name in ("sources", "windows", "brokers", "live_quotes")
    }
    return {
        **per_book,
        "journal": lambda profiled: Mortal(profiled.journal, "journal", fuse),
        "alert_keeper": lambda profiled: Mortal(profiled.alert_keeper, "alert_keeper", fuse),
        "report_writer": lambda profiled: Mortal(profiled.report_writer, "report_writer", fuse),
        "io_manager": lambda profiled: MortalLake(
            LakeIOManager(profiled.lake, ROW_TYPES, extras=POINTER_EXTRAS, remedies=REMEDIES), fuse
        ),
    }


DEATHS = {
    "decide": [
        ("before", "lake", "opening_book"),
        ("after", "lake", "candidates"),
        ("before", "lake", "intents"),
        ("before", "lake", "verdicts"),
        ("after", "lake", "advice"),
        ("after", "journal", "register"),
    ],
    "execute": [
        ("after", "journal", "claim"),
        ("before", "brokers", "submit"),
        ("after", "brokers", "submit"),
        ("after", "journal", "record_fill"),
        ("before", "lake", "executions"),
    ],
    "settle": [
        ("before", "lake", "quarantined_quotes"),
        ("after", "lake", "order_status"),
        ("after", "journal", "settle"),
        ("before", "lake", "metrics"),
        ("before", "alert_keeper", "tell"),
        ("before", "lake", "alerts"),
        ("after", "report_writer", "write"),
    ],
}
"""Where a process may die in each job, in the order of the flow; each run dies at one of them."""


def orders_of(desk, session):
    orders = desk.journal.orders(**desk.where(session))
    return sorted((order.intent_id, order.client_order_id, order.status) for order in orders)


def tables_of(files):
    """Return the files of tables; pointers also tell the versions that were there before."""
    return {place: sha for place, sha in files.items() if place.endswith(".parquet")}


def test_the_same_session_run_twice_leaves_the_same_bytes_and_sends_nothing_again(whole_session, desk_on):
    first, _ = whole_session
    before = first.files()
    again = desk_on(first.settings.state_dir)

    result = again.run("session", FIRST)

    assert failure_of(result) == ("", "")
    assert again.files() == before
    assert again.sent() == first.sent()
    assert len(again.journal.intents(**again.where(FIRST))) == len(again.rows("decisions", FIRST))


def test_the_same_session_on_another_machine_has_the_same_bytes_ids_and_orders(whole_session, desk):
    first, _ = whole_session

    for what in ("decide", "execute", "settle"):
        assert failure_of(desk.run(what, FIRST)) == ("", "")

    assert tables_of(desk.files()) == tables_of(first.files())
    assert desk.sent() == first.sent()
    ids = [row.intent_id for row in desk.journal.intents(**desk.where(FIRST))]
    assert ids == [row.intent_id for row in first.journal.intents(**first.where(FIRST))]


@pytest.fixture(scope="module")
def survivor(imported, tmp_path_factory):
    """Give the desk on which the first session was killed at every stage in turn, and then ran through."""
    fuse = Fuse()
    state = copied(imported.folder, tmp_path_factory.mktemp("killed") / "desk")
    for job, points in DEATHS.items():
        for point in points:
            desk = Desk(state, ports=mortal_ports(fuse))
            fuse.armed = point
            with pytest.raises(Killed, match=rf"{point[0]} {point[1]}.{point[2]}"):
                desk.run(job, FIRST, raise_on_error=True)
            desk.close()
        desk = Desk(state, ports=mortal_ports(fuse))
        assert failure_of(desk.run(job, FIRST)) == ("", "")
        desk.close()
    last = Desk(state)
    yield last
    last.close()


def test_a_session_killed_at_every_stage_in_turn_has_the_same_ids_orders_and_book(whole_session, survivor):
    first, _ = whole_session

    assert survivor.sent() == first.sent()
    assert orders_of(survivor, FIRST) == orders_of(first, FIRST)
    for row, other in zip(
        survivor.journal.intents(**survivor.where(FIRST)),
        first.journal.intents(**first.where(FIRST)),
        strict=True,
    ):
        assert (row.intent_id, row.state, row.quantity) == (other.intent_id, other.state, other.quantity)
    assert survivor.journal.session_record(**survivor.where(FIRST)).closing_sha == (
        first.journal.session_record(**first.where(FIRST)).closing_sha
    )
    assert survivor.journal.incidents() == []


def test_a_session_killed_at_every_stage_in_turn_has_the_same_bytes_throughout(whole_session, survivor):
    assert tables_of(survivor.files()) == tables_of(whole_session[0].files())


PAIRS = (("market_quotes", "quarantined_quotes"), ("advice", "advisor_calls"))
"""Tables that one step makes together."""

STAGES = [(name,) for name in SESSION if not any(name in pair for pair in PAIRS)]


@pytest.fixture(scope="module")
def settled(whole_session, tmp_path_factory):
    """Give a desk of a settled session, which each stage made again leaves as it was."""
    desk = Desk(copied(whole_session[0].settings.state_dir, tmp_path_factory.mktemp("settled") / "desk"))
    yield desk
    desk.close()


@pytest.mark.parametrize("stage", [*STAGES, *PAIRS], ids="-".join)
def test_one_stage_of_a_settled_session_made_again_is_the_same_and_sends_nothing(
    whole_session, settled, stage
):
    result = settled.materialize(*stage, session=FIRST)

    assert failure_of(result) == ("", "")
    assert settled.files() == whole_session[0].files()
    assert settled.sent() == whole_session[0].sent()


DECIDED = ("verdicts", "decisions", "executions")
"""Stages that ask the run control when they decide or execute a session."""


def test_a_settled_session_is_told_the_same_under_a_kill_switch_set_later(whole_session, desk_on):
    first, _ = whole_session
    before = first.files()
    desk = desk_on(first.settings.state_dir)
    desk.journal.set_run_control(
        RunControlAction.HALT, actor="anna", reason="drill", now=CALENDAR.closes_at(FIRST)
    )

    told = {stage: failure_of(desk.materialize(stage, session=FIRST))[0] for stage in DECIDED}

    # Nothing of a settled session can be sent any more, so a halt has nothing to hold.
    assert told == {"verdicts": "", "decisions": "", "executions": ""}
    assert desk.files() == before
    assert desk.sent() == first.sent()
