"""What a process did to a folder, by strace, and what a power loss at any moment of it can leave there.

A recording is every open, write, cut, sync and rename that processes made below a folder, in order, and the
moments at which something was told to the outside. `Disk` replays it as a disk that promises no more than
POSIX does: what was synced is there; of what was not, any part may be, in any order, torn at sectors. A sync
that failed makes nothing durable, and no later one makes up for it. Nothing here knows what the files mean.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import NamedTuple, NoReturn

from proof.suite import NotRun

SECTOR = 512
"""What a disk writes whole or not at all, in bytes."""

PAGE = 4_096
"""What a kernel writes out together, in bytes."""

TOP = 0
"""The number of the recorded folder itself."""

IGNORED = ("-shm", "-turns", ".lock")
"""How files end that need not survive: SQLite's shared memory, numbers of those who wait, locks."""

RECORDED = (
    "open", "openat", "creat", "close", "lseek", "write", "pwrite64", "ftruncate", "fsync", "fdatasync",
    "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
)  # fmt: skip
"""The system calls that are replayed."""

PAST_THE_REPLAY = (
    "writev", "pwritev", "pwritev2", "truncate", "fallocate", "msync", "symlink", "symlinkat",
    "rmdir", "copy_file_range", "sendfile", "splice", "dup", "dup2", "dup3", "mmap",
)  # fmt: skip
"""The system calls that could change a file or a descriptor unseen: on one of ours, the recording is void."""

LONGEST_WRITE = 1 << 22
ATTACH_S = 30.0

MARKS = 1_000
"""The descriptor that a recorded process tells the outside by: far from what it opens itself."""

DIED = 70
"""The exit status of a recorded process that ended by an exception."""

_TRACEABLE_BY_ANY = 0x59616D61
"""`PR_SET_PTRACER`, so that a sibling may attach where the kernel lets only ancestors."""


# -------------------------------------------------------------------------------- what was done


class Wrote(NamedTuple):
    """Hold bytes written to a file."""

    file: int
    offset: int
    data: bytes


class Cut(NamedTuple):
    """Hold a file's new length."""

    file: int
    length: int


class Named(NamedTuple):
    """Hold that a folder got a name for a file or folder."""

    folder: int
    name: str
    file: int
    is_folder: bool = False


class Unnamed(NamedTuple):
    """Hold that a folder lost a name."""

    folder: int
    name: str


class Moved(NamedTuple):
    """Hold that a file was renamed inside its folder, which happens whole or not at all."""

    folder: int
    old: str
    new: str


class Synced(NamedTuple):
    """Hold that a file or a folder was synced; where that failed, what waited for it is lost for good."""

    file: int
    is_failed: bool = False


class Said(NamedTuple):
    """Hold what the outside knows from this moment on."""

    payload: bytes


Operation = Wrote | Cut | Named | Unnamed | Moved | Synced | Said


# -------------------------------------------------------------------------------- recording


def say(payload: bytes) -> None:
    """Put into the recording that the outside knows something from now on; nothing where none is made."""
    with suppress(OSError):
        # A call of its own, so that no fault that is put on writes meets it.
        os.writev(MARKS, [payload])


def run_traced(
    act: Callable[[], None], trace: Path, *, inject: Sequence[str] = (), paths: Sequence[Path] = ()
) -> int:
    """Run `act` in a forked process and write what it does to `trace`; return its exit status.

    `inject` are faults as strace knows them (`pwrite64:error=ENOSPC:when=3`); with `paths` only calls on
    these are seen and met by faults. Raises `NotRun` where strace cannot look at processes.
    """
    if shutil.which("strace") is None:
        raise NotRun("strace is not installed, so what a process does to its files cannot be recorded")
    child = os.fork()
    if child == 0:
        _live(act)
    try:
        os.waitpid(child, os.WUNTRACED)
        calls = ",".join(f"?{name}" for name in RECORDED + PAST_THE_REPLAY)
        command = ["strace", "-f", "-y", "-xx", "-s", str(LONGEST_WRITE), "-o", str(trace)]
        command += ["-e", f"trace={calls}", "-e", "signal=none", *(f"--inject={fault}" for fault in inject)]
        command += [f"--trace-path={path}" for path in paths]
        tracer = subprocess.Popen(
            [*command, "-p", str(child)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _await_tracer(child, tracer)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    tracer.communicate()
    return os.waitstatus_to_exitcode(status)


def _live(act: Callable[[], None]) -> NoReturn:
    """Be the recorded process: wait until somebody looks, act, and end without tidying up."""
    status = DIED
    try:
        ctypes.CDLL(None).prctl(_TRACEABLE_BY_ANY, ctypes.c_ulong(-1), 0, 0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), MARKS)
        os.kill(os.getpid(), signal.SIGSTOP)
        act()
        status = 0
    except BaseException as error:  # noqa: BLE001 - what ended it is told, then it ends
        say(f"died {type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def _await_tracer(child: int, tracer: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + ATTACH_S
    status = Path(f"/proc/{child}/status")
    while "\nTracerPid:\t0\n" in status.read_text("ascii"):
        if tracer.poll() is not None or time.monotonic() > until:
            tracer.kill()
            told = tracer.communicate()[1].decode(errors="replace").strip()
            raise NotRun(f"strace cannot attach to a process here: {told}")
        time.sleep(0.001)


# -------------------------------------------------------------------------------- reading

_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(.*)$", re.DOTALL)
_UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_DESCRIPTOR = re.compile(r"^(-?\d+|AT_FDCWD)<([^>]*)>")


class Void(Exception):
    """Say that a recording holds something that the replay does not know, so that it proves nothing."""


class Reader:
    """Turn what strace wrote of processes, one after another, into operations below `folder`.

    Files are numbered as they are found or made; `TOP` is the folder itself.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[tuple[int, str], int] = {}
        self._sizes: dict[int, int] = {TOP: 0}
        self._folders = {TOP}
        self._open: dict[int, _Open] = {}

    def held(self) -> list[Operation]:
        """Return what makes the folder as it is now, all of it synced; asked for before anything is read."""
        found: list[Operation] = []
        for place in sorted(Path(self._folder).rglob("*")):
            if _is_ignored(place.name):
                continue
            folder, file = self._folder_of(place), self._new(place)
            found += [Named(folder, place.name, file, is_folder=place.is_dir()), Synced(folder)]
            if place.is_dir():
                self._folders.add(file)
            else:
                content = place.read_bytes()
                self._sizes[file] = len(content)
                found += [Wrote(file, 0, content), Synced(file)]
        return found

    def read(self, trace: Path) -> list[Operation]:
        """Return what one process did, in order."""
        self._open = {}
        found: list[Operation] = []
        for line in _whole_lines(trace):
            call = _CALL.match(line)
            if call is not None:
                found += self._operations(call[1], call[2].split(", "), int(call[3]))
        return found

    def _operations(self, call: str, given: list[str], result: int) -> list[Operation]:
        if call in {"open", "openat", "creat"}:
            return self._opened(call, given, result)
        if call in {
            "mkdir",
            "mkdirat",
            "unlink",
            "unlinkat",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
        }:
            return self._renamed(call, given) if result == 0 else []
        return self._changed(call, given, result)

    def _opened(self, call: str, given: list[str], result: int) -> list[Operation]:
        place = self._place(given[1] if call == "openat" else given[0])
        if result < 0 or place is None:
            return []
        flags = given[2] if call == "openat" else given[1]
        file = self._at(place)
        found: list[Operation] = []
        if file is None:
            if "O_CREAT" not in flags:
                raise Void(f"{place}: was there before the recording")
            file = self._new(place)
            if not _is_ignored(place.name):
                found.append(Named(self._folder_of(place), place.name, file))
        elif "O_TRUNC" in flags and self._sizes[file]:
            self._sizes[file] = 0
            found.append(Cut(file, 0))
        self._open[result] = _Open(file, place, is_appending="O_APPEND" in flags)
        return found

    def _renamed(self, call: str, given: list[str]) -> list[Operation]:
        texts = [text for text in given if text.startswith('"')]
        places = [self._place(text) for text in texts]
        place = places[0]
        if place is None:
            if any(places[1:]):
                raise Void(f"{call} into the folder from elsewhere")
            return []
        folder = self._folder_of(place)
        if _is_ignored(place.name):
            self._names.pop((folder, place.name), None)
            return []
        if call.startswith("mkdir"):
            file = self._new(place)
            self._folders.add(file)
            return [Named(folder, place.name, file, is_folder=True)]
        if call.startswith("unlink"):
            del self._names[folder, place.name]
            return [Unnamed(folder, place.name)]
        new = places[1]
        if call.startswith("link") and new is not None:
            file = self._names[folder, place.name]
            self._names[self._folder_of(new), new.name] = file
            return [Named(self._folder_of(new), new.name, file)]
        if new is None or new.parent != place.parent:
            raise Void(f"{call} of {place} to {new}: only inside one folder")
        self._names[folder, new.name] = self._names.pop((folder, place.name))
        return [Moved(folder, place.name, new.name)]

    def _changed(self, call: str, given: list[str], result: int) -> list[Operation]:
        descriptor = _descriptor(given[4] if call == "mmap" and len(given) > 4 else given[0])
        if call == "writev" and descriptor == MARKS:
            return [
                Said(b"".join(_bytes(text.split("iov_base=")[1]) for text in given if "iov_base=" in text))
            ]
        opened = self._open.get(descriptor)
        if opened is None or _is_ignored(opened.place.name):
            if call == "close":
                self._open.pop(descriptor, None)
            return []
        if call in PAST_THE_REPLAY:
            raise Void(f"{call} on {opened.place}: not replayed")
        file = opened.file
        match call:
            case "close":
                del self._open[descriptor]
            case "fsync" | "fdatasync":
                return [Synced(file, is_failed=result < 0)]
            case "lseek" if result >= 0:
                opened.position = result
            case "ftruncate" if result == 0:
                self._sizes[file] = int(given[1])
                return [Cut(file, int(given[1]))]
            case "write" | "pwrite64" if result > 0:
                if call == "write":
                    offset = self._sizes[file] if opened.is_appending else opened.position
                    opened.position = offset + result
                else:
                    offset = int(given[3])
                self._sizes[file] = max(self._sizes[file], offset + result)
                return [Wrote(file, offset, _bytes(given[1])[:result])]
        return []

    def _place(self, text: str) -> Path | None:
        """Return a quoted path, where it is below the folder."""
        path = _bytes(text).decode()
        if path != self._folder and not path.startswith(self._folder + "/"):
            return None
        return Path(path)

    def _at(self, place: Path) -> int | None:
        if str(place) == self._folder:
            return TOP
        parent = self._at(place.parent)
        return None if parent is None else self._names.get((parent, place.name))

    def _folder_of(self, place: Path) -> int:
        folder = self._at(place.parent)
        if folder is None or folder not in self._folders:
            raise Void(f"{place}: its folder was there before the recording")
        return folder

    def _new(self, place: Path) -> int:
        file = len(self._sizes)
        self._sizes[file] = 0
        self._names[self._folder_of(place), place.name] = file
        return file


@dataclass(slots=True)
class _Open:
    file: int
    place: Path
    is_appending: bool
    position: int = 0


def _whole_lines(trace: Path) -> Iterable[str]:
    """Return strace's lines, those that another thread interrupted in one piece where they ended."""
    halves: dict[str, str] = {}
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            text = line.rstrip("\n")
            if half := _UNFINISHED.match(text):
                halves[half[1]] = text.removesuffix(" <unfinished ...>")
            elif rest := _RESUMED.match(text):
                yield halves.pop(rest[1]) + rest[2]
            else:
                yield text


def _bytes(text: str) -> bytes:
    quoted = text[text.index('"') + 1 : text.rindex('"')]
    return bytes.fromhex(quoted.replace("\\x", ""))


def _descriptor(text: str) -> int:
    found = _DESCRIPTOR.match(text)
    return -1 if found is None or found[1] == "AT_FDCWD" else int(found[1])


def _is_ignored(name: str) -> bool:
    return name.endswith(IGNORED)


# -------------------------------------------------------------------------------- replaying

Image = dict[str, bytes]
"""What is below the folder after a power loss: content by path, relative; a folder's ends with a slash."""


@dataclass(slots=True)
class Disk:
    """Hold what is durable below a folder, and what waits to be, in the order done.

    Files whose name begins with one of `outside` are another machine's: whatever they hold is durable. Of a
    file whose sync failed the kernel still shows what it will not write any more; it writes it after all
    with the next change to the same page.
    """

    outside: tuple[str, ...] = ()
    contents: dict[int, bytearray] = field(default_factory=dict)
    names: dict[tuple[int, str], int] = field(default_factory=dict)
    waiting: list[Operation] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)
    _shown: dict[int, bytearray] = field(default_factory=dict)
    _elsewhere: dict[int, str] = field(default_factory=dict)
    _paths: dict[int, str] = field(default_factory=lambda: {TOP: ""})
    _folders: set[int] = field(default_factory=set)

    def do(self, operation: Operation) -> None:
        """Take one operation as done."""
        match operation:
            case Said(payload):
                self.said.append(payload)
            case Synced(file, is_failed):
                now = [each for each in self.waiting if _waits_for(each) == file]
                self.waiting = [each for each in self.waiting if _waits_for(each) != file]
                if is_failed:
                    self._lose(file, now)
                    return
                for each in now:
                    _apply(each, self.contents, self.names)
                    if file in self._shown:
                        self._write_out(each)
            case Named(folder, name, file, is_folder):
                path = f"{self._paths[folder]}/{name}".removeprefix("/")
                self._paths[file] = path
                if is_folder:
                    self._folders.add(file)
                if name.startswith(self.outside) and self.outside:
                    self._elsewhere[file] = path
                    self.contents[file] = bytearray()
                else:
                    self.waiting.append(operation)
            case Unnamed(_, name) | Moved(_, name, _) if self.outside and name.startswith(self.outside):
                for file in [
                    file for file, path in self._elsewhere.items() if path.rpartition("/")[2] == name
                ]:
                    path = self._elsewhere.pop(file)
                    if isinstance(operation, Moved):
                        self._elsewhere[file] = path.removesuffix(name) + operation.new
            case Wrote() | Cut() if operation.file in self._elsewhere:
                _apply(operation, self.contents, self.names)
            case _:
                self.waiting.append(operation)
                _apply_shown(operation, self._shown)

    def _lose(self, file: int, lost: list[Operation]) -> None:
        shown = {file: self._shown.get(file, bytearray(self.contents.get(file, b"")))}
        for each in lost:
            _apply_shown(each, shown)
        self._shown |= shown

    def _write_out(self, operation: Operation) -> None:
        """Write the pages of a change as the kernel shows them."""
        if isinstance(operation, Wrote):
            file, offset, data = operation
            start, end = offset // PAGE * PAGE, -(-(offset + len(data)) // PAGE) * PAGE
            _apply(Wrote(file, start, bytes(self._shown[file][start:end])), self.contents, self.names)

    def options(self) -> int:
        """Return how many pieces may each be there or not."""
        return sum(len(_pieces(each)) for each in self.waiting)

    def image(self, kept: Iterable[Operation]) -> Image:
        """Return what is there where, of all that waits, only `kept` was written."""
        kept = list(kept)
        changed = {each.file for each in kept if isinstance(each, Wrote | Cut)}
        contents = {
            file: bytearray(content) if file in changed else content
            for file, content in self.contents.items()
        }
        names = dict(self.names)
        for each in kept:
            _apply(each, contents, names)
        image = {path: bytes(contents[file]) for file, path in self._elsewhere.items()}
        below: list[tuple[int, str]] = [(TOP, "")]
        while below:
            folder, path = below.pop()
            for (parent, name), file in names.items():
                if parent != folder:
                    continue
                if file in self._folders:
                    below.append((file, f"{path}{name}/"))
                    image[f"{path}{name}/"] = b""
                else:
                    image[f"{path}{name}"] = bytes(contents.get(file, b""))
        return image


def drawn(disk: Disk, chance: Random) -> Image:
    """Return one of the images that a power loss now could leave."""
    waiting = disk.waiting
    match chance.randrange(8):
        case 0:
            kept = waiting[: chance.randint(0, len(waiting))]
        case 1:
            kept = waiting[chance.randint(0, len(waiting)) :]
        case 2:
            lost = chance.randrange(len(waiting)) if waiting else 0
            kept = waiting[:lost] + waiting[lost + 1 :]
        case 3:
            end = chance.randint(0, len(waiting))
            kept = waiting[:end]
            if kept:
                kept = kept[:-1] + _torn(kept[-1], chance)
        case 4:
            # Written back page by page in any order: what was written last may be there alone.
            share = chance.random()
            kept = [each for each in waiting if chance.random() < share]
        case 5:
            file = _waits_for(chance.choice(waiting)) if waiting else TOP
            kept = [each for each in waiting if _waits_for(each) == file]
        case _:
            share = chance.random()
            kept = [piece for each in waiting for piece in _torn(each, chance, share)]
    return disk.image(kept)


def key_of(image: Image) -> bytes:
    """Return the digest by which an image is known."""
    digest = blake2b(digest_size=16)
    for path in sorted(image):
        content = image[path]
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.digest()


def write_image(image: Image, folder: Path) -> None:
    """Put an image into a folder, which is made for it."""
    folder.mkdir()
    for path, content in image.items():
        place = folder / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        # Some of them are secret, and who opens them looks.
        place.chmod(0o600)


def _waits_for(operation: Operation) -> int:
    """Return the file or folder whose sync makes an operation durable."""
    match operation:
        case Wrote(file=file) | Cut(file=file):
            return file
        case Named(folder=folder) | Unnamed(folder=folder) | Moved(folder=folder):
            return folder
        case _:
            return -1


def _apply(operation: Operation, contents: dict[int, bytearray], names: dict[tuple[int, str], int]) -> None:
    match operation:
        case Wrote(file, offset, data):
            content = contents.setdefault(file, bytearray())
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        case Cut(file, length):
            content = contents.setdefault(file, bytearray())
            del content[length:]
            content.extend(bytes(length - len(content)))
        case Named(folder, name, file, _):
            names[folder, name] = file
        case Unnamed(folder, name):
            names.pop((folder, name), None)
        case Moved(folder, old, new):
            file = names.pop((folder, old), None)
            if file is not None:
                names[folder, new] = file
        case _:
            return


def _apply_shown(operation: Operation, shown: dict[int, bytearray]) -> None:
    if isinstance(operation, Wrote | Cut) and operation.file in shown:
        _apply(operation, shown, {})


def _pieces(operation: Operation) -> list[Operation]:
    """Return what of an operation may be there without the rest: a write's part in each sector."""
    if not isinstance(operation, Wrote):
        return [operation]
    file, offset, data = operation
    ends = [*range((offset // SECTOR + 1) * SECTOR, offset + len(data), SECTOR), offset + len(data)]
    starts = [offset, *ends[:-1]]
    return [
        Wrote(file, start, data[start - offset : end - offset])
        for start, end in zip(starts, ends, strict=True)
    ]


def _torn(operation: Operation, chance: Random, share: float | None = None) -> list[Operation]:
    pieces = _pieces(operation)
    if share is not None:
        return [piece for piece in pieces if chance.random() < share]
    at = chance.randint(0, len(pieces))
    return pieces[:at] if chance.random() < 0.5 else pieces[at:]
