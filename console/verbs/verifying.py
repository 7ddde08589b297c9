"""The verb `verify`: whether the stores agree, as a terminal shows it. It is made in console/verify.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from console.desk import open_desk
from console.render import counted
from console.verbs.options import READING, BookOption, JsonOption, show, tell
from console.verbs.teaching import help_of

if TYPE_CHECKING:
    from console.verify import Verified


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command line."""
    app.command(help=help_of(verify), rich_help_panel=READING)(verify)


def verify(*, book: BookOption = None, as_json: JsonOption = False) -> None:
    """Check that journal, audit log, lake and paper brokers agree: one line an invariant. Changes nothing.

    Held, violated or not checked, with what was looked at; each violation with what to do. Also how many
    orders lead back to their decision, verdicts and inputs. Run it after a crash, a restore or a doubt.

    trading verify
    trading verify --book us_five --json
    Exit codes: 0 all held, 1 one is violated, 6 a store cannot be read.
    """
    from console.verify import verify as verify_desk

    found = verify_desk(open_desk(), book=book, tell=tell)
    show(found, verified, as_json=as_json, code=found.exit_code)


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
    lines.append(f"{links.linked:,} of {links.orders:,} orders lead back to decision, verdicts and inputs")
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
