"""The pages of the documentation as a test reads them: blocks, commands, links, names of files.

What a block means stands in its first line, after the language:

    ```bash                    commands, run one by one; a trailing `# exit 3` is the exit code to expect
    ```python file=PATH        a file that the reader writes
    ```toml append=PATH        lines that the reader adds at the end of a file
    ```toml replace=PATH       a section's header, and the line that the reader writes over the old one
    ```toml                    lines that stand so in a file of config/
    ```text                    a drawing

Following a page is reader.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

SHELLS = {"bash", "console", "sh", "shell"}

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_EXIT = re.compile(r"\s+#(?: exit (\d+))?(?:[:\s].*)?$")


class Block(NamedTuple):
    """Hold one fenced block: where it begins, its language, what is done with its text."""

    page: Path
    line: int
    language: str
    deed: str
    place: str
    body: str


class Command(NamedTuple):
    """Hold one command line of a page, and the exit code that the page says it ends with."""

    page: Path
    line: int
    text: str
    exit_code: int


def name_of(page: Path) -> str:
    """Give a page's path below the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Give the fenced blocks of a page in order."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        deed, _, place = rest.partition("=")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, deed, place, match["body"]))
    return found


def commands(block: Block) -> Iterator[Command]:
    """Give the commands of a shell block, without their comments."""
    for offset, text in enumerate(block.body.splitlines(), start=1):
        comment = _EXIT.search(text)
        code = int(comment[1]) if comment and comment[1] else 0
        bare = text[: comment.start()] if comment else text
        if bare.strip():
            yield Command(block.page, block.line + offset, bare.strip(), code)


def prose(page: Path) -> str:
    """Give a page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    """Give the targets of a page's links and pictures that are not on the web."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def codes(page: Path) -> list[str]:
    """Give what a page's prose puts into code marks."""
    return _CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Give the anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
