"""Look at a served console's pages over HTTP, as somebody who is signed in, and read them as people do."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlencode

from console.web.identities import Role
from tests.console.states import SESSION
from tests.console.web.serving import Console


class Site:
    """Look at a served console as somebody who is signed in."""

    def __init__(self, console: Console, role: Role = Role.ADMIN) -> None:
        self.console = console
        self.headers = console.signed_in(role)

    def page(self, path: str, *, status: int = 200, headers=None) -> str:
        """Give a page as text."""
        reply = self.console.ask("GET", path, headers=headers or self.headers)
        assert reply.status == status, reply.body.decode()
        assert reply.headers["content-type"].startswith("text/html")
        return reply.body.decode()

    def led_to(self, path: str) -> str:
        """Give where a page leads on to."""
        reply = self.console.ask("GET", path, headers=self.headers)
        assert reply.status == 303, reply.body.decode()
        return reply.headers["location"]

    def post(self, path: str, headers=None, **fields: str):
        """Give the answer to a form, with the token of its page."""
        headers = headers or self.headers
        given = {"csrf_token": self.console.csrf_of(headers), **fields}
        form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return self.console.ask("POST", path, body=urlencode(given).encode(), headers=form)

    def intent(self, symbol: str):
        """Give an intent of the latest session."""
        rows = self.console.desk.journal.intents(book="us_five", lane="simulated", session=SESSION)
        return next(row for row in rows if row.intent.symbol == symbol)


def words_of(page: str) -> str:
    """Give what a reader reads of a page, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page))).replace(" .", ".").replace(" :", ":")


def hidden_in(page: str) -> dict[str, str]:
    """Give what a page's form carries beside what a person writes."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found if name != "csrf_token"}
