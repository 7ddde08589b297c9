"""Who may answer a pending intent; that somebody tried who may only look is kept in the journal.

Any other route's role is permission.py. What an answer is bound to is actions.py.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from console import doing
from console.actions import Answer
from console.lookup import find_intent
from console.web.idempotency import is_dry_run
from console.web.identities import Actor, Role
from console.web.permission import Needs, actor_of
from console.web.problems import ProblemFound
from resources.logs import log_of
from trading.approvals import Role as ApproverRole
from trading.errors import TradingError

REFUSED = "the role is too low"


class NeedsApprover(Needs):
    """Let in who may answer, and keep in the journal who may not."""

    def __init__(self, what: Answer) -> None:
        super().__init__(Role.TRADER)
        self._what = what

    async def __call__(self, request: Request) -> Actor:
        """Return who answers; raises `ProblemFound` where they may not."""
        try:
            return await super().__call__(request)
        except ProblemFound:
            if not actor_of(request).role.includes(self.role) and not is_dry_run(request):
                await run_in_threadpool(_note, request, self._what)
            raise


def needs_approver(what: Answer) -> Any:
    """Return the dependency of a route that approves or rejects the intent of its `identity`."""
    return Depends(NeedsApprover(what))


def _note(request: Request, what: Answer) -> None:
    desk, actor = request.app.state.desk, actor_of(request)
    by = doing.By(actor=actor.name, role=ApproverRole(actor.role.value), reason=REFUSED)
    try:
        doing.note_refused(desk, find_intent(desk, request.path_params["identity"]), what, by=by)
    except TradingError as error:
        # No such intent, or no journal to keep it in: who asks hears that they may not all the same.
        log_of("console").warning("answer_refused_unkept", actor=actor.name, why=str(error))
