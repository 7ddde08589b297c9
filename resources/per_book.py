"""One thing a book, built when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Generic, TypeVar

One = TypeVar("One")


class PerBook(Mapping[str, One], Generic[One]):
    """Build one thing a book on first use, and keep it."""

    def __init__(self, books: Collection[str], build: Callable[[str], One]) -> None:
        """Know the books; `build` makes the thing of one of them."""
        self._books = tuple(books)
        self._build = build
        self._built: dict[str, One] = {}

    def __getitem__(self, book: str) -> One:
        """Return the book's thing; raises `KeyError` for a book that is not configured."""
        if book not in self._books:
            raise KeyError(book)
        if book not in self._built:
            self._built[book] = self._build(book)
        return self._built[book]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the books, in the file's order."""
        return iter(self._books)

    def __len__(self) -> int:
        """Return the number of books."""
        return len(self._books)
