"""Who asks, and what they may do: three roles, each with all that the one below it may.

How somebody proves who they are is tokens.py and sign_in.py; which route needs which role is permission.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from resources.operator_names import NAME_RULE, is_name
from trading.errors import BadInput


class Role(StrEnum):
    """Say how far somebody may go: look; trade and stop trading; undo a halt as well."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Say whether this role may do what another one may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Hold who asks: the name that the journal keeps, and the role.

    `key` tells one token or browser from another; `csrf_token` is that of a browser, empty for a token, which
    no browser sends by itself.
    """

    name: str
    role: Role
    key: str
    csrf_token: str = ""

    @property
    def is_browser(self) -> bool:
        """Say whether a cookie, and no token, said who asks."""
        return bool(self.csrf_token)


def role_named(name: str) -> Role:
    """Return a role by its name; raises `BadInput`."""
    try:
        return Role(name)
    except ValueError as error:
        raise BadInput(f"role {name!r}: one of {', '.join(Role)}") from error


def require_name(name: str) -> str:
    """Return a name that can stand in the journal, and be said to a verb; raises `BadInput`."""
    if not is_name(name.strip()):
        raise BadInput(f"name {name!r}: write {NAME_RULE}")
    return name.strip()
