"""The command line `trading`: puts the verbs together, and turns every error into one line and one exit code.

The verbs stand in console/verbs/, what they call in `console`, what the codes mean in exit_codes.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

import typer
import typer.main

from console.exit_codes import ExitCode, exit_code_of
from console.render import in_one_line, json_text
from console.verbs import (
    admitting,
    advising,
    alerting,
    calling,
    deciding,
    detecting,
    downloading,
    exchanging,
    hydrating,
    laddering,
    ordering,
    pinning,
    promoting,
    reading,
    replaying,
    reporting,
    running,
    stopping,
    storing,
    sweeping,
    telling,
    verifying,
    watching,
)
from trading.errors import TradingError

ABOUT = """A trading day as a graph of assets: what happened, why, and what waits for you.

Begin with `trading status`; ask `trading why` where nothing was traded; `trading halt` stops everything.
Every verb takes --json. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 attention needed,
4 refused by a guard or gate, 5 halted, 6 a dependency is down, 130 interrupted.
"""

TRACEBACK = "--traceback"

KEPT = {
    "replay": "each year that was whole is kept, and the same command goes on from there",
    "sweep": "each variant that was tried is kept, and the same command goes on from there",
    "halt": "whether trading is halted `trading status` tells, an order may be open: call it again at once",
    "detect": "nothing was changed and nothing is kept: the same command begins anew",
}
"""What stays of a verb that the keyboard ended, where more can be told than that what was recorded does."""

LINE_CHARACTERS_MAX = 1_000
"""The longest refusal: an argument of any length is repeated in it, and what to do stands at its end."""


def make_app() -> typer.Typer:
    """Return the command line with all its verbs."""
    app = typer.Typer(
        name="trading",
        help=ABOUT,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verbs in (
        reading,
        reporting,
        ordering,
        alerting,
        telling,
        advising,
        calling,
        verifying,
        watching,
        detecting,
        exchanging,
        deciding,
        promoting,
        stopping,
        running,
        replaying,
        hydrating,
        downloading,
        pinning,
        sweeping,
        storing,
        admitting,
        laddering,
    ):
        verbs.add_to(app)
    return app


@cache
def _command() -> Any:
    """Return the command line as it is asked: to build it takes longer than most verbs, so once a process."""
    return typer.main.get_command(make_app())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; `argv` are the words after `trading`.

    Every error of the product becomes one line on stderr, or with --json one object on stdout.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    for word in words:
        # What a terminal sends in another encoding could be neither printed nor kept; no file has a NUL.
        if not _is_text(word):
            return _refuse(
                f"argument {word!a}: is not UTF-8 text without NUL", ExitCode.USAGE, as_json=as_json
            )
    try:
        code = _command().main(args=words, prog_name="trading", standalone_mode=False)
    except KeyboardInterrupt:
        # While the command line is built; what comes later, it tells by its code.
        code = ExitCode.INTERRUPTED
    except typer.Abort as error:
        # A question that is not answered ends by one error, whoever ended it.
        if isinstance(error.__context__, KeyboardInterrupt):
            typer.echo(err=True)  # the question's line is not over
            return _refuse(
                "interrupted: not confirmed, nothing was changed", ExitCode.INTERRUPTED, as_json=as_json
            )
        return _refuse(
            "not confirmed: nothing was changed; --yes answers for scripts", ExitCode.FAILED, as_json=as_json
        )
    except typer.TyperException as error:
        if not error.format_message():
            return int(ExitCode.USAGE)  # no verb was named, and the help has been printed instead
        stopped = "NOT HALTED: " if _verb(words) == "halt" else ""
        return _refuse(f"{stopped}{_usage(error)}", ExitCode.USAGE, as_json=as_json)
    except TradingError as error:
        return _refuse(str(error), exit_code_of(error), as_json=as_json)
    except Exception as error:
        if TRACEBACK in words:
            raise
        return _refuse(_defect(error, words), ExitCode.FAILED, as_json=as_json)
    if code == ExitCode.INTERRUPTED:
        kept = KEPT.get(_verb(words), "what was recorded stays, and the same command goes on from there")
        return _refuse(f"interrupted: {kept}", ExitCode.INTERRUPTED, as_json=as_json)
    return int(code or 0)


def _verb(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in word


def _root(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda asked: _version(asked=asked),
            help="Print the version.",
        ),
    ] = False,
    traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="Show where an unexpected error came from, instead of one line.")
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"trading {version('trading-assets')}")
        raise typer.Exit


def _refuse(message: str, code: ExitCode, *, as_json: bool) -> int:
    """Print why a verb ended early, once, where its reader looks; return the code."""
    line = in_one_line(" ".join(message.split()))
    if len(line) > LINE_CHARACTERS_MAX:
        kept = LINE_CHARACTERS_MAX // 2 - 1
        line = f"{line[:kept]} … {line[-kept:]}"
    told = f"trading: {line}"
    if as_json:
        error = {"code": code.name.lower(), "message": line, "exit_code": int(code)}
        with suppress(OSError):
            typer.echo(json_text({"error": error}))
            return int(code)
    # Where nobody can be told, the code tells.
    with suppress(OSError):
        typer.echo(told, err=True)
    return int(code)


def _usage(error: typer.TyperException) -> str:
    """Return what was wrong with the words, and where the help of that very verb is."""
    place = getattr(getattr(error, "ctx", None), "command_path", "trading")
    return f"{error.format_message().rstrip('.')}; see `{place} --help`"


def _defect(error: Exception, words: Sequence[str]) -> str:
    again = " ".join(["trading", TRACEBACK, *words])
    return f"unexpected {type(error).__name__}: {error}; this is a defect: `{again}` shows where"
