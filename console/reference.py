"""Write the reference of the command line from the command line itself: `python -m console.reference`.

What a page says is each verb's own help, so that neither can be wrong alone; a test holds the pages current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main

from console.cli import make_app
from console.exit_codes import CODE_OF_ERROR, MEANINGS
from console.verbs.teaching import EXAMPLE

ROOT = Path(__file__).resolve().parent.parent / "docs" / "reference"
EVERYWHERE = """Everywhere: `--json` prints exactly one object on standard output, also on errors.
Progress and questions go to standard error.
`trading --install-completion` sets up your shell, `trading --version` says which version this is,
`trading --traceback VERB …` shows where an unexpected error came from."""
SKIPPED = {"--install-completion", "--show-completion", "--help"}


def cli_page() -> str:
    """Return the page of all verbs as Markdown: help, example, options of each."""
    command = typer.main.get_command(make_app())
    parts = [
        "# The command line",
        "Made by `python -m console.reference` from the verbs' own help; change it there.",
        "Exit codes are in [exit_codes.md](exit_codes.md).",
        EVERYWHERE,
    ]
    for words, verb in _verbs(command, ("trading",)):
        parts += [f"## `{' '.join(words)}`", *_paragraphs(verb), _options(verb)]
    return "\n\n".join(part for part in parts if part) + "\n"


def exit_codes_page() -> str:
    """Return the page of exit codes as Markdown: what each means, and which errors lead to it."""
    rows = [
        f"| {int(code)} | `{code.name.lower()}` | {meaning} | {_errors(code)} |"
        for code, meaning in MEANINGS.items()
    ]
    return "\n".join(
        [
            "# Exit codes",
            "",
            "Made by `python -m console.reference` from `console/exit_codes.py`.",
            'With `--json` an error is `{"error": {"code", "message", "exit_code"}}` on standard output.',
            "",
            "| code | `error.code` | means | errors |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def pages() -> dict[Path, str]:
    """Return every page by its path."""
    return {ROOT / "cli.md": cli_page(), ROOT / "exit_codes.md": exit_codes_page()}


def main() -> int:
    """Write the pages; return the exit code."""
    ROOT.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path.name}", err=True)
    return 0


def _verbs(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    if command.invoke_without_command and command.help and EXAMPLE in command.help:
        yield words, command
    for name, inner in command.commands.items():
        yield from _verbs(inner, (*words, name))


def _paragraphs(verb: Any) -> Iterator[str]:
    for paragraph in str(verb.help).replace("\b\n", "").split("\n\n"):
        lines = paragraph.strip().splitlines()
        examples = [line for line in lines if line.startswith(EXAMPLE)]
        if examples:
            yield "```\n" + "\n".join(examples) + "\n```"
        rest = " ".join(line for line in lines if line not in examples)
        if rest:
            yield rest


def _options(verb: Any) -> str:
    rows = [_option(parameter) for parameter in verb.params if not SKIPPED & set(parameter.opts)]
    return "\n".join(["| option | what |", "|---|---|", *rows]) if rows else ""


def _option(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    name = parameter.metavar if is_argument else ", ".join(parameter.opts)
    value = f" {parameter.metavar}" if parameter.metavar and not is_argument else ""
    needed = " Needed." if parameter.required else ""
    return f"| `{name}{value}` | {parameter.help}{needed} |"


def _errors(code: int) -> str:
    names = [f"`{error.__name__}`" for error, leads_to in CODE_OF_ERROR if leads_to == code]
    return ", ".join(names)


if __name__ == "__main__":
    sys.exit(main())
