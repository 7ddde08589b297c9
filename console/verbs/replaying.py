"""The verbs of replays: replay a range, list what was replayed, show one.

Running is console/launcher.py; what is shown is read by console/replays.py from the files of a replay.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import date
from shlex import join
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.book_outlines import COSTS
from console.desk import open_desk
from console.exit_codes import ExitCode, exit_code_named
from console.render import counted, money, pairs, table
from console.verbs.options import READING, RUNNING, BookOption, JsonOption, OneBookOption, show, tell
from console.verbs.teaching import help_of
from console.verbs.verifying import compared
from trading.errors import BadInput
from trading.measure_words import measure_text
from trading.values import amount_from_micros, micros_from_text
from trading.verdicts import SOFT_REASONS

if TYPE_CHECKING:
    from console.book_outlines import BookOutline
    from console.replays import ReplayView
    from trading.live_comparison import Comparison

BARS = "▁▂▃▄▅▆▇█"
RANGE_RULE = "write FIRST..LAST, each as YYYY, YYYY-MM or YYYY-MM-DD, e.g. 2003-01..2012-12"

LIVE = "live"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a replay.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(replay), rich_help_panel=RUNNING)(replay)
    listed = typer.Typer(help=help_of(replays), invoke_without_command=True)
    listed.callback(help=help_of(replays))(replays)
    listed.command("show", help=help_of(replays_show))(replays_show)
    app.add_typer(listed, name="replays", rich_help_panel=READING)


def replay(
    *,
    sessions: Annotated[
        str,
        typer.Argument(
            metavar="[FIRST..LAST]",
            help="The range: years, months or sessions, e.g. 2003-01..2012-12; all data when left out.",
            show_default=False,
        ),
    ] = "",
    book: OneBookOption = None,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="What it is kept under; told from the request if left out."
        ),
    ] = "",
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME[:KEY=VALUE,…]",
            help="A strategy that votes, with parameters that differ; again for more. "
            "The configured ones when left out.",
        ),
    ] = None,
    deposit: Annotated[
        str,
        typer.Option(
            "--deposit",
            metavar="AMOUNT",
            help="What the book opens with, in its currency; its own deposit if left out.",
        ),
    ] = "",
    slippage_bps: Annotated[
        int | None,
        typer.Option(
            "--slippage-bps", metavar="N", help="Basis points that a price is worse; the book's if left out."
        ),
    ] = None,
    commission_bps: Annotated[
        int | None,
        typer.Option(
            "--commission-bps", metavar="N", help="Basis points of the notional; the book's if left out."
        ),
    ] = None,
    participation_bps: Annotated[
        int | None,
        typer.Option(
            "--participation-bps",
            metavar="N",
            help="The share of a session's volume that may fill, in basis points; the book's if left out.",
        ),
    ] = None,
    approve: Annotated[
        bool,
        typer.Option("--approve/--no-approve", help="Whether whoever is asked for an approval gives it."),
    ] = True,
    light: Annotated[
        bool, typer.Option("--light", help="Keep sessions and fills only: for trying many, not for evidence.")
    ] = False,
    diff: Annotated[
        str,
        typer.Option(
            "--diff",
            metavar="live",
            help="Also compare with what was decided live in the range, and decide that again.",
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Replay a range of sessions by the live rules, and keep all that they decided. It sends nothing.

    Every intent, verdict, refusal, fill, position and mark is kept as a table of each year. One that was
    interrupted keeps the years that were done: the same command goes on from there, to the same bytes.
    With --diff live two things more are told of sessions that were decided live: which intents this replay
    has otherwise than live had, and whether live is what the rules make of its own inputs, to the bit.

    trading replay 2012-01..2012-06 --book us_five
    trading replay 2012 --book us_five --strategy momentum:lookback=60,skip=5 --name quicker
    trading replay 2013-02..2013-03 --book us_five --diff live
    Exit codes: 0 done, 1 the run or a check failed, 2 the range, book, name, strategy or a parameter is
    wrong, 3 a live session is not the same decided again, 4 the data is not what was pinned, 130 interrupted.
    """
    if diff not in {"", LIVE}:
        raise BadInput(f"--diff {diff!r}: only {LIVE} can be compared with")
    began = perf_counter()
    desk = open_desk()
    outline = desk.one(book)
    micros = micros_from_text(deposit) if deposit else None
    first, last = range_of(sessions, outline)
    from console.launcher import open_launcher
    from console.replays import replay_of
    from trading.replay import Asked

    run = open_launcher().replay(
        outline.name,
        name,
        Asked(
            first_session=first,
            last_session=last,
            strategies=tuple(strategy or ()),
            deposit_micros=micros,
            slippage_bps=slippage_bps,
            commission_bps=commission_bps,
            participation_bps=participation_bps,
            approve=approve,
            light=light,
        ),
    )
    if not run.success:
        tell(f"{outline.name} replay {run.name} FAILED: {run.message}")
        raise typer.Exit(exit_code_named(run.refused_by) or ExitCode.FAILED)
    found = replay_of(open_desk(), run.name, book=outline.name)
    whole = perf_counter() - began
    seconds = {**run.seconds, "dagster": whole - sum(run.seconds.values()), "whole": whole}
    told = {name: round(value, 3) for name, value in seconds.items()}
    view = {"replay": found, "run_id": run.run_id, "seconds": told}
    text, code = f"{_replay_text(found)}\n{_seconds_text(told)}", _code(found)
    if diff:
        from console.parity import beside_live, parity_in

        beside = beside_live(desk, book=outline.name, replay=run.name, first=first, last=last)
        live = parity_in(desk, book=outline.name, first=first, last=last)
        view |= {"beside_live": beside, "live": live}
        again = compared([live]) if live.sessions else "no data; nothing was decided live in these sessions"
        text += f"\n{_beside_text(beside, found)}\ndecided live, and again: {again}"
        if code is ExitCode.DONE and live.differing:
            code = ExitCode.ATTENTION
    text += f"\nnext:\n  trading replays show {found.name}"
    show(view, lambda _: text, as_json=as_json, code=code)


def _beside_text(beside: Comparison | None, view: ReplayView) -> str:
    """Return how a replay stands beside live, in a line or a few."""
    if beside is None:
        return "beside live: no data; a light replay keeps no intents to compare"
    if not beside.sessions:
        return "beside live: no data; nothing was decided live in these sessions"
    counts = (
        f"{beside.same:,} the same, {beside.differing:,} different, "
        f"{beside.live_only:,} of live alone, {beside.replayed_only:,} of the replay alone"
    )
    lines = [f"beside live, intents of {counted(beside.sessions, 'session')}: {counts}"]
    currency = view.summary["currency"]
    if beside.first is not None:
        lines.append(f"  ! first: {beside.first}")
    if beside.last_session is not None:
        live, own = money(beside.live_equity_micros), money(beside.replayed_equity_micros)
        lines.append(f"  equity after {beside.last_session}: live {live}, replay {own} {currency}")
    return "\n".join(lines)


def replays(context: typer.Context, *, book: BookOption = None, as_json: JsonOption = False) -> None:
    """List the replays that there are: range, strategies, what came of them. `show` tells one in full.

    trading replays
    trading replays --book us_five --json
    Exit codes: 0 done.
    """
    if context.invoked_subcommand is not None:
        return
    from console.replays import replays_of

    desk = open_desk()
    found = tuple(view for outline in desk.chosen(book) for view in replays_of(desk, outline))
    show({"replays": found}, lambda _: _list_text(found), as_json=as_json)


def replays_show(*, name: NameArgument, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Show one replay: its years, its equity, what was refused and why, its checks and where its tables are.

    trading replays show NAME
    Exit codes: 0 done, 1 one of its checks failed, 2 no such replay.
    """
    from console.replays import replay_of

    found = replay_of(open_desk(), name, book=book)
    show(found, _replay_text, as_json=as_json, code=_code(found))


def _code(view: ReplayView) -> ExitCode:
    checks = view.summary.get("checks", {})
    is_light = view.request.get("light", False)
    return ExitCode.DONE if is_light or all(checks.values()) else ExitCode.FAILED


def range_of(text: str, book: BookOutline) -> tuple[date | None, date | None]:
    """Return the first and last day of a range; a year or month that the data begins or ends in is cut there.

    A range of one part is that year, month or day.
    """
    if not text:
        return None, None
    begin, dots, end = text.partition("..")
    first, last = _period(begin, text), _period(end if dots else begin, text)
    return _within(first, book)[0], _within(last, book)[1]


def _within(period: tuple[date, date], book: BookOutline) -> tuple[date, date]:
    first, last = period
    if first == last:
        return period
    if book.first_session is not None and first < book.first_session <= last:
        first = book.first_session
    if book.last_session is not None and first <= book.last_session < last:
        last = book.last_session
    return first, last


def _period(text: str, whole: str) -> tuple[date, date]:
    parts = text.strip().split("-")
    try:
        numbers = [int(part) for part in parts]
        if len(numbers) == 1:
            return date(numbers[0], 1, 1), date(numbers[0], 12, 31)
        year, month = numbers[:2]
        if len(numbers) == 2:  # noqa: PLR2004 - a year and a month
            return date(year, month, 1), date(year, month, monthrange(year, month)[1])
        day = date.fromisoformat(text.strip())
    except (ValueError, IndexError) as error:
        raise BadInput(f"range {whole!r}: {text!r} is no year, month or day; {RANGE_RULE}") from error
    return day, day


def _list_text(views: tuple[ReplayView, ...]) -> str:
    if not views:
        return "no replay yet\nnext:\n  trading replay 2012-01..2012-06 --book us_five"
    rows = [
        (
            view.name,
            view.book,
            f"{view.request['first_session']}..{view.request['last_session']}",
            view.asked,
            f"{view.progress}, refused" if view.refused and not view.is_whole else view.progress,
            money(view.summary.get("closing_micros"), view.summary.get("currency", "")),
        )
        for view in views
    ]
    listed = table(("name", "book", "sessions", "strategies", "state", "equity"), rows)
    return f"{listed}\nnext:\n  trading replays show {views[-1].name}"


def _replay_text(view: ReplayView) -> str:
    summary, request = view.summary, view.request
    asked = f"{view.book} {request['first_session']}..{request['last_session']}"
    if not view.is_whole:
        told = f"{view.name}: {asked} has not come to its end, kept: {view.progress}"
        if view.refused:
            return f"{told}\nrefused: {view.refused}\ncorrect that, then:\n  {_same_again(view)}"
        return f"{told}\nnext:\n  {_same_again(view)}"
    currency = summary["currency"]
    rows = [
        (
            str(year["year"]),
            year["sessions"],
            money(year["closing_micros"]),
            _percent(year["return_ratio"]),
            _percent(year["drawdown_ratio"]),
            year["fills"],
            year["blocked"],
            money(year["traded_micros"]),
            money(year["commission_micros"] + year["slippage_micros"]),
            money(year["dividend_micros"]),
        )
        for year in summary["years"]
    ]
    headers = (
        "year",
        "sessions",
        "equity",
        "return",
        "drawdown",
        "fills",
        "blocked",
        "traded",
        "costs",
        "dividends",
    )
    failed = [name for name, passed in summary["checks"].items() if not passed]
    rows_kept = sum(summary["rows"].values())
    reasons = sorted(summary["reasons"].items(), key=lambda pair: (-pair[1], pair[0]))
    refused = [(reason, count) for reason, count in reasons if reason not in SOFT_REASONS]
    soft = [(reason, count) for reason, count in reasons if reason in SOFT_REASONS]
    heads = {
        "replay": f"{view.name}: {asked}, {counted(summary['sessions'], 'session')}",
        "strategies": view.asked,
        "assumed": _assumed_text(request),
        "equity": f"{money(summary['opening_micros'])} → {money(summary['closing_micros'], currency)}",
        "": _bars([micros for _, micros in summary["equity"]]),
        "refused": _refused_text(refused, summary, view.scorecard),
        **({"asked": _asked_text(soft, is_given=request["approve"])} if soft else {}),
        "worth": _worth_text(view.scorecard),
        "checks": _checks_text(summary["checks"], failed, is_light=request["light"]),
        "tables": f"{counted(rows_kept, 'row')} in {view.folder}",
        "page": view.tear_sheet or "no page yet",
    }
    warned = "".join(f"\n! {warning}" for warning in summary.get("warnings", ()))
    return f"{pairs(heads)}\n\n{table(headers, rows)}{warned}"


def _percent(ratio: str | None) -> str:
    """Return a ratio of a manifest in per cent; of a year that began with nothing there is none."""
    return measure_text("total_return", None if ratio is None else float(ratio))


def _assumed_text(request: Mapping[str, Any]) -> str:
    costs = request["costs"]
    approvals = "" if request["approve"] else ", approvals not given"
    return (
        f"slippage {costs['slippage_bps']} bps, commission {costs['commission_bps']} bps, "
        f"up to {costs['participation_bps']} bps of a session's volume{approvals}"
    )


def _same_again(view: ReplayView) -> str:
    """Return the command that goes on with a replay, with every option: defaults may be others by now."""
    asked = view.request
    words = ["trading", "replay", f"{asked['first_session']}..{asked['last_session']}", "--book", view.book]
    words += [word for strategy in asked["strategies"] for word in ("--strategy", strategy)]
    words += ["--deposit", format(amount_from_micros(asked["deposit_micros"]), "f")]
    words += [word for name in COSTS for word in (f"--{name.replace('_', '-')}", str(asked["costs"][name]))]
    words += ["--approve" if asked["approve"] else "--no-approve", *(["--light"] if asked["light"] else [])]
    return join([*words, "--name", view.name])


def _refused_text(reasons: list[tuple[str, int]], summary: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    if why := summary.get("why_nothing_intended"):
        return f"nothing, since nothing was intended: {why}"
    if card and not card["trading"]["intents"]:
        return "nothing, since nothing was intended"
    return _counts_text(reasons) or "nothing"


def _asked_text(reasons: list[tuple[str, int]], *, is_given: bool) -> str:
    """Return what a person would have been asked for, which is no refusal, and what the replay took it as."""
    taken = "approved" if is_given else "not approved"
    return f"{_counts_text(reasons)}; taken as {taken} where nothing else stood against it"


def _counts_text(reasons: list[tuple[str, int]]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in reasons)


def _worth_text(card: Mapping[str, Any]) -> str:
    if not card:
        return "no scorecard yet"
    measures = {**card["trading"], **card["performance"]}
    told = ("cagr", "sharpe", "sortino", "max_drawdown", "turnover")
    return ", ".join(f"{name} {measure_text(name, measures[name])}" for name in told)


def _checks_text(checks: dict[str, bool], failed: list[str], *, is_light: bool) -> str:
    held = f"{len(checks) - len(failed)} of {len(checks)} held"
    if not failed:
        return held
    return f"{held}; {'no data for' if is_light else 'FAILED:'} {', '.join(failed)}"


def _bars(micros: list[int]) -> str:
    low, high = min(micros), max(micros)
    if high == low:
        return BARS[0] * len(micros)
    return "".join(BARS[(one - low) * (len(BARS) - 1) // (high - low)] for one in micros)


def _seconds_text(seconds: dict[str, Any]) -> str:
    told = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "whole")
    return f"\n{seconds['whole']:.1f} seconds in all: {told}"
