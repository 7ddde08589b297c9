"""A small part of the kills of `make prove`, by the command itself: lines, double kills, system calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from proof import desk as desks
from proof.desk import SCENARIOS, Desk
from proof.forks import Found, Zygote, copied, in_child, is_shown, planted_caught, strewn, zygote
from proof.kills import drawn, is_killed_at, life, lines_of
from proof.outbox_kills import NOT_REACHED, lines_of_telling, unreached
from proof.planted import PLANTED as PLANTS
from proof.suite import Size
from resources.audit_paths import checkpoints_of
from resources.journal.store import SqlJournal

ROOT = Path(__file__).resolve().parents[2]
PLANTED = 3


SEEDS = {"kills": 22961, "double_kills": 22961, "system_calls": 60028, "outbox_kills": 29203}
"""Under these the first kill for each planted bug finds it, as long as the product's lines move by little.

They decide how long the search takes, not how it ends: it goes on until the bug is found.
"""


def told_by(tmp_path: Path, suite: str, points: int) -> dict:
    """Run one suite as a person would, in a process of its own that forks the others."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "proof", suite, "--json"),
            *("--points", str(points), "--seed", str(SEEDS[suite]), "--state", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    suites = json.loads(done.stdout)["suites"]
    if suites[suite]["not_run"]:
        pytest.skip(suites[suite]["not_run"])
    assert done.returncode == 0, done.stderr[-4000:]
    return suites[suite]["covered"]


@pytest.mark.parametrize(
    ("suite", "points"), [("kills", 12), ("double_kills", 5), ("system_calls", 6)], ids=str
)
def test_whoever_is_killed_where_no_order_is_sent_twice_and_no_intent_is_lost(tmp_path, suite, points):
    covered = told_by(tmp_path, suite, points)

    assert covered["violations"] == []
    assert covered["points"] == points
    assert covered["is_planted_bug_caught"]
    assert len(covered["planted_bug"].split("; ")) == PLANTED


def test_whoever_is_killed_while_people_are_told_nothing_is_lost_and_nothing_is_told_anew(tmp_path):
    covered = told_by(tmp_path, "outbox_kills", 10)

    assert covered["violations"] == []
    assert covered["points"] == 10
    assert covered["is_planted_bug_caught"]
    assert len(covered["planted_bug"].split("; ")) == PLANTED


def test_a_line_that_nobody_executes_is_found_unless_it_has_a_reason_and_a_reason_that_nobody_needs_is_too():
    of_telling = lines_of_telling()
    excused = {place for place, line in of_telling.items() if line.startswith(tuple(NOT_REACHED))}
    mark = next(place for place, line in of_telling.items() if "self._outbox.mark(" in line)

    assert unreached(of_telling, set(of_telling) - excused) == []
    assert unreached(of_telling, set(of_telling) - excused - {mark}) == [
        f"no scenario executes line {mark[1]} of notifier.py:Notifier._mark: self._outbox.mark("
    ]
    assert len(unreached(of_telling, set(of_telling))) == len(NOT_REACHED)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_planted_bug_is_not_found_by_a_harness_or_a_plant_that_breaks(plant):
    broken = Found(0, ("Point(1): ended before the line", "Point(1): the next process raised TypeError: no"))

    assert not is_shown(plant, broken)
    for said in plant.shows:
        assert is_shown(plant, Found(1, (*broken.violations, f"Point(1): at its death: {said}")))


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_every_moment_is_tried_once_for_a_planted_bug(count):
    assert sorted(strewn(range(count), seed="1 a bug")) == list(range(count))


def test_a_planted_bug_that_shows_at_one_moment_alone_is_found_and_one_that_never_does_is_missed(tmp_path):
    (name, plant), *_ = PLANTS.items()
    only = strewn(range(9), seed=f"7 {name}")[-1]

    def caught(moments):
        return planted_caught(
            Zygote(tmp_path, {}),
            Size(points=1, seed=7),
            lambda _at, _scenario: range(9),
            lambda _at, moment: Found(1, (f"at its death: {plant.shows[-1]}",) if moment in moments else ()),
            plants={name: plant},
        )

    assert (caught({only}), caught(set())) == ({name: True}, {name: False})


def test_a_bug_that_shows_in_a_tenth_of_the_moments_is_met_within_twenty_wherever_that_is():
    tried = sorted(strewn(range(1000), seed="1 a bug")[:20])

    assert max(after - before for before, after in pairwise([-1, *tried, 1000])) <= 100


def test_a_checkpoint_that_does_not_hold_is_found_at_a_death_and_a_torn_one_once_recovered(tmp_path):
    desk, scenario = Desk(tmp_path / "desk"), SCENARIOS[0]
    desks.decide(desk, scenario)
    checkpoints = checkpoints_of(desk.audit)
    whole = checkpoints.read_bytes()
    assert desks.check_at_death(desk, scenario) == []

    checkpoints.write_bytes(whole[:-1])
    assert desks.check_at_death(desk, scenario) == []
    assert "torn" in next(each for each in desks.check(desk, scenario) if "INV8" in each)

    checkpoints.write_bytes(whole.replace(b'"signature":"', b'"signature":"00', 1))
    (found,) = desks.check_at_death(desk, scenario)
    assert "INV8" in found


def test_a_process_that_is_watched_late_is_killed_at_the_line_at_which_one_watched_from_the_start_would_be():
    scenario = SCENARIOS[0]
    with zygote([scenario]) as at:
        whole = life(at, scenario)
        late = len(whole.begun) // 2

        def left_after(line: int, begun: Sequence[int]) -> list[str] | None:
            with copied(at, at.templates[scenario.name]) as desk:
                if not is_killed_at(at, line, lambda: desks.act(desk, scenario), begun=begun):
                    return None
                with SqlJournal(desk.journal_url) as journal:
                    return [event.hash for event in journal.events(after=0, limit=1000)]

        def lines_from(number: int) -> list[tuple[str, int]]:
            with copied(at, at.templates[scenario.name]) as desk:
                told = in_child(at, lambda: lines_of(lambda: desks.act(desk, scenario), begun=number))
            return [(file, line) for file, line in told]

        for number in (1, late, len(whole.begun)):
            assert lines_from(number) == whole.lines[whole.begun[number - 1] :]
        for line in (whole.begun[0], whole.begun[late] - 1, whole.begun[late] + 1, len(whole.lines)):
            assert left_after(line, whole.begun) == left_after(line, ()) is not None
        assert left_after(len(whole.lines) + 1, whole.begun) is None


TRAILS = {
    "one": [("store.py", 1), ("store.py", 2), ("store.py", 1), ("store.py", 1)],
    "two": [("store.py", 2), ("executions.py", 2)],
}


def test_every_line_of_every_scenario_is_drawn_before_any_is_drawn_again():
    points = drawn(TRAILS, Size(points=4, seed=1))
    lines = Counter((point.scenario, TRAILS[point.scenario][point.line - 1]) for point in points)

    assert lines == {
        ("one", ("store.py", 1)): 1,
        ("one", ("store.py", 2)): 1,
        ("two", ("store.py", 2)): 1,
        ("two", ("executions.py", 2)): 1,
    }


def test_every_moment_of_every_line_is_drawn_where_points_suffice_and_the_seed_gives_their_order():
    points = drawn(TRAILS, Size(points=99, seed=1))
    moments = {(name, number) for name, lines in TRAILS.items() for number in range(1, len(lines) + 1)}

    assert {(point.scenario, point.line) for point in points} == moments
    assert len(points) == len(moments)
    assert drawn(TRAILS, Size(points=99, seed=1)) == points
    assert drawn(TRAILS, Size(points=99, seed=2)) != points
