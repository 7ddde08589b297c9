"""`make prove`: what it tells of a suite, what it keeps, and that nothing bad ends as well."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from proof import __main__ as runner
from proof.__main__ import SUITES, Suite, main

HELD = (
    "Told(points=size.points, seconds=2.0, seed=size.seed, planted_bug='a bug', is_planted_bug_caught=True)"
)


@pytest.fixture
def prove(tmp_path, monkeypatch, capsys):
    """Give a runner of toy suites: it returns the status, the suite's figures and what was said."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(name: str, does: str, *options: str):
        (tmp_path / f"{name}.py").write_text(
            "import os\n"
            "from pathlib import Path\n"
            "from proof.suite import NotRun, Told\n"
            "def run(size, progress):\n"
            "    with (Path(__file__).parent / 'runs.txt').open('a') as runs:\n"
            "        runs.write('x')\n"
            f"    {does}\n",
            encoding="utf-8",
        )
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        suites = {name: Suite(name, "run", 100, "points", "what a toy does")}
        state = tmp_path / "state"
        status = main([name, "--json", "--state", str(state), *options], suites=suites)
        told = capsys.readouterr()
        return status, json.loads(told.out)["suites"][name], told.err

    return run


@pytest.fixture
def runs(tmp_path):
    """Count how often a toy suite really ran."""

    def count() -> int:
        path = tmp_path / "runs.txt"
        return len(path.read_text("utf-8")) if path.exists() else 0

    return count


def test_a_suite_that_held_is_told_with_its_points_rate_seed_and_planted_bug(prove):
    status, figures, said = prove("toy_held", f"return {HELD}", "--seed", "7")

    assert status == 0
    assert figures["covered"]["points"] == 100
    assert "100 points in 2 s (50.0/s) from seed 7, 0 violations; planted bug caught: a bug" in said


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("return " + HELD.replace("True)", "True, violations=('sent twice',))"), "VIOLATION: sent twice"),
        ("return " + HELD.replace("True)", "False)"), "planted bug NOT CAUGHT"),
        ("return " + HELD.replace("points=size.points", "points=0"), "NO points COVERED"),
        ("raise ValueError('broken')", "DIED: ValueError: broken"),
        ("os._exit(0)", "DIED: its process ended with status 0"),
        ("os.kill(os.getpid(), 9)", "DIED: its process ended with status -9"),
    ],
    ids=[
        "a violation",
        "a planted bug nobody found",
        "nothing covered",
        "an error",
        "an early end",
        "a kill",
    ],
)
def test_whatever_does_not_hold_fails_the_proof_and_is_not_kept(prove, runs, does, says):
    status, _, said = prove("toy_bad", does)
    prove("toy_bad", does)

    assert status == 1
    assert says in said
    assert runs() == 2


def test_a_suite_that_lacks_something_says_so_loudly_and_the_status_tells(prove):
    status, figures, said = prove("toy_lacks", "raise NotRun('no strace here')")

    assert status == 3
    assert figures["covered"] is None
    assert "NOT RUN: no strace here" in said


@pytest.mark.parametrize(
    "toys", [("abc", 2, 2), ("abc", 1, 1), ("ab", 2, 2), ("a", 3, 1), ("", 3, 1)], ids=str
)
def test_suites_of_one_processor_run_beside_each_other_and_any_other_has_the_machine_to_itself(
    tmp_path, monkeypatch, capsys, toys
):
    """Each toy tells who was at work beside it, and waits for company where it may have some."""
    single, workers, most = toys
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toys.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from proof.suite import Told\n"
        "HERE = Path(__file__).parent\n"
        "def at_work():\n"
        "    return {path.stem for path in HERE.glob('*.on')}\n"
        "def run(size, progress, name):\n"
        "    mine = HERE / f'{name}.on'\n"
        "    mine.touch()\n"
        "    beside, until = at_work(), time.monotonic() + (5 if name in HOPES else 0.05)\n"
        "    while time.monotonic() < until and len(beside) < MOST:\n"
        "        time.sleep(0.005)\n"
        "        beside = max(beside, at_work(), key=len)\n"
        "    (HERE / f'{name}.seen').write_text(''.join(sorted(beside)))\n"
        "    time.sleep(0.05)\n"
        "    mine.unlink()\n"
        f"    return {HELD}\n"
        f"MOST, HOPES = {most}, {list(single[:2]) if most > 1 else []}\n"
        + "".join(f"def {name}(*asked): return run(*asked, {name!r})\n" for name in "abcd"),
        encoding="utf-8",
    )
    importlib.invalidate_caches()
    sys.modules.pop("toys", None)
    suites = {name: Suite("toys", name, 1, "points", "a toy", is_single=name in single) for name in "abcd"}

    asked = ["--json", "--state", str(tmp_path / "state"), "--workers", str(workers)]
    status = main(asked, suites=suites)
    seen = {name: set((tmp_path / f"{name}.seen").read_text("utf-8")) for name in "abcd"}

    assert (status, list(json.loads(capsys.readouterr().out)["suites"])) == (0, list("abcd"))
    assert all(seen[name] == {name} for name in "abcd" if name not in single)
    assert all(seen[name] <= set(single) for name in single)
    assert max((len(seen[name]) for name in single), default=1) == most


def test_a_finished_suite_is_kept_until_something_it_depends_on_changes(prove, runs):
    prove("toy_kept", f"return {HELD}")
    status, figures, said = prove("toy_kept", f"return {HELD}")

    assert (status, runs()) == (0, 1)
    assert figures["is_kept"]
    assert "(kept from before)" in said

    prove("toy_kept", f"return {HELD}", "--points", "5")
    prove("toy_kept", f"return {HELD}", "--points", "5", "--seed", "9")
    prove("toy_kept", f"return {HELD}", "--points", "5", "--seed", "9", "--fresh")
    prove("toy_kept", f"return {HELD}  # changed", "--points", "5", "--seed", "9")

    assert runs() == 5


@pytest.mark.parametrize("what", ["a reviewed file", "the machine"])
def test_a_kept_suite_runs_again_where_what_it_was_run_with_is_another(
    prove, runs, tmp_path, monkeypatch, what
):
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setattr(runner, "CONFIG", config)
    prove("toy_moved", f"return {HELD}")
    if what == "the machine":
        monkeypatch.setattr(runner, "machine", lambda: "one with another SQLite")
    else:
        (config / "limits.toml").write_text("order_quantity_max = 1", encoding="utf-8")
    _, figures, _ = prove("toy_moved", f"return {HELD}")

    assert (runs(), figures["is_kept"]) == (2, False)


def test_a_share_of_every_suite_can_be_asked_for(prove):
    _, figures, _ = prove("toy_scaled", f"return {HELD}", "--scale", "0.25")

    assert figures["covered"]["points"] == 25


def test_an_unknown_suite_is_refused_with_the_names_there_are(capsys):
    status = main(["nothing_such"])

    assert status == 2
    assert "there are kills, double_kills" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--points", "x", "'x' is no whole number; give one, as 500"),
        ("--points", "0", "0 is too few; give 1 or more"),
        ("--workers", "two", "'two' is no whole number; give one, as 500"),
        ("--seed", "1.5", "'1.5' is no whole number; give one, as 500"),
        ("--scale", "half", "'half' is no number; give a share, as 0.1"),
        ("--scale", "nan", "nan is no share that can be run; give one above 0, at most 100"),
    ],
)
def test_a_figure_that_is_none_is_refused_with_what_to_give(capsys, option, value, says):
    with pytest.raises(SystemExit) as ended:
        main([option, value])

    assert ended.value.code == 2
    assert f"argument {option}: {says}" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["under a file", "a file", "where the system makes no folder"])
def test_a_folder_that_cannot_keep_is_refused_before_anything_is_run(tmp_path, capsys, place):
    (tmp_path / "file").write_text("kept by somebody", encoding="utf-8")
    folder = {
        "under a file": tmp_path / "file" / "state",
        "a file": tmp_path / "file",
        "where the system makes no folder": Path("/proc/x"),
    }[place]
    suites = {"never": Suite("never_imported", "run", 1, "points", "what a toy does")}
    status = main(["never", "--state", str(folder)], suites=suites)
    said = capsys.readouterr().err

    assert status == 2
    assert said.startswith(f"prove: finished suites cannot be kept in {folder} (")
    assert said.endswith("name a folder that can be written with --state, or leave --state out\n")
    assert said.count("\n") == 1


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """Give a runner of two toy suites that writes; it returns the status, the page and what was said."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "RESULTS.md")
    for name in ("toy_left", "toy_right"):
        told = HELD.replace("True)", f"True, parts={{'of {name}': size.points}})")
        (tmp_path / f"{name}.py").write_text(
            f"from proof.suite import Told\ndef run(size, progress):\n    return {told}\n", encoding="utf-8"
        )
    importlib.invalidate_caches()

    def run(*arguments: str):
        suites = {name: Suite(name, "run", 100, "points", "a toy") for name in ("toy_left", "toy_right")}
        status = main([*arguments, "--write", "--state", str(tmp_path / "state")], suites=suites)
        return status, (tmp_path / "RESULTS.md").read_text("utf-8"), capsys.readouterr().err

    return run


def _lines_of(page: str, suite: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith((f"| {suite} |", f"- {suite}: "))]


def test_a_part_that_is_written_leaves_the_other_suites_lines_as_they_were(written):
    _, whole, _ = written()
    status, part, _ = written("toy_right", "--points", "7", "--seed", "3")

    assert status == 0
    assert _lines_of(part, "toy_left") == _lines_of(whole, "toy_left") != []
    assert [line.split(" | ")[:2] for line in _lines_of(part, "toy_right")] == [
        ["| toy_right", "7 points"],
        ["- toy_right: of toy_right 7."],
    ]
    assert len(part.splitlines()) == len(whole.splitlines())


def test_suites_that_are_all_named_write_the_page_that_all_write(written):
    _, whole, _ = written()
    _, named, _ = written("toy_right", "toy_left")

    assert named == whole


def test_a_part_is_not_written_among_what_another_machine_found(written, monkeypatch):
    _, whole, _ = written()
    monkeypatch.setattr(runner, "machine", lambda: "one with another SQLite")
    status, page, said = written("toy_right")

    assert (status, page) == (2, whole)
    assert "tells what another machine found" in said
    assert "run every suite with --write, or these without it" in said

    status, page, _ = written()

    assert status == 0
    assert "Machine: one with another SQLite." in page


def test_the_help_names_every_suite(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out

    assert [name for name in SUITES if name not in said] == []


def test_every_suite_has_its_file():
    modules = {suite.module for suite in SUITES.values()}

    assert {module for module in modules if importlib.util.find_spec(module) is None} == set()
