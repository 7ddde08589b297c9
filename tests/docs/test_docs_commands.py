"""Every command in README and docs is run, page by page, from what `make run` leaves behind.

How pages mark what is run is pages.py; how it is run is reader.py.
"""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from console.cli import make_app
from tests.docs.pages import DOCS, PAGES, ROOT, SHELLS, Block, blocks, codes, commands, name_of

FOLLOWED = [page for page in PAGES if any(block.language in SHELLS or block.deed for block in blocks(page))]
CONFIG = {path.name: path.read_text("utf-8") for path in (ROOT / "config").glob("*.toml")}


def spoken_of(page: Path) -> list[str]:
    """Give every call of `trading` that a page mentions anywhere: in its prose, in blocks of any kind."""
    lines = [line for block in blocks(page) for line in block.body.splitlines()]
    lines += [code for code in codes(page) if not code.endswith("/")]
    return [line for line in lines if line.startswith("trading ")]


@functools.cache
def command_line() -> Any:
    """Give the command line with all its verbs."""
    return typer.main.get_command(make_app())


def problem_of(line: str) -> str:
    """Give what is wrong with a call of `trading`, nothing where its verb and options exist."""
    command = command_line()
    words = shlex.split(line, comments=True)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-") and words[0] != "VERB":
        verb = words.pop(0)
        if verb not in command.commands:
            return f"no verb {verb}"
        command = command.commands[verb]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {"--help", "--install-completion"}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"no option {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_reader_can_follow_the_page_to_the_letter(page, reader):
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.parametrize(
    "line",
    [
        "trading positions  # exit 4: it ends with 0",
        "trading status  # it ends with 3, since an approval waits",
        "make nonsense",
        "rm -r .trading",
    ],
)
def test_a_command_that_does_otherwise_than_the_page_says_is_found(line, reader):
    (command,) = commands(Block(ROOT / "README.md", 1, "bash", "", "", f"{line}\n"))

    with pytest.raises((AssertionError, pytest.fail.Exception), match=r"README\.md:2"):
        reader.run(command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_verb_and_option_that_a_page_names_exists(page):
    calls = spoken_of(page)

    assert {call: problem for call in calls if (problem := problem_of(call))} == {}


def test_a_verb_or_an_option_that_does_not_exist_is_found():
    assert problem_of("trading stauts") == "no verb stauts"
    assert problem_of("trading status --boook us_five") == "no option --boook"
    assert problem_of('trading approvals approve ID --reason "why not"') == ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_quoted_configuration_stands_so_in_a_reviewed_file(page):
    quoted = [block.body for block in blocks(page) if block.language == "toml" and not block.deed]

    assert [body for body in quoted if not any(body in text for text in CONFIG.values())] == []


def test_the_readme_begins_with_the_two_commands_and_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    run = [command.text for block in blocks(ROOT / "README.md") for command in commands(block)]

    assert run[:3] == ["make run", "make test", "make ui"]
    assert len(text.splitlines()) < 150


def test_tutorials_and_how_to_pages_are_all_followed():
    teaching = {*(DOCS / "tutorials").glob("*.md"), *(DOCS / "how-to").glob("*.md")}

    assert teaching
    assert teaching - set(FOLLOWED) == set()
