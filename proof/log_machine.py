"""The audit log as a machine: a journal lives, its log is projected, crashes cut writes short, anywhere.

Whatever happened, the log is a byte prefix of the journal's export, verifies but for what a crash leaves, and
is whole again after the next projection. What somebody does to the files on purpose is tampering.py.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from proof.lives import Life
from proof.suite import Progress, Size, Told
from proof.walks import Walked, hold, is_held, told_of
from resources.audit_keys import NEW_NAME, PRIVATE_NAME, has_key
from resources.audit_log import (
    check,
    checkpoints_of,
    compare,
    events_in,
    keys_of,
    project,
    verify_end,
)
from resources.journal.store import SqlJournal
from trading.audit import line_of
from trading.journal import JournalEvent
from trading.rebuild import rebuild

STEPS = 40
"""Steps of one walk."""

PLANTED_EXAMPLES = 60
PLANTED_BUG = "a projection that goes on behind a torn last line instead of cutting it off"

ALL = 1_000_000
"""More events than a walk makes."""


class LogMachine(RuleBasedStateMachine):
    """Live, project, crash and begin again; `template` is the file of an empty journal."""

    template: Path
    project: Callable[[SqlJournal, Path], int] = staticmethod(project)
    stepped: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        """Begin with an empty journal and no log."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "journal.db")
        self.path = self.folder / "audit.jsonl"
        self.journal = self.opened()
        self.life = Life(self.journal, seed=0)
        self.events: list[JournalEvent] = []

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.journal.close()
        shutil.rmtree(self.folder)

    def opened(self) -> SqlJournal:
        """Return the journal, opened once more."""
        return SqlJournal(f"sqlite:///{self.folder / 'journal.db'}")

    def files(self) -> tuple[bytes, bytes]:
        """Return what is in the log and its checkpoints."""
        checkpoints = checkpoints_of(self.path)
        return (
            self.path.read_bytes() if self.path.exists() else b"",
            checkpoints.read_bytes() if checkpoints.exists() else b"",
        )

    def export(self) -> bytes:
        """Return the journal's events as lines."""
        return b"".join(line_of(event).encode() + b"\n" for event in self.events)

    @rule(chance=st.integers(0, 2**32 - 1), deeds=st.integers(1, 3))
    def live(self, chance: int, deeds: int) -> None:
        """Do some deeds on the journal."""
        self.life.rng.seed(chance)
        for _ in range(deeds):
            self.life.step()

    @rule()
    def grow(self) -> None:
        """Project: afterwards the log is the whole export, signed, and there is nothing to add."""
        self.read_events()
        before = self.files()[0].count(b"\n")
        appended = self.project(self.journal, self.path)
        log, checkpoints = self.files()
        hold(log == self.export(), "the log is the export after a projection")
        hold(appended == len(self.events) - before, "a projection says how much it appended")
        hold(check(self.path) is None, "nothing is found after a projection")
        hold(verify_end(self.journal, self.path) is None, "nothing is seen after a projection")
        hold(self.project(self.journal, self.path) == 0, "a second projection has nothing to add")
        hold(self.files() == (log, checkpoints), "a second projection writes nothing")

    @rule(part=st.sampled_from(["log", "log", "checkpoint", "key"]), cut=st.integers(0, 10_000))
    def crash_in_a_projection(self, part: str, cut: int) -> None:
        """Project, and leave of it what a crash at some byte would have: files only grow, the log first."""
        log, checkpoints = map(_whole, self.files())
        keys = keys_of(self.path)
        had_key = has_key(keys)
        self.project(self.journal, self.path)
        log_after, checkpoints_after = self.files()
        grown, signed = log_after[len(log) :], checkpoints_after[len(checkpoints) :]
        match part:
            case "log":
                log_after = log + grown[: cut % (len(grown) + 1)]
                checkpoints_after = checkpoints
            case "checkpoint":
                checkpoints_after = checkpoints + signed[: cut % (len(signed) + 1)]
            case _:
                checkpoints_after = checkpoints
        self.path.write_bytes(log_after)
        checkpoints_of(self.path).write_bytes(checkpoints_after)
        if had_key or not has_key(keys):
            return
        if part == "key":
            shutil.rmtree(keys)
        else:
            # The key is in use only once its first checkpoint is on disk.
            (keys / PRIVATE_NAME).rename(keys / NEW_NAME)

    @rule()
    def begin_again(self) -> None:
        """Close the journal and open it as another process would."""
        self.journal.close()
        self.journal = self.life.journal = self.opened()

    @rule()
    def rebuild_from_the_log(self) -> None:
        """Read the log back: it says what as many of the journal's events say."""
        if self.path.exists():
            told = list(events_in(self.path))
            self.read_events()
            hold(told == self.events[: len(told)], "the log tells the journal's events")
            hold(rebuild(told) == rebuild(self.events[: len(told)]), "the log gives the same rows")

    @invariant()
    def the_log_is_a_prefix_and_only_a_crash_shows(self) -> None:
        """Hold the promise: never ahead, never other; and the quick look sees what the full one sees."""
        self.stepped()
        self.read_events()
        log, _ = self.files()
        hold(self.export().startswith(_whole(log)), "the log is a prefix of the export")
        bad = check(self.path)
        hold(bad is None or bad.heals, f"only what a crash leaves is found: {bad}")
        hold(verify_end(self.journal, self.path) == bad, f"the quick look sees as much: {bad}")
        hold(compare(self.journal, self.path) is None, "every line is the journal's event")

    def read_events(self) -> None:
        """Read the events that are new since the last time."""
        self.events += self.journal.events(after=len(self.events), limit=ALL)


def run(size: Size, progress: Progress) -> Told:
    """Walk `size.points` steps, in walks of `STEPS`."""
    started_at = time.monotonic()
    steps = 0

    def stepped() -> None:
        nonlocal steps
        steps += 1
        progress(steps)

    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "journal.db"
        SqlJournal(f"sqlite:///{template}").close()
        examples = max(1, size.points // STEPS)
        found = walked(template, examples=examples, steps=STEPS, chance=size.seed, stepped=stepped)
        planted = walked(template, examples=PLANTED_EXAMPLES, steps=STEPS, chance=size.seed, how=_unhealed)
    return Told(
        points=steps,
        seconds=time.monotonic() - started_at,
        seed=size.seed,
        planted_bug=PLANTED_BUG,
        is_planted_bug_caught=planted.is_held_broken,
        violations=(found.broke,) if found.broke else (),
        parts={"examples": examples},
    )


def walked(
    template: Path,
    *,
    examples: int,
    steps: int,
    chance: int,
    how: Callable[[SqlJournal, Path], int] = project,
    stepped: Callable[[], None] = lambda: None,
) -> Walked:
    """Walk a machine with one way of projecting; return how it broke its promise, if it did."""
    steps_done = 0

    def count() -> None:
        nonlocal steps_done
        steps_done += 1
        stepped()

    members = {"template": template, "project": staticmethod(how), "stepped": staticmethod(count)}
    machine = seed(chance)(type("Walk", (LogMachine,), members))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink] if how is project else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception as error:  # noqa: BLE001 - whatever the product raised broke the promise
        return Walked(steps_done, told_of(error), is_held(error))
    return Walked(steps_done, "")


def _whole(content: bytes) -> bytes:
    """Return the whole lines of a file."""
    return content[: content.rfind(b"\n") + 1]


def _unhealed(journal: SqlJournal, path: Path) -> int:
    """Project as one would who forgot what a crash leaves."""
    log = path.read_bytes() if path.exists() else b""
    if log.endswith(b"\n") or not log:
        return project(journal, path)
    missing = journal.events(after=log.count(b"\n"), limit=ALL)
    path.write_bytes(log + b"".join(line_of(event).encode() + b"\n" for event in missing))
    return len(missing)
