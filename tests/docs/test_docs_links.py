"""Whatever a page points at is there: pages, anchors, pictures, and files named in code marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, blocks, codes, links, name_of

FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
FILE = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*|[\w-]+\.(?:toml|yaml|md|lock)")
MADE_BY_THE_READER = {block.place for page in PAGES for block in blocks(page) if block.deed == "file"}


def files_named(page: Path) -> set[str]:
    """Give every file and folder of the repository that a page names in code marks."""
    named = {code for code in codes(page) if FILE.fullmatch(code)}
    return {name for name in named if not any(made.startswith(name) for made in MADE_BY_THE_READER)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_its_anchor(page):
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_is_there(page):
    missing = [
        name
        for name in files_named(page)
        if not any(list(place.glob(name.rstrip("/"))) for place in (ROOT, ROOT / "config", page.parent))
    ]

    assert missing == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_every_page_can_be_reached_from_the_index(page):
    reached = {DOCS / "index.md"}
    todo = [DOCS / "index.md"]
    while todo:
        here = todo.pop()
        found = {(here.parent / link.partition("#")[0]).resolve() for link in links(here)} - reached
        new = {path for path in found if path.suffix == ".md" and path.is_file()}
        reached |= new
        todo += new

    assert page in reached


def test_a_picture_is_small_enough_to_load():
    assert [path.name for path in DOCS.rglob("*.png") if path.stat().st_size > 300_000] == []
