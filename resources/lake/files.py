"""Where the lake's bytes lie: a local folder, or any object store that fsspec knows (`s3://…`).

A `put` is seen whole or not at all, and is on disk when it returns. Paths are relative, with `/`.
Not here: what the bytes are (store.py).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

TEMPORARY = ".tmp-"
"""How a file begins that is not yet whole; no reader ever looks at one."""


class Files(Protocol):
    """Keep bytes under relative paths. All raise `OSError`; a read of nothing raises `FileNotFoundError`."""

    def read(self, path: str) -> bytes:
        """Return the bytes under a path."""
        ...

    def put(self, path: str, content: bytes) -> None:
        """Put bytes under a path, in place of what was there: at once, and durably."""
        ...

    def remove(self, path: str) -> None:
        """Remove what is under a path, if anything is."""
        ...

    def folders_with(self, folder: str, name: str) -> list[str]:
        """Return the names of the direct subfolders that hold a file of that name, ascending."""
        ...

    def last_folder_with(self, folder: str, name: str) -> str:
        """Return the name of the last direct subfolder that holds a file of that name, empty where none."""
        ...

    def below(self, folder: str, name: str) -> list[str]:
        """Return the folders at any depth below one that hold a file of that name, relative to it, ascending.

        The folder itself is not among them.
        """
        ...

    def alone_in(self, folder: str) -> Any:
        """Return a context in which nobody else writes in a folder, as far as the place can hold that."""
        ...


class LocalFiles:
    """Keep bytes in a folder of this machine: temporary file, fsync, rename, fsync of the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """Return the bytes under a path."""
        with open(f"{self._root}/{path}", "rb") as file:  # noqa: PTH123 - a window reads hundreds
            return file.read()

    def put(self, path: str, content: bytes) -> None:
        """Put bytes under a path; call it inside `alone_in` of its folder."""
        target = self._root / path
        temporary = target.with_name(f"{TEMPORARY}{target.name}")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def remove(self, path: str) -> None:
        """Remove what is under a path, if anything is."""
        (self._root / path).unlink(missing_ok=True)

    def folders_with(self, folder: str, name: str) -> list[str]:
        """Return the names of the direct subfolders that hold a file of that name, ascending."""
        with suppress(FileNotFoundError):
            return sorted(entry.name for entry in (self._root / folder).iterdir() if (entry / name).is_file())
        return []

    def last_folder_with(self, folder: str, name: str) -> str:
        """Return the name of the last direct subfolder that holds a file of that name, empty where none."""
        place = self._root / folder
        with suppress(FileNotFoundError):
            names = sorted(os.listdir(place), reverse=True)  # noqa: PTH208 - names alone: ten years are many
            return next((one for one in names if (place / one / name).is_file()), "")
        return ""

    def below(self, folder: str, name: str) -> list[str]:
        """Return the folders at any depth below one that hold a file of that name, ascending."""
        top = self._root / folder
        return sorted(path.parent.relative_to(top).as_posix() for path in top.glob(f"*/**/{name}"))

    @contextmanager
    def alone_in(self, folder: str) -> Iterator[None]:
        """Hold the folder's kernel lock, which dies with its holder; what it left half-written is removed."""
        path = self._root / folder
        _make_folder(path)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for left_over in path.glob(f"{TEMPORARY}*"):
                left_over.unlink()
            yield
        finally:
            os.close(handle)


class StoredObjects:
    """Keep bytes in an object store. A single object appears whole; between two writers the last one wins."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def read(self, path: str) -> bytes:
        """Return the bytes under a path."""
        content: bytes = self._filesystem.cat_file(f"{self._root}/{path}")
        return content

    def put(self, path: str, content: bytes) -> None:
        """Put bytes under a path in one request."""
        self._filesystem.pipe_file(f"{self._root}/{path}", content)

    def remove(self, path: str) -> None:
        """Remove what is under a path, if anything is."""
        with suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._root}/{path}")

    def folders_with(self, folder: str, name: str) -> list[str]:
        """Return the names of the direct subfolders that hold a file of that name, ascending."""
        self._filesystem.invalidate_cache()
        found = self._filesystem.glob(f"{self._root}/{folder}/*/{name}")
        return sorted(path.rsplit("/", 2)[1] for path in found)

    def last_folder_with(self, folder: str, name: str) -> str:
        """Return the name of the last direct subfolder that holds a file of that name, empty where none."""
        return max(self.folders_with(folder, name), default="")

    def below(self, folder: str, name: str) -> list[str]:
        """Return the folders at any depth below one that hold a file of that name, ascending."""
        self._filesystem.invalidate_cache()
        top = f"{self._root}/{folder}/"
        found = self._filesystem.glob(f"{top}**/{name}")
        below = [path[path.index(top) + len(top) :].rpartition("/")[0] for path in found]
        return sorted(filter(None, below))

    @contextmanager
    def alone_in(self, folder: str) -> Iterator[None]:  # noqa: ARG002 - there is nothing to hold
        """Hold nothing: object stores have no locks, and the sessions of one book run one at a time."""
        yield


def _make_folder(path: Path) -> None:
    """Make a folder and its parents so that they outlive a power loss."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
