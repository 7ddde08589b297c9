"""A runbook as a page: the reviewed file in parts that a template shows, so that its text stays text.

Read are the headings, lists, tables, code and links that the files under docs/runbooks/ are written with;
anything else is shown as it was written. Which alert has which runbook is said in `config/alerts.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from posixpath import normpath
from typing import NamedTuple

from trading.errors import UnknownId

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
WRITTEN_IN = "docs/runbooks"

NAME = r"[a-z0-9_]{1,80}"
"""What a runbook is called: the code of its rule."""

_INLINE = re.compile(r"`([^`]+)`|\[([^\]]+)\]\(([^)\s]+)\)")
_LISTED = {"- ": "points", "1. ": "steps"}
_RULE = re.compile(r"\|[-:| ]+\|")
"""The line below a table's head."""


class Part(NamedTuple):
    """Hold a piece of a line: plain text, code, or a link to another runbook."""

    text: str
    is_code: bool = False
    link: str = ""


class Block(NamedTuple):
    """Hold what stands together: `title`, `heading`, `paragraph`, `points`, `steps` or `table`.

    `rows` are its lines, each of cells, each of parts; only a table has more than one cell a line, and its
    first line is its head.
    """

    kind: str
    rows: tuple[tuple[tuple[Part, ...], ...], ...]


class Runbook(NamedTuple):
    """Hold one runbook; `path` is where its file lies in the repository."""

    name: str
    path: str
    blocks: tuple[Block, ...]


def runbook_shown(name: str) -> Runbook:
    """Return the runbook of a name; raises `UnknownId` where there is none."""
    path = f"{WRITTEN_IN}/{name}.md"
    try:
        text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UnknownId(f"runbook {name}: there is no {path}") from error
    return Runbook(name=name, path=path, blocks=tuple(blocks_of(text)))


def runbook_link(path: str) -> str:
    """Return the page of a runbook that is named by its file, empty for any other file."""
    found = re.fullmatch(rf"{WRITTEN_IN}/({NAME})\.md", path)
    return f"/runbooks/{found[1]}" if found else ""


def blocks_of(text: str) -> Iterator[Block]:
    """Give the blocks of a file in their order."""
    for kind, lines in groupby(_lines(text.splitlines()), key=lambda line: line[0]):
        rows = [content for _, content in lines]
        if kind == "":
            continue
        if kind in {"title", "heading"}:
            yield from (Block(kind, ((_parts(row),),)) for row in rows)
        elif kind == "table":
            cells = (row.strip("|").split("|") for row in rows if not _RULE.fullmatch(row))
            yield Block(kind, tuple(tuple(_parts(cell.strip()) for cell in row) for row in cells))
        elif kind == "paragraph":
            yield Block(kind, ((_parts(" ".join(rows)),),))
        else:
            yield Block(kind, tuple((_parts(row),) for row in rows))


def _lines(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give each line with its kind; a line that is indented goes on with the point before it."""
    told: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("  ") and told and told[-1][0] in _LISTED.values():
            kind, before = told.pop()
            told.append((kind, f"{before} {line.strip()}"))
        else:
            told.append(_line(line.strip()))
    yield from told


def _line(line: str) -> tuple[str, str]:
    if not line:
        return "", ""
    for mark, kind in (("# ", "title"), ("## ", "heading"), *_LISTED.items()):
        if line.startswith(mark):
            return kind, line.removeprefix(mark)
    return ("table" if line.startswith("|") and line.endswith("|") else "paragraph"), line


def _parts(text: str) -> tuple[Part, ...]:
    return tuple(part for part in _pieces(text) if part.text)


def _pieces(text: str) -> Iterator[Part]:
    at = 0
    for found in _INLINE.finditer(text):
        yield Part(text[at : found.start()])
        at = found.end()
        if found[1] is not None:
            yield Part(found[1], is_code=True)
            continue
        path = normpath(f"{WRITTEN_IN}/{found[3]}")
        yield Part(found[2], link=runbook_link(path))
        if not runbook_link(path):
            # The console serves runbooks alone: of any other page it says where it lies.
            yield Part(" (")
            yield Part(path, is_code=True)
            yield Part(")")
    yield Part(text[at:])
