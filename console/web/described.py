"""The API's description (OpenAPI): what the routes say of themselves, with problems and how to sign in.

The page made of it is docs/reference/rest.md, written by docs/write_reference.py.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from console.web.problems import CODES, PROBLEM_JSON, problem

SCHEMA = "Problem"

ABOUT = """What `trading` does at the command line, over HTTP: the same views and the same actions.

Every answer says of when it is (`as_of`), whose money moves (`mode`), and whether it may be behind (`stale`).
Money is a decimal string with its currency, times are RFC 3339 in UTC, lists are `{items, next}` with a
cursor. Every change takes `dry_run`, and an `Idempotency-Key` under which it is done once.
Errors are RFC 9457 problems with a `code` that keeps its meaning, and the `exit_code` that the command has.
"""

TAGS = [
    {"name": "look", "description": "How things stand."},
    {"name": "approvals", "description": "Intents that wait for a person."},
    {"name": "intents", "description": "What was decided, and what the guards said."},
    {"name": "orders", "description": "What was sent, and what became of it."},
    {"name": "incidents", "description": "What must not be, and who was told."},
    {"name": "control", "description": "Whether trading runs."},
]


def _told(description: str) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}
    return {"description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _told("An argument is wrong: the problem names it."),
    401: _told("No valid token or session. Nothing was read."),
    403: _told("The role is too low, or another page asked."),
    404: _told("There is nothing under this id or path."),
    405: _told("Not with this method."),
    413: _told("The body is too long."),
    421: _told("Asked under a name that the console does not have."),
    422: _told("A parameter does not fit: `errors` says where."),
    429: _told("Too many requests: `Retry-After` says for how long."),
    500: _told("A defect or a wrong setting: the log says where."),
    503: _told("The journal, the lake or a broker does not answer."),
}
"""What every route may answer besides what it is asked for."""

CHANGE_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    409: _told("Refused by a rule, or somebody else was first: look again."),
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application's API."""
    described = get_openapi(
        title="Trading console",
        version="1",
        summary="A trading desk: look, approve, stop.",
        description=ABOUT,
        routes=app.routes,
        tags=TAGS,
    )
    parts = described.setdefault("components", {})
    parts.setdefault("schemas", {})[SCHEMA] = _problem_schema()
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Made by `trading tokens make`."},
        "browser": {
            "type": "apiKey",
            "in": "cookie",
            "name": app.state.access.cookie_name,
            "description": "Of the one-time link that `trading console` prints; changes take `X-CSRF-Token`.",
        },
    }
    described["security"] = [{"token": []}, {"browser": []}]
    return described


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail", "exit_code"],
        "properties": {
            "type": {**text, "description": "`urn:trading:problem:` and the code."},
            "title": text,
            "status": {"type": "integer"},
            "code": {**text, "description": "Keeps its meaning; see docs/reference/rest.md."},
            "detail": {**text, "description": "What, which value and which rule, and what to do."},
            "exit_code": {"type": "integer", "description": "What the command would end with."},
            "errors": {
                "type": "array",
                "items": {"type": "object", "properties": {"where": text, "rule": text}},
            },
            "needed": {**text, "description": "The role that it takes."},
        },
        "examples": [
            problem(code).body for code in ("role_needed", "idempotency_key_reused") if code in CODES
        ],
    }
