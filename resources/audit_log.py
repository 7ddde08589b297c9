"""The audit log: the journal's events as JSON lines in a file that people can keep a copy of.

A projection, never ahead of the database and always a byte prefix of its export. Beside `audit.jsonl` are
`audit.checkpoints.jsonl`, signed each time the log has grown, and `keys/` with the key that signs. What a
line and a checkpoint say and how they are verified is trading/audit.py; the keys are audit_keys.py.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

import rfc8785

from resources.audit_keys import (
    PUBLIC_NAME,
    SigningKey,
    has_key,
    put_in_use,
    signatory_of,
    signing_key,
    sync_folder,
)
from resources.audit_paths import checkpoints_of, keys_of
from trading.audit import (
    BEGINNING,
    LINE_BYTES_MAX,
    BadEntry,
    Checkpoint,
    Link,
    Part,
    Signatory,
    Tell,
    checkpoint_content,
    checkpoint_of,
    event_of_line,
    follow,
    instant_text,
    is_torn,
    line_of,
    signed_bytes,
    tell_nobody,
    verify_signed,
)
from trading.errors import BadInput, JournalBehindLog, JournalError
from trading.journal import JournalEvent

BATCH = 1_000
"""Events read from the journal at a time."""

TOLD_EVERY = 100_000
"""After so many lines, some seconds, it is told how far a look at all of them is."""

_TAIL = 65_536
"""Bytes read at a time from the end of a file, to find its last line."""


class Events(Protocol):
    """Give a journal's events; the store and the reader both do."""

    def events(self, *, after: int, limit: int) -> Sequence[JournalEvent]:
        """Return events with a sequence number above `after`, ascending, at most `limit`."""
        ...


class AuditFile:
    """Keep one journal's log file up to date; a `trading.audit.AuditLog`."""

    def __init__(self, journal: Events, path: Path) -> None:
        """Name the journal and its file."""
        self._journal = journal
        self._path = path

    def project(self) -> int:
        """Append the events that the file does not have yet, and sign where it ends; return how many."""
        return project(self._journal, self._path)

    def verify(self) -> BadEntry | None:
        """Return what does not hold from the last checkpoint on, or between it and the journal."""
        return verify_end(self._journal, self._path)

    def verify_all(self, tell: Tell = tell_nobody) -> BadEntry | None:
        """Return the first entry that does not hold in the whole file, or that is not the journal's."""
        bad = check(self._path, tell=tell)
        if bad is not None and not bad.heals:
            return bad
        return compare(self._journal, self._path, tell=tell) or bad

    def read_whole(self, tell: Tell = tell_nobody) -> AuditFileReadWhole:
        """Return the same log with what was found in all of it. Raises as `check` does."""
        return AuditFileReadWhole(self._journal, self._path, tell)


class AuditFileReadWhole(AuditFile):
    """Keep a log file of which all lines were read once: what that found, each later look finds again.

    So the long look is over before the executor's lock is taken.
    """

    def __init__(self, journal: Events, path: Path, tell: Tell = tell_nobody) -> None:
        """Name the journal and its file, and read all of it. Raises as `check` does."""
        super().__init__(journal, path)
        self._found = self.verify_all(tell)

    def verify(self) -> BadEntry | None:
        """Return what was found in the whole file, or does not hold now from the last checkpoint on."""
        if self._found is not None and not self._found.heals:
            return self._found
        return super().verify()


def project(journal: Events, path: Path) -> int:
    """Append the events that the file does not have yet, sync it, and sign where it ends; returns how many.

    What a crash left is mended first: a torn last line is cut off, and what no checkpoint is signed for is
    compared with the journal before it is. Raises `JournalBehindLog` where the journal lacks events that
    its own log has, `JournalError` where a line is not the journal's event or the file cannot be written,
    `BadSetting` where the signing key is missing or is not the one that signed before.
    """
    try:
        with _locked(path) as (log, checkpoints):
            _heal(log)
            _heal(checkpoints)
            _cut_torn(checkpoints, _start_of_last(checkpoints))
            _write_again(checkpoints_of(path), _start_of_last(checkpoints))
            return _projected(journal, path, log, checkpoints)
    except OSError as error:
        raise JournalError(f"audit log {path}: cannot be written: {error}") from error


def check(
    path: Path, *, public_key: Path | None = None, kept: str = "", tell: Tell = tell_nobody
) -> BadEntry | None:
    """Return the first entry of a log file or its checkpoints that does not hold, or `None`.

    `public_key` is the copy that was taken away; else the one beside the log is trusted. `kept` is a line
    of the checkpoints that was taken away: the log must still go through it. A log never written holds
    nothing bad. Raises `JournalError` where a file cannot be read, `BadSetting` for an unusable key.
    """

    def look(log: _Now, checkpoints: _Now) -> BadEntry | None:
        signatory = _signatory(path, public_key, is_signed=checkpoints.size_bytes > 0)
        return verify_signed(
            _told(log, tell, "followed by their hashes"),
            checkpoints.lines(),
            signatory,
            kept=_kept(kept, signatory) if kept else None,
        )

    with _reading(path):
        bad = _missing(path, is_signed=public_key is not None or has_key(keys_of(path)))
        return bad if bad is not None or not path.exists() else _looked(path, look)


def has_checkpoint(path: Path) -> bool:
    """Say whether a log's first checkpoint is there, and not what a crash leaves of one.

    Raises `JournalError` where the file cannot be read.
    """
    with _reading(path), _opened(checkpoints_of(path)) as file:
        first = file.readline(LINE_BYTES_MAX + 2)
    return bool(first) and not is_torn(first)


def verify_end(journal: Events, path: Path) -> BadEntry | None:
    """Return what does not hold from the last checkpoint on, or between it and the journal, or `None`.

    Takes as long however long the log is; where something is wrong, the whole log is read to name it.
    Raises as `check` does.
    """
    with _reading(path):
        bad = _missing(path, is_signed=has_key(keys_of(path)))
        if bad is not None or not path.exists():
            return bad
        with _shared(path) as log, _opened(checkpoints_of(path)) as checkpoints:
            signatory = _signatory(path, None, is_signed=checkpoints.seek(0, os.SEEK_END) > 0)
            signed = _last_signed(checkpoints, signatory)
            begins = signed.link if isinstance(signed, Checkpoint) else BEGINNING
            holds = not isinstance(signed, str) and (signed is None or _ends_at(log, begins))
            holds = holds and _is_whole(checkpoints)
            log.seek(begins.size_bytes)
            bad = verify_signed(_lines(log), (), signatory, after=begins) if holds else None
    if not holds or (bad is not None and not bad.heals):
        bad = check(path)
    if bad is not None and not bad.heals:
        return bad
    return compare(journal, path, after=begins) or bad


def compare(
    journal: Events, path: Path, *, after: Link = BEGINNING, tell: Tell = tell_nobody
) -> BadEntry | None:
    """Return the first line that is not the journal's event of that number, or `None`.

    A log may be short of its journal, since the next projection adds the rest, but never ahead of it: an
    emptied, older or other journal is found here. `after` is where to begin: a checkpoint that was verified.
    A torn last line is left out.
    """

    def look(log: _Now, _: _Now) -> BadEntry | None:
        return _compared(_told(log, tell, "compared with the journal", after=after), journal, after)

    with _reading(path):
        if not path.exists():
            return None
        if after.seq and (bad := _differs(journal, after)):
            return bad
        return _looked(path, look)


def _compared(lines: Iterable[bytes], journal: Events, after: Link) -> BadEntry | None:
    events = _events_after(journal, after.seq)
    for number, line in enumerate(lines, start=after.seq + 1):
        if is_torn(line):
            return None
        event = next(events, None)
        if event is None:
            return _behind(number)
        if _line(event) != line:
            return BadEntry(number, number, f"not the journal's event {number}")
    return None


def events_in(path: Path) -> Iterator[JournalEvent]:
    """Yield the events of a log file, as from the journal itself; a torn last line is left out.

    Verify the log first. Raises `BadInput` for a line that is no event, `JournalError` where the file
    cannot be read.
    """
    with _reading(path), _shared(path) as log:
        for line in _lines(log):
            if line.endswith(b"\n"):
                yield event_of_line(line)


# -------------------------------------------------------------------------------- growing


def _projected(journal: Events, path: Path, log: BinaryIO, checkpoints: BinaryIO) -> int:
    previous = _line_before(checkpoints, checkpoints.seek(0, os.SEEK_END))
    key: SigningKey | None = None
    signed = BEGINNING
    if previous:
        key = signing_key(keys_of(path), may_make=False)
        checkpoint = checkpoint_of(previous, key.signatory)
        if isinstance(checkpoint, str):
            raise JournalError(f"audit log {path}: its last checkpoint does not hold ({checkpoint}); {_KEEP}")
        signed = checkpoint.link
    stands = _agreed(journal, path, log, signed)
    events = _events_after(journal, stands.seq)
    _cut_torn(log, stands.size_bytes)
    _write_again(path, stands.size_bytes)
    log.seek(stands.size_bytes)
    for line in _lines(log):
        event = next(events, None)
        if event is None:
            raise JournalBehindLog(f"audit log {path}: {_behind(stands.seq + 1).reason}; {_KEEP}")
        if line != _line(event):
            raise JournalError(f"audit log {path}: line {event.seq} is not the journal's event; {_KEEP}")
        stands = _followed(path, stands, line)
    appended = 0
    for event in events:
        line = _line(event)
        stands = _followed(path, stands, line)
        if stands.seq == signed.seq and stands != signed:
            raise JournalError(f"audit log {path}: was changed before line {signed.seq}; {_KEEP}")
        log.write(line)
        appended += 1
    log.flush()
    os.fsync(log.fileno())
    if stands.seq > signed.seq:
        _sign(checkpoints, stands, previous, key or signing_key(keys_of(path), may_make=True))
    put_in_use(keys_of(path))
    return appended


def _sign(checkpoints: BinaryIO, stands: Link, previous: bytes, key: SigningKey) -> None:
    content = checkpoint_content(stands, previous=previous, key_id=key.signatory.key_id)
    signature = key.sign(signed_bytes(content)).hex()
    checkpoints.write(rfc8785.dumps({**content, "signature": signature}) + b"\n")
    checkpoints.flush()
    os.fsync(checkpoints.fileno())


def _agreed(journal: Events, path: Path, log: BinaryIO, signed: Link) -> Link:
    """Return the last place up to which the file is known to be the journal's: signed, or its last line.

    The last line counts where the file was cut off before what is signed: the journal gives it back.
    """
    if signed.seq and (bad := _differs(journal, signed)):
        error = JournalBehindLog if bad.part is Part.JOURNAL else JournalError
        raise error(f"audit log {path}: {bad.reason}; {_KEEP}")
    end = log.seek(0, os.SEEK_END)
    if end >= signed.size_bytes:
        if signed.seq and not _ends_at(log, signed):
            raise JournalError(f"audit log {path}: line {signed.seq} is not the one signed; {_KEEP}")
        return signed
    line = _line_before(log, end)
    if not line:
        return BEGINNING
    try:
        event = event_of_line(line)
    except BadInput as error:
        raise JournalError(f"audit log {path}: its last line is no event; {_KEEP}") from error
    stored = _event(journal, event.seq)
    if stored is None or _line(stored) != line:
        raise JournalError(f"audit log {path}: its last line is not the journal's event; {_KEEP}")
    if stored.seq >= signed.seq:
        # All lines that were signed are there, and fewer bytes: none is missing, one was changed.
        raise JournalError(f"audit log {path}: was changed before line {signed.seq}; {_KEEP}")
    return Link(stored.seq, stored.hash, instant_text(stored.at), end)


def _followed(path: Path, link: Link, line: bytes) -> Link:
    """Return where the chain stands after a line of the journal's: nothing is signed that does not follow."""
    found = follow(link, line)
    if isinstance(found, str):
        raise JournalError(f"audit log {path}: the journal's event {link.seq + 1} does not hold: {found}")
    return found


# -------------------------------------------------------------------------------- against the journal


def _differs(journal: Events, signed: Link) -> BadEntry | None:
    """Return how the journal's event of a number is not the one that was signed, or `None`."""
    event = _event(journal, signed.seq)
    if event is None:
        return _behind(signed.seq)
    if event.hash != signed.hash:
        return BadEntry(
            signed.seq, signed.seq, f"entry {signed.seq} was signed, but is another one in the journal"
        )
    return None


def _behind(seq: int) -> BadEntry:
    what = (
        f"the journal has no event {seq}, but its log has: the journal was emptied, or is an older or"
        " another one"
    )
    return BadEntry(seq, seq, what, part=Part.JOURNAL)


def _event(journal: Events, seq: int) -> JournalEvent | None:
    found = journal.events(after=seq - 1, limit=1)
    return found[0] if found and found[0].seq == seq else None


def _events_after(journal: Events, seq: int) -> Iterator[JournalEvent]:
    while batch := journal.events(after=seq, limit=BATCH):
        yield from batch
        seq = batch[-1].seq


def _line(event: JournalEvent) -> bytes:
    return line_of(event).encode() + b"\n"


# -------------------------------------------------------------------------------- signatures


_NOBODY = Signatory(key_id="", is_signed=lambda _content, _signature: False)
"""Whose signatures count where nothing was signed yet."""

_KEEP = "verify the log; keep it, its checkpoints and the journal as they are, and restore the true one"
"""What to do about a log that is not its journal's."""


def _missing(path: Path, *, is_signed: bool) -> BadEntry | None:
    """Return which file is missing or emptied that must have been there, or `None`."""
    checkpoints = checkpoints_of(path)
    if not path.exists() and checkpoints.exists() and checkpoints.stat().st_size:
        return BadEntry(1, 1, "the log is missing, but its checkpoints are here")
    # A key is in use once its first checkpoint is on disk, so that a crash never leaves the one alone.
    if is_signed and not has_checkpoint(path):
        how = "cut off before the first one's end" if checkpoints.exists() else "missing"
        what = f"the checkpoints are {how}, but a key has signed them"
        return BadEntry(1, 1, what, part=Part.CHECKPOINTS)
    return None


def _signatory(path: Path, public_key: Path | None, *, is_signed: bool) -> Signatory:
    if public_key is None and not is_signed:
        return _NOBODY
    return signatory_of(public_key or keys_of(path) / PUBLIC_NAME)


def _kept(line: str, signatory: Signatory) -> Checkpoint:
    found = checkpoint_of(line.strip().encode(errors="surrogatepass"), signatory)
    if isinstance(found, str):
        raise BadInput(f"the checkpoint that was kept does not hold: {found}")
    return found


def _last_signed(checkpoints: BinaryIO, signatory: Signatory) -> Checkpoint | str | None:
    """Return the last whole checkpoint, why it is none, or `None` where there is none yet."""
    line = _line_before(checkpoints, _end_of_whole(checkpoints))
    return checkpoint_of(line, signatory) if line else None


def _ends_at(log: BinaryIO, signed: Link) -> bool:
    """Say whether the line that ends where a checkpoint says is the event it was signed for."""
    if log.seek(0, os.SEEK_END) < signed.size_bytes:
        return False
    line = _line_before(log, signed.size_bytes)
    try:
        before = event_of_line(line).prev_hash
    except BadInput:
        return False
    return follow(Link(signed.seq - 1, before, "", signed.size_bytes - len(line)), line) == signed


# -------------------------------------------------------------------------------- files


@contextmanager
def _locked(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Give the log and its checkpoints to write; two runs may end at once: the second waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a+b") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        bad = _missing(path, is_signed=has_key(keys_of(path)))
        if bad is not None:
            raise JournalError(f"audit log {path}: {bad.reason}; {_KEEP}")
        is_new |= not checkpoints_of(path).exists()
        with checkpoints_of(path).open("a+b") as checkpoints:
            if is_new:
                sync_folder(path.parent)
            yield log, checkpoints


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"audit log {path}: cannot be read: {error}") from error


@contextmanager
def _shared(path: Path) -> Iterator[BinaryIO]:
    """Give the log to read, while nobody writes it."""
    with path.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        yield log


class _Now:
    """Read a file as it is now: what is appended to it later is left out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size_bytes = file.seek(0, os.SEEK_END)

    def lines(self, *, begin_bytes: int = 0) -> Iterator[bytes]:
        """Yield lines as `_lines` does, from a place in the file on."""
        self._file.seek(begin_bytes)
        while (left := self.size_bytes - self._file.tell()) > 0:
            if not (line := self._file.readline(min(LINE_BYTES_MAX + 2, left))):
                return
            yield line

    def part_read(self) -> float:
        """Return how much of it was read, from 0 to 1."""
        return self._file.tell() / self.size_bytes


def _looked(path: Path, look: Callable[[_Now, _Now], BadEntry | None]) -> BadEntry | None:
    """Return what a look at a whole log finds, which holds up nobody who appends to it.

    Only where it finds something that may have been mended beneath it does it look again, and then a
    projection waits.
    """
    with _as_of_now(path, keeps_writers_out=False) as (log, checkpoints):
        bad = look(log, checkpoints)
    if bad is not None:
        with _as_of_now(path, keeps_writers_out=True) as (log, checkpoints):
            bad = look(log, checkpoints)
    return bad


@contextmanager
def _as_of_now(path: Path, *, keeps_writers_out: bool) -> Iterator[tuple[_Now, _Now]]:
    """Give a log and its checkpoints as they fit together now, whoever appends to them afterwards."""
    with _shared(path) as log, _opened(checkpoints_of(path)) as checkpoints:
        now = _Now(log), _Now(checkpoints)
        if not keeps_writers_out:
            fcntl.flock(log, fcntl.LOCK_UN)
        yield now


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Give a file to read, an empty one where there is none."""
    with path.open("rb") if path.exists() else BytesIO() as file:
        yield file


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their ends from where a file stands, holding at most one that is too long."""
    while line := file.readline(LINE_BYTES_MAX + 2):
        yield line


def _told(log: _Now, tell: Tell, what: str, *, after: Link = BEGINNING) -> Iterator[bytes]:
    """Yield a log's lines, and tell now and then how many were read, and of how much that is."""
    for number, line in enumerate(log.lines(begin_bytes=after.size_bytes), start=1):
        yield line
        if number % TOLD_EVERY == 0:
            tell(f"audit log: {number:,} lines {what}, {log.part_read():.0%} of it")


def _heal(file: BinaryIO) -> None:
    """Cut off what a crash left after the last whole line."""
    at = _end_of_whole(file)
    if at != file.seek(0, os.SEEK_END):
        file.truncate(at)


def _cut_torn(file: BinaryIO, start: int) -> None:
    """Cut off what a crash left from the first torn line after `start` on; what is signed lies before it."""
    file.seek(start)
    at = start
    for line in _lines(file):
        if is_torn(line):
            file.truncate(at)
            return
        at += len(line)


def _write_again(path: Path, start: int) -> None:
    """Write the bytes from `start` on once more: the next sync is then theirs.

    A sync that failed has dropped what the kernel still shows, and no later one tells.
    """
    with path.open("r+b", buffering=0) as file:
        file.seek(start)
        while part := file.read(_TAIL):
            file.seek(-len(part), os.SEEK_CUR)
            file.write(part)


def _start_of_last(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    return end - len(_line_before(file, end))


def _is_whole(file: BinaryIO) -> bool:
    return _end_of_whole(file) == file.seek(0, os.SEEK_END)


def _end_of_whole(file: BinaryIO) -> int:
    """Return where the last whole line ends, in bytes; 0 where there is none."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - _TAIL)
        file.seek(start)
        newline = file.read(at - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        at = start
    return 0


def _line_before(file: BinaryIO, end: int) -> bytes:
    """Return the line that ends at a byte, with its end; empty at the file's beginning."""
    tail = b""
    at = end
    while at > 0 and tail.count(b"\n", 0, -1) == 0 and len(tail) <= LINE_BYTES_MAX:
        start = max(0, at - _TAIL)
        file.seek(start)
        tail = file.read(at - start) + tail
        at = start
    return tail[tail.rfind(b"\n", 0, -1) + 1 :]
