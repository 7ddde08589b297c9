"""The API does as its description says, whatever it is asked: Schemathesis asks, with and without a token.

What each route means is test_api.py; that nobody unknown gets further than the gate, test_gate.py.
"""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from console.web.identities import Role
from console.web.rates import Rate
from resources.journal.store import SqlJournal
from tests.console import states
from tests.console.web.serving import console_on

UNLIMITED = Rate(burst=10**9, per_s=1)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
STARTING = "/control/flatten"
"""What is answered here starts a process each time: asked in one way that fits, and one that does not."""

FEW = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """Give a console with an intent that waits, which starts no run for anybody."""
    folder = tmp_path_factory.mktemp("desk")
    with console_on(folder, requests=UNLIMITED, failed_sign_ins=UNLIMITED) as served:
        served.desk.settings.profile_dir.mkdir(parents=True, exist_ok=True)
        with SqlJournal(served.desk.settings.journal_url) as journal:
            states.a_pending_intent(journal)
        yield served


@pytest.fixture(scope="module")
def described(console):
    """Give the description as the server tells it."""
    schema = schemathesis.openapi.from_dict(console.ask("GET", "/api/v1/openapi.json", role=Role.VIEWER).json)
    schema.config.update(base_url=f"http://127.0.0.1:{console.port}")
    return schema


@pytest.fixture(scope="module")
def cases(described):
    """Give what Schemathesis makes of every operation: a few that fit the description, a few that do not."""
    made = []
    for found in described.get_all_operations():
        operation = found.ok()
        # What takes nothing can be asked in one way only.
        takes_something = bool(list(operation.iter_parameters()) or list(operation.body))
        made += [few_of(operation, mode) for mode in MODES[: 1 + takes_something]]
    assert len(made) >= 45
    assert all(made)
    return made


def few_of(operation, mode):
    """Give a few cases of an operation."""
    few = []

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode))
    def take(case):
        few.append(case)

    take()
    return few


def test_whatever_is_asked_with_a_token_is_answered_as_described(cases, console):
    seen = Counter()

    for case in (case for few in cases for case in (few[:1] if few[0].path.endswith(STARTING) else few)):
        asked = case.derive()
        asked.headers["Authorization"] = f"Bearer {console.token(Role.ADMIN)}"
        asked.headers["Idempotency-Key"] = uuid.uuid4().hex
        response = asked.call()
        seen[response.status_code] += 1
        asked.validate_response(response, checks=CHECKS)

    assert seen[200] >= 20
    assert seen[422] >= 20
    assert seen[404] > 0


def test_whatever_is_asked_without_a_token_is_answered_with_401(cases):
    bodies = Counter()

    # What is asked makes no difference before the gate: a few of each will do.
    for case in (case for few in cases for case in few[:2]):
        asked = case.derive()
        asked.headers.pop("Authorization", None)
        asked.cookies.clear()
        response = asked.call()
        assert response.status_code == 401
        bodies[response.content] += 1

    assert len(bodies) == 1


def test_every_route_of_the_api_is_described_with_its_problems(console):
    description = console.ask("GET", "/api/v1/openapi.json", role=Role.VIEWER).json
    described = {
        f"{method.upper()} {path}" for path, methods in description["paths"].items() for method in methods
    }
    routes = {route for route in console.app.state.roles if "/api/v1/" in route}

    assert described == routes - {"GET /api/v1/openapi.json"}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            assert operation["description"], path
            assert {"401", "403", "404", "422", "429", "500", "503"} <= set(operation["responses"])
            assert ("409" in operation["responses"]) == (method == "post")
            parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
            if method == "post":
                assert "dry_run" in parameters
                assert ("Idempotency-Key" in parameters) == (not path.endswith("/control/halt"))
