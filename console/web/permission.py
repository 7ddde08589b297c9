"""What a route needs: a role, of a browser's change its page's token, and no parameter that it does not know.

A route that says no role never starts. Who asks was settled by the gate (gate.py). Pages put
`csrf_token(request)` into their forms.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from difflib import get_close_matches
from typing import Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from console.web.gate import SAFE_METHODS
from console.web.identities import Actor, Role
from console.web.problems import ProblemFound, problem
from trading.journal import RunControl

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
NAME_SHOWN = 60
"""How much of a parameter's name is repeated where it is refused."""

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Needs:
    """Let in who has a role; as a dependency it gives the `Actor`."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> Actor:
        """Return who asks; raises `ProblemFound` where they may not."""
        actor = actor_of(request)
        require_role(actor, self.role)
        if actor.is_browser and request.method not in SAFE_METHODS:
            await _require_csrf_token(request, actor)
        _require_known_query(request)
        return actor


class RoleGuarded:
    """Stand before an application that declares no roles itself, as one of static files."""

    def __init__(self, application: Callable[..., Awaitable[None]], role: Role) -> None:
        self._application = application
        self.role = role

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Let in who has the role."""
        require_role(scope["state"]["actor"], self.role)
        await self._application(scope, receive, send)


def needs(role: Role) -> Any:
    """Return the dependency by which a route or a router says which role it needs."""
    return Depends(Needs(role))


def actor_of(request: Request) -> Actor:
    """Return who asks, as the gate found out."""
    actor: Actor = request.state.actor
    return actor


def csrf_token(request: Request) -> str:
    """Return what a form of a page carries in its field `csrf_token`; empty where a token asks."""
    return actor_of(request).csrf_token


def require_role(actor: Actor, needed: Role) -> None:
    """Raise `ProblemFound` where somebody's role is too low."""
    if not actor.role.includes(needed):
        raise ProblemFound(
            problem("role_needed", f"{actor.name} is {actor.role}; this takes {needed}", needed=needed.value)
        )


def require_resume(actor: Actor, control: RunControl) -> None:
    """Raise `ProblemFound` where somebody may not end what stops trading: only an admin ends a halt."""
    require_role(actor, Role.ADMIN if control.kill_switch_on else Role.TRADER)


def roles_of(routes: Sequence[Any]) -> Iterator[tuple[str, Role]]:
    """Give method and path of every route with its role; raises `TypeError` on one that says none."""
    for route in iter_route_contexts(routes):
        application = getattr(route, "app", None)
        if isinstance(route.original_route, APIRoute):
            role = _role_of(route.dependant)
        else:
            role = application.role if isinstance(application, RoleGuarded) else None
        if role is None:
            raise TypeError(f"route {route.path}: declares no role; give it needs(Role…), or RoleGuarded")
        yield from ((f"{method} {route.path}", role) for method in sorted(route.methods or {"GET"}))


def needs_of(dependant: Dependant) -> list[Needs]:
    """Return what a route's dependencies ask of who calls it."""
    return [one.call for one in _all_of(dependant) if isinstance(one.call, Needs)]


def _role_of(dependant: Dependant) -> Role | None:
    """Return the highest role that a route's dependencies ask for."""
    return max((one.role for one in needs_of(dependant)), key=list(Role).index, default=None)


def _all_of(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for one in dependant.dependencies:
        yield from _all_of(one)


def _require_known_query(request: Request) -> None:
    """Raise `ProblemFound` for a parameter that the route does not take, or that is there twice.

    One that is mistyped must never be as if it were not there: `?dryrun=true` would act in earnest.
    """
    known = {field.alias for one in _all_of(request.scope["route"].dependant) for field in one.query_params}
    rules = {
        name: _not_taken(name, known) if name not in known else "is there more than once"
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items()
        if name not in known or count > 1
    }
    if rules:
        told = [{"where": f"query.{name[:NAME_SHOWN]}", "rule": rule} for name, rule in rules.items()]
        name, rule = next(iter(rules.items()))
        raise ProblemFound(
            problem(
                "invalid_request",
                f"parameter {name[:NAME_SHOWN]!a} {rule}; nothing was done",
                errors=told,
            )
        )


def _not_taken(name: str, known: set[str]) -> str:
    """Return that a parameter is not known here, with the nearest that is, else all of them."""
    nearest = get_close_matches(name.lower()[:NAME_SHOWN], sorted(known), n=1)
    meant = f"did you mean {nearest[0]!r}" if nearest else f"known here: {', '.join(sorted(known)) or 'none'}"
    return f"is not known here ({meant})"


async def _require_csrf_token(request: Request, actor: Actor) -> None:
    given = request.headers.get(CSRF_HEADER, "")
    if not given and request.headers.get("content-type", "").startswith(FORMS):
        field = (await request.form()).get(CSRF_FIELD, "")
        given = field if isinstance(field, str) else ""
    if not hmac.compare_digest(given.encode(), actor.csrf_token.encode()):
        raise ProblemFound(problem("csrf_token_wrong", "reload the page, and try again"))
