"""The verbs `verify`, `parity` and `preflight`: do the stores agree, do sessions replay, is live denied.

They are made in console/verify.py, console/parity.py and console/preflight.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from console.desk import open_desk
from console.exit_codes import ExitCode
from console.render import counted
from console.verbs.options import READING, BookOption, JsonOption, day_or_none, show, tell
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.parity import Parity
    from console.preflight import Preflight
    from console.verify import Verified

OneSession = Annotated[
    str | None, typer.Option("--session", metavar="YYYY-MM-DD", help="One session; all when left out.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(verify), rich_help_panel=READING)(verify)
    app.command(help=help_of(parity), rich_help_panel=READING)(parity)
    app.command(help=help_of(preflight), rich_help_panel=READING)(preflight)


def verify(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Check that journal, audit log, lake and brokers agree: one line an invariant. Changes nothing.

    Held, violated or not checked, with what was looked at; each violation with what to do. Also how many
    orders lead back to their decision, verdicts and inputs. Run it after a crash, a restore or a doubt.
    A broker over a network is asked only where an order ever went there.

    trading verify
    trading verify --book us_five --json
    Exit codes: 0 all held, 1 one is violated, 6 a store cannot be read, a broker could not be asked, or there
    is nothing to verify.
    """
    from console.verify import verify as verify_desk

    found = verify_desk(open_desk(), book=book, tell=tell)
    show(found, verified, as_json=as_json, code=found.exit_code)


def parity(*, book: BookOption = None, session: OneSession = None, as_json: JsonOption = False) -> None:
    """Decide sessions again from their record and compare, to the bit: names the first value that differs.

    Candidates, intents, verdicts, decisions and the journal's side of them; every decided session when none
    is named. Reads only what was recorded and changes nothing.

    trading parity
    trading parity --book us_five --session 2013-02-28
    Exit codes: 0 all the same, 1 the lake has none of the sessions that were decided, 2 nothing was decided
    in the session, 3 a session differs, 6 the journal is gone or cannot be read.
    """
    from console.parity import parity_of

    found = parity_of(open_desk(), book=book, session=day_or_none(session))
    is_same = not any(one.differing for one in found)
    code = ExitCode.DONE if is_same else ExitCode.ATTENTION
    show({"books": found}, lambda _: compared(found), as_json=as_json, code=code)


def compared(views: Sequence[Parity]) -> str:
    """Return a line a book, then a line for each session that differs."""
    lines = []
    for view in views:
        same = view.sessions - len(view.differing)
        lines.append(f"{view.book}: {same:,} of {counted(view.sessions, 'decided session')} the same")
        lines += [f"  ! {one.session}: {one.detail}" for one in view.differing]
    return "\n".join(lines)


def preflight(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Say whether live execution would be denied, and for what. Changes nothing.

    Each denial has a code that stays and what to do about it. An adapter over a network that a route names is
    asked whether it answers, knows the keys and lets the account trade.

    trading preflight
    trading preflight --book us_five --json
    Exit codes: 0 nothing is denied, 2 a book or reviewed file is wrong, 4 live execution is denied.
    """
    from console.preflight import preflight as preflight_desk

    found = preflight_desk(open_desk(), book=book)
    show(found, denied, as_json=as_json, code=ExitCode.DONE if found.is_ok else ExitCode.REFUSED)


def denied(view: Preflight) -> str:
    """Return a line a book with its code, then a line a denial."""
    lines = [f"profile {view.profile}: live execution {'may go' if view.is_ok else 'is denied'}"]
    for one in view.books:
        lines += ["", f"{one.book}  {one.code}", *(f"  {code}: {remedy}" for code, remedy in one.denials)]
    for route in view.routes:
        name = " ".join(filter(None, ("route", route.book, route.adapter)))
        lines += ["", f"{name}  {'OK' if route.is_ok else 'FAIL'}  {route.found}"]
        lines += [f"  → {route.remedy}"] if route.remedy else []
    return "\n".join(lines)


def verified(view: Verified) -> str:
    """Return the verdict, a line an invariant, then what is wrong and what to do about it."""
    lines = [view.verdict]
    width = max(len(row.says) for row in view.invariants)
    for row in view.invariants:
        told = row.why or row.looked_at
        if row.violations:
            told = f"{counted(row.violations, 'violation')} in {told}"
        lines.append(f"{row.standing.value.upper():11}  {row.invariant:5}  {row.says.ljust(width)}  {told}")
    links = view.links
    lines.append("")
    lines.append(
        f"no order can be followed back to its decision: {links.why}"
        if links.why
        else f"{links.linked:,} of {links.orders:,} orders lead back to decision, verdicts and inputs"
    )
    lines += [f"  ! {row.client_order_id}: {row.why}" for row in links.unlinked]
    unnamed = links.orders - links.linked - len(links.unlinked)
    if unnamed:
        lines.append(f"    and {unnamed:,} more")
    for store in view.unreadable:
        lines += ["", f"  ! {store}"]
    for found in view.violations:
        lines += ["", f"{found.invariant} {found.subject}: {found.detail}", f"      → {found.remedy}"]
    if view.violations_total > len(view.violations):
        lines += ["", f"and {view.violations_total - len(view.violations):,} more violations"]
    return "\n".join(lines)
