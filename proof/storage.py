"""Storage faults: power lost at any moment, writes lost, reordered and torn, disks full and failing.

The product's own process makes a journal and lives at a desk; what it did to its files is recorded, and the
images that a power loss could have left of it are rebuilt and opened by the product, which then recovers
against the broker as it was at that moment. Faults at run time are put on the same process's system calls.
What is recorded, and what a disk may make of it, is recording.py; the desk is desk.py.

The planted bug is `pragma synchronous = normal` in the recorded process: an order at the broker, and no row.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, NamedTuple

import sqlalchemy as sa

from proof import desk as desks
from proof import forks
from proof.desk import BEFORE, BOOK, LANE, SCENARIOS, SESSION, Desk, Scenario
from proof.recording import (
    Disk,
    Image,
    Operation,
    Reader,
    Said,
    Wrote,
    drawn,
    key_of,
    run_traced,
    say,
    write_image,
)
from proof.suite import Progress, Size, Told
from resources.journal import schema, transactions
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.paper_broker.broker import PaperBroker
from trading.errors import TradingError

PLANTED_BUG = "pragma synchronous = normal: a commit returns before its log is on disk"

LOST_ORDERS = "planted: an order at the broker, no row"

STATE = "state"
"""The desk's folder below the recorded one; the product makes it."""

LEDGER = "paper_broker.db"
"""How the files of the broker's ledger begin: it stands for another machine, where no power is lost."""

WAL = "journal.db-wal"

PAGES = (12, 1_000)
"""After how many pages a recorded process folds its log into the database: often, and as SQLite would."""

IMAGES_A_FAULT = 38
"""For so many images one fault at run time is met."""

PLANTED_IMAGES = 40
"""How many images of the life with the planted bug are looked at, at least."""

SPARE_PERCENT = 106
"""How many images are drawn for a hundred: lives begin alike, and what they have in common counts once."""

IMAGES_A_TASK = 50
FAULTS_A_TASK = 5

MOST_OPTIONS = 48
"""From how many pieces on, each of which may be lost, one moment gets no more images than another."""

BEFORE_ACTING = 0.1
"""How many images a moment gets before the process does what the scenario says, measured by one after."""

TRIES = 6
"""How often an image is drawn again where the one drawn was seen before."""

ENDED = 3
"""The exit status of a process that ends at an error with nothing closed."""

MEMORY = Path("/dev/shm")  # noqa: S108 - what is opened there was made durable, or not, by the replay alone


# -------------------------------------------------------------------------------- the suite


def run(size: Size, progress: Progress) -> Told:
    """Open `size.points` images of all scenarios' lives, and meet a fault for every so many of them.

    Fewer points than that are spent on fewer lives, since recording one takes as long as many images.
    """
    started = time.monotonic()
    ways = [(scenario, pages) for scenario in SCENARIOS for pages in PAGES]
    ways = ways[: max(1, size.points // IMAGES_A_TASK)]
    faults = max(1, size.points // IMAGES_A_FAULT)
    images = -(-size.points * SPARE_PERCENT // 100 // len(ways))
    with _room() as room, _kept_engines():
        lives = [record(room / f"{way.name}-{pages}", way, pages=pages) for way, pages in ways]
        planted = record(room / "planted", SCENARIOS[0], pages=PAGES[-1], synchronous="normal")
        tasks: list[_Task] = [
            *(task for life in lives for task in _image_tasks(life, images, size.seed, room)),
            *_image_tasks(planted, max(PLANTED_IMAGES, size.points // 50), size.seed, room),
            *_fault_tasks(SCENARIOS[: max(1, faults // FAULTS_A_TASK)], faults, size.seed, room),
        ]
        unsynced = [sentence for life in lives for sentence in sent_unsynced(life)]
        covered = _cover(tasks, size, progress)
    return Told(
        points=min(len(covered.images), size.points),
        seconds=time.monotonic() - started,
        seed=size.seed,
        planted_bug=PLANTED_BUG,
        is_planted_bug_caught=covered.parts[LOST_ORDERS] > 0 and any(sent_unsynced(planted)),
        violations=(*unsynced, *covered.violations),
        parts=dict(sorted(covered.parts.items())),
    )


@dataclass(slots=True)
class _Covered:
    """Hold what tasks found: images by their digests, so that each counts once."""

    images: set[bytes] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    parts: Counter[str] = field(default_factory=Counter)

    def take(self, other: _Covered) -> None:
        """Add what another task found."""
        self.parts += other.parts
        self.violations += other.violations
        self.images |= other.images


_tasks: list[_Task] = []
"""What is to be covered: set before the workers are forked, since a life is too much to send to them."""


def _cover(tasks: list[_Task], size: Size, progress: Progress) -> _Covered:
    covered = _Covered()
    _tasks[:] = tasks
    with forks.pool(size.workers) as pool:
        for found in pool.imap_unordered(_do, range(len(tasks))):
            covered.take(found)
            progress(len(covered.images))
    _tasks.clear()
    return covered


def _do(number: int) -> _Covered:
    return _tasks[number].cover()


class _Task:
    """Be a share of the suite that one process covers."""

    def cover(self) -> _Covered:
        """Return what was found."""
        raise NotImplementedError


@contextmanager
def _room() -> Iterator[Path]:
    """Give a folder in memory, where there is one, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="proof-storage-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _opened(image: Image, room: Path, *, ledger_of: Desk | None = None) -> Iterator[Desk]:
    """Give an image as a desk, always at the same place in a process, and remove it afterwards."""
    folder = room / f"image-{os.getpid()}"
    write_image(image, folder)
    if ledger_of is not None:
        for path in ledger_of.folder.glob(LEDGER + "*"):
            shutil.copy(path, folder / STATE)
    try:
        yield Desk(folder / STATE)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _copied(decided: Path, room: Path) -> Iterator[Desk]:
    """Give a copy of a decided desk, always at the same place in a process, and remove it afterwards."""
    folder = room / f"desk-{os.getpid()}"
    folder.mkdir()
    try:
        yield Desk(Path(shutil.copytree(decided, folder / STATE)))
    finally:
        shutil.rmtree(folder)


@contextmanager
def _kept_engines() -> Iterator[None]:
    """Let a database that is opened again at the same place have its compiled statements still.

    Its connections are new ones each time; compiling for each image would take most of the time.
    """
    made = transactions.engine_for
    kept: dict[tuple[sa.URL, float], sa.Engine] = {}

    def engine_for(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
        if (url, busy_timeout_s) not in kept:
            kept[url, busy_timeout_s] = made(url, busy_timeout_s)
        # What `made` does for a folder that is not there.
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        return kept[url, busy_timeout_s]

    transactions.engine_for = engine_for
    try:
        yield
    finally:
        transactions.engine_for = made


# -------------------------------------------------------------------------------- recording a life


@dataclass(frozen=True, slots=True)
class Life:
    """Hold what a process did to its files, from the first one made to the session settled."""

    name: str
    scenario: Scenario
    operations: tuple[Operation, ...]
    is_planted: bool


def record(folder: Path, scenario: Scenario, *, pages: int, synchronous: str = "full") -> Life:
    """Return a life as strace saw it; raises `RuntimeError` where the process did not live it to its end."""
    folder.mkdir()
    trace = folder.with_suffix(".strace")

    def live() -> None:
        _open_with(f"pragma wal_autocheckpoint = {pages}", f"pragma synchronous = {synchronous}")
        if synchronous != "full":
            # The product looks for just this when an executor begins.
            transactions.check_database = lambda *_asked, **_options: None
        _tell_all()
        desk = Desk(folder / STATE)
        with SqlJournal(desk.journal_url):
            pass
        desks.decide(desk, scenario)
        say(json.dumps({"acting": scenario.name}).encode())
        desks.act(desk, scenario)
        desks.recover(desk, scenario)

    exit_code = run_traced(live, trace)
    operations = tuple(Reader(folder).read(trace))
    trace.unlink()
    if exit_code != 0:
        raise RuntimeError(f"{scenario.name}: ended with {exit_code}: {_last_said(operations)}")
    return Life(f"{scenario.name}-{pages}", scenario, operations, is_planted=synchronous != "full")


def _open_with(*pragmas: str) -> None:
    """Let every connection of this process begin with these, after what the product sets."""
    made = transactions.engine_for

    def engine_for(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
        engine = made(url, busy_timeout_s)

        @sa.event.listens_for(engine, "connect")
        def _set(connection: Any, _record: Any) -> None:
            for pragma in pragmas:
                connection.execute(pragma)

        return engine

    transactions.engine_for = engine_for


def _tell_all() -> None:
    """Let this process tell what the outside gets to know of it."""
    _tell_commits()
    _tell_sends()
    _tell_time()


def _tell_commits() -> None:
    """Let this process tell the last event of each transaction once its commit has returned."""
    writing = SqlJournal._writing
    last = sa.select(schema.events.c.seq, schema.events.c.hash).order_by(schema.events.c.seq.desc()).limit(1)

    @contextmanager
    def telling(journal: SqlJournal) -> Iterator[sa.Connection]:
        with writing(journal) as conn:
            yield conn
            event = conn.execute(last).one_or_none()
        if event is not None:
            say(json.dumps({"event": [event.seq, event.hash]}).encode())

    SqlJournal._writing = telling


def _tell_sends() -> None:
    """Let this process tell each order before it goes to the broker."""
    submit = PaperBroker.submit

    def telling(broker: PaperBroker, request: Any, *, now: Any) -> Any:
        say(json.dumps({"sent": request.client_order_id}).encode())
        return submit(broker, request, now=now)

    PaperBroker.submit = telling


def _tell_time() -> None:
    """Let this process tell at which time an executor begins: whoever comes after it comes no earlier."""
    begin_term = SqlJournal.begin_term

    def telling(journal: SqlJournal, **asked: Any) -> int:
        say(json.dumps({"now": asked["now"].isoformat()}).encode())
        return begin_term(journal, **asked)

    SqlJournal.begin_term = telling


def sent_unsynced(life: Life) -> Iterator[str]:
    """Say where an order went out while a write to the journal's log waited for its sync."""
    disk = Disk(outside=(LEDGER,))
    wal = -1
    for operation in life.operations:
        disk.do(operation)
        wal = getattr(operation, "file", wal) if getattr(operation, "name", "") == WAL else wal
        if isinstance(operation, Said) and b"sent" in operation.payload:
            waiting = [each for each in disk.waiting if isinstance(each, Wrote) and each.file == wal]
            if waiting:
                yield f"{life.name}: {operation.payload.decode()} with {len(waiting)} writes unsynced"


def _last_said(operations: Iterable[Operation]) -> str:
    said = [
        operation.payload.decode(errors="replace") for operation in operations if isinstance(operation, Said)
    ]
    return said[-1] if said else "nothing was said"


# -------------------------------------------------------------------------------- images of a power loss


@dataclass(frozen=True, slots=True)
class _Images(_Task):
    """Draw `quotas` images of a life, from the moment after its `start`-th operation on."""

    life: Life
    start: int
    quotas: tuple[int, ...]
    seed: int
    room: Path

    def cover(self) -> _Covered:
        """Draw, open, recover and check."""
        covered = _Covered()
        disk = Disk(outside=(LEDGER,))
        for operation in self.life.operations[: self.start]:
            disk.do(operation)
        wanted = 0
        for at, quota in enumerate(self.quotas, self.start):
            disk.do(self.life.operations[at])
            chance = Random(f"{self.seed} {self.life.name} {at}")
            # Where a moment has no more images, the next one makes up for it.
            wanted += quota
            for _ in range((wanted - len(covered.images)) * TRIES):
                if len(covered.images) == wanted:
                    break
                image = drawn(disk, chance)
                key = key_of(image)
                if key not in covered.images:
                    covered.images.add(key)
                    self._judge(image, disk.said, at, covered)
        if self.life.is_planted:
            covered.images.clear()
        return covered

    def _judge(self, image: Image, said: list[bytes], at: int, covered: _Covered) -> None:
        with _opened(image, self.room) as desk:
            if self.life.is_planted:
                covered.parts["planted: images"] += 1
                covered.parts[LOST_ORDERS] += any("in no row" in sentence for sentence in lost_at(desk, said))
                return
            covered.parts[f"images of {self.life.scenario.name}"] += 1
            covered.violations += [
                f"{self.life.name}, power lost after operation {at}: {sentence}"
                for sentence in judged(desk, self.life.scenario, said)
            ]


def _image_tasks(life: Life, images: int, seed: int, room: Path) -> Iterator[_Images]:
    """Share images out over the moments of a life: the more may be lost at one, the more it gets."""
    disk = Disk(outside=(LEDGER,))
    weight = BEFORE_ACTING
    options = []
    for operation in life.operations:
        disk.do(operation)
        if isinstance(operation, Said) and b"acting" in operation.payload:
            weight = 1.0
        options.append(weight * (min(disk.options(), MOST_OPTIONS) + 1))
    whole, given, start = sum(options), 0.0, 0
    quotas: list[int] = []
    for at, share in enumerate(options):
        given += share
        quotas.append(round(given / whole * images) - round((given - share) / whole * images))
        if sum(quotas) >= IMAGES_A_TASK or at == len(options) - 1:
            yield _Images(life, start, tuple(quotas), seed, room)
            start, quotas = at + 1, []


# -------------------------------------------------------------------------------- what must hold


def judged(desk: Desk, scenario: Scenario, said: Sequence[bytes]) -> list[str]:
    """Open what is left, recover, and return what of the promise does not hold, in sentences."""
    try:
        found = lost_at(desk, said)
        if not JournalReader(desk.journal).intents(book=BOOK, lane=LANE, session=SESSION):
            # What nobody was told of is decided again, to the same ids.
            desks.decide(desk, scenario)
        later = no_earlier(scenario, said)
        return [*found, *desks.recover(desk, later), *desks.check(desk, later)]
    except Exception as error:  # noqa: BLE001 - whatever ends a recovery is found here, and told
        return [f"recovery ended with {type(error).__name__}: {error}"]


def no_earlier(scenario: Scenario, said: Iterable[bytes]) -> Scenario:
    """Return a scenario whose recovery begins no earlier than any executor has begun."""
    begun = [datetime.fromisoformat(each["now"]) for each in _told(said) if "now" in each]
    return replace(scenario, recovers_at=max([scenario.recovers_at, *begun]))


def _told(said: Iterable[bytes]) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in said if payload.startswith(b"{")]


def lost_at(desk: Desk, said: Iterable[bytes]) -> list[str]:
    """Return what the outside was told, or has, that the journal as found does not hold, before recovery."""
    told = _told(said)
    sent = {each["sent"] for each in told if "sent" in each}
    with SqlJournal(desk.journal_url) as journal:
        events = {event.seq: event.hash for event in journal.events(after=0, limit=10_000)}
        known = {
            order.client_order_id
            for session in (BEFORE, SESSION)
            for order in journal.orders(book=BOOK, lane=LANE, session=session)
        }
        with journal._reading() as conn:
            integrity = conn.exec_driver_sql("pragma integrity_check").scalar()
    found = [] if integrity == "ok" else [f"integrity check: {integrity}"]
    unknown = sorted((sent | _at_broker(desk)) - known)
    found += [f"order {each} went to the broker and is in no row" for each in unknown]
    lost = [
        each["event"] for each in told if "event" in each and events.get(each["event"][0]) != each["event"][1]
    ]
    if lost:
        last = max(events, default=0)
        found.append(f"event {lost[0][0]} was told and is not there; the journal ends with event {last}")
    return found


def _at_broker(desk: Desk) -> set[str]:
    if not desk.ledger.exists():
        return set()
    with closing(sqlite3.connect(desk.ledger)) as ledger:
        is_made = ledger.execute("select 1 from sqlite_master where name = 'orders'").fetchone()
        return {row[0] for row in ledger.execute("select client_order_id from orders")} if is_made else set()


# -------------------------------------------------------------------------------- faults at run time


class Fault(NamedTuple):
    """Hold what goes wrong: a system call on the desk's own files fails, once or from then on.

    `limit` puts a file-size limit in its place, at so many bytes: the write that meets it is cut short. With
    `is_hard` the process ends at the error as it stands, with nothing closed.
    """

    call: str
    error: str
    when: int
    is_lasting: bool
    is_hard: bool
    limit: int = 0

    @property
    def name(self) -> str:
        """Return the kind of fault."""
        return "file limit" if self.limit else f"{self.call} {self.error}"

    def __str__(self) -> str:
        """Return what happens, and how its process ends."""
        ends = ", process ended at once" if self.is_hard else ""
        if self.limit:
            return f"no file beyond {self.limit} bytes{ends}"
        return (
            f"{self.call} number {self.when}{' and all later' if self.is_lasting else ''}: {self.error}{ends}"
        )


ERRORS = {
    "pwrite64": ("ENOSPC", "EIO", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO",),
    "write": ("ENOSPC", "EIO"),
    "ftruncate": ("EIO", "ENOSPC"),
    "openat": ("ENOSPC", "EMFILE", "EACCES", "EIO"),
    "unlink": ("EIO",),
}
"""What each call is made to answer."""


@dataclass(frozen=True, slots=True)
class _Faults(_Task):
    """Meet faults, each at a desk of its own, which begins as a copy of `decided`."""

    scenario: Scenario
    decided: Path
    faults: tuple[Fault, ...]
    room: Path

    def cover(self) -> _Covered:
        """Let each fault happen, look at what was sent, recover, and check."""
        covered = _Covered()
        for fault in self.faults:
            with _copied(self.decided, self.room) as desk:
                met, found = _met(desk, self.scenario, fault, self.room)
            covered.parts["faults not met"] += not met
            covered.parts["faults"] += met
            covered.parts[f"faults: {fault.name}"] += met
            covered.violations += [f"{self.scenario.name}, {fault}: {sentence}" for sentence in found]
        return covered


def _fault_tasks(scenarios: Sequence[Scenario], count: int, seed: int, room: Path) -> Iterator[_Faults]:
    """Draw faults for each scenario, of every kind alike, from the calls that its process makes."""
    for scenario in scenarios:
        decided = room / f"{scenario.name}-decided"
        desks.decide(Desk(decided), scenario)
        chance = Random(f"{seed} {scenario.name} faults")
        largest = 2 * (decided / "journal.db").stat().st_size
        faults = _drawn_faults(_calls(decided, scenario, room), largest, -(-count // len(scenarios)), chance)
        for start in range(0, len(faults), FAULTS_A_TASK):
            yield _Faults(scenario, decided, tuple(faults[start : start + FAULTS_A_TASK]), room)


def _calls(decided: Path, scenario: Scenario, room: Path) -> Counter[str]:
    """Return how often a process makes each call on the desk's own files, from act to settlement."""
    trace = room / "calls.strace"
    with _copied(decided, room) as desk:
        exit_code = run_traced(lambda: _live(desk, scenario), trace, paths=_paths(desk))
    lines = trace.read_text("ascii")
    if exit_code != 0:
        raise RuntimeError(f"{scenario.name}: ended with {exit_code} without a fault")
    return Counter(call for call in re.findall(r"^\d+ +(\w+)\(", lines, re.MULTILINE) if call in ERRORS)


def _drawn_faults(calls: Counter[str], largest: int, count: int, chance: Random) -> list[Fault]:
    """Draw `count` different faults; `largest` is the size in bytes below which a file's limit may be."""
    kinds = [
        [
            Fault(call, error, when, is_lasting, is_hard)
            for error in ERRORS[call]
            for when in range(1, calls[call] + 1)
            for is_lasting in (False, True)
            for is_hard in (False, True)
        ]
        for call in sorted(calls)
    ]
    kinds.append(
        [Fault("", "", 0, True, is_hard, limit) for limit in range(1, largest) for is_hard in (False, True)]
    )
    each = -(-count // len(kinds))
    found = [fault for kind in kinds for fault in chance.sample(kind, min(each, len(kind)))]
    return chance.sample(found, min(count, len(found)))


def _paths(desk: Desk) -> list[Path]:
    """Return the desk's own files and folders, without the broker's, and where marks are made."""
    held = [path for path in desk.folder.rglob("*") if not path.name.startswith(LEDGER)]
    log = [desk.journal.with_name(desk.journal.name + end) for end in ("-wal", "-shm", "-journal")]
    return [desk.folder, *held, *log, Path(os.devnull)]


def _live(desk: Desk, scenario: Scenario) -> None:
    desks.act(desk, scenario)
    desks.recover(desk, scenario)


def _met(desk: Desk, scenario: Scenario, fault: Fault, room: Path) -> tuple[bool, list[str]]:
    """Let a fault happen at a desk; return whether it did, and what of the promise does not hold then."""
    trace = room / f"fault-{os.getpid()}.strace"
    reader, disk = Reader(desk.folder.parent), Disk(outside=(LEDGER,))
    for operation in reader.held():
        disk.do(operation)

    def live() -> None:
        _tell_all()
        if fault.is_hard:
            _end_at_error()
        if fault.limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.limit, fault.limit))
        try:
            _live(desk, scenario)
        except TradingError as error:
            say(json.dumps({"answered": f"{type(error).__name__}: {error}"}).encode())

    lasting = "+" if fault.is_lasting else ""
    inject = [] if fault.limit else [f"{fault.call}:error={fault.error}:when={fault.when}{lasting}"]
    exit_code = run_traced(live, trace, inject=inject, paths=_paths(desk))
    is_met = ("EFBIG" if fault.limit else "(INJECTED)") in trace.read_text("ascii")
    operations = reader.read(trace)
    # It lives to its end, or ends itself at the error: whatever else ends a process is no answer to a fault.
    may_end = {0, ENDED} if fault.is_hard else {0}
    found = [] if exit_code in may_end else [f"ended with {exit_code}: {_last_said(operations)}"]
    found += _sent_without_a_row(disk, operations, room)
    with _opened(disk.image([]), room, ledger_of=desk) as left:
        found += [f"and power lost: {each}" for each in judged(left, scenario, disk.said)]
    exit_code = run_traced(lambda: _recover_aloud(desk, scenario, disk.said), trace, paths=_paths(desk))
    operations = reader.read(trace)
    found += _sent_without_a_row(disk, operations, room)
    last = _last_said(operations)
    with _opened(disk.image([]), room, ledger_of=desk) as left:
        found += [f"and power lost once recovered: {each}" for each in judged(left, scenario, disk.said)]
    return is_met, [
        *found,
        *(json.loads(last)["found"] if exit_code == 0 else [f"recovery ended with {last}"]),
    ]


def _recover_aloud(desk: Desk, scenario: Scenario, said: list[bytes]) -> None:
    """Recover as the next process does, at once: to open and close first would fold away what is in doubt."""
    _tell_all()
    later = no_earlier(scenario, said)
    found = [*desks.recover(desk, later), *desks.check(desk, later), *lost_at(desk, said)]
    say(json.dumps({"found": found}).encode())


def _sent_without_a_row(disk: Disk, operations: Iterable[Operation], room: Path) -> Iterator[str]:
    """Say what was sent before its row was durable: after a failed sync nothing before it counts as that."""
    for operation in operations:
        disk.do(operation)
        if isinstance(operation, Said) and b'"sent"' in operation.payload:
            with _opened(disk.image([]), room) as left:
                for each in lost_at(left, disk.said):
                    yield f"at {operation.payload.decode()}, were power lost: {each}"


def _end_at_error() -> None:
    """Let an error that leaves a journal's block end this process as it stands."""
    leaving = SqlJournal.__exit__

    def ending(
        journal: SqlJournal,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            os._exit(ENDED)
        leaving(journal, kind, error, trace)

    SqlJournal.__exit__ = ending
