"""The verbs by which people and programs get in: `console`, and the tokens of those who are elsewhere.

Serving is console/web/; FastAPI is imported only there, so that `tokens` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from console.desk import Desk, open_desk
from console.verbs.deciding import actor_of
from console.verbs.options import RUNNING, AsOption, JsonOption, show, tell
from console.verbs.teaching import help_of

CONSOLE_PORT_DEFAULT = 3001

RoleOption = Annotated[
    str,
    typer.Option(
        "--role", metavar="ROLE", help="viewer looks; trader decides, too; admin also undoes a halt."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    app.command(help=help_of(console), rich_help_panel=RUNNING)(console)
    tokens = typer.Typer(
        help="Tokens of programs that ask the console: make, list, revoke.", no_args_is_help=True
    )
    tokens.command("make", help=help_of(tokens_make))(tokens_make)
    tokens.command("list", help=help_of(tokens_list))(tokens_list)
    tokens.command("revoke", help=help_of(tokens_revoke))(tokens_revoke)
    app.add_typer(tokens, name="tokens", rich_help_panel=RUNNING)


def console(
    *,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port.")] = CONSOLE_PORT_DEFAULT,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Where to listen; this machine alone by default.")
    ] = "127.0.0.1",
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="TLS certificate with its chain, PEM."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The certificate's private key, PEM.")
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy in front speaks TLS to browsers.")
    ] = False,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="URL",
            help="How browsers reach it beyond this machine, as https://desk.example.org.",
        ),
    ] = "",
    role: RoleOption = "admin",
    as_name: AsOption = None,
) -> None:
    """Serve the console until interrupted, and print the link that signs a browser in, once, within a minute.

    Where this profile's console is served already, it prints a new link to that one and ends.

    trading console
    trading console --host 0.0.0.0 --certificate desk.pem --key desk.key --address https://desk.example.org:3001
    Exit codes: 0 a new link was printed, 2 the port is taken, or it would be in the clear, 130 interrupted.
    """
    from console.console_site import build_site
    from console.serving_marker import told_by
    from console.web.app import gated
    from console.web.identities import role_named
    from console.web.server import Bind, marker_path, serve
    from resources.logs import configure_logging

    desk = open_desk()
    bind = Bind(
        port=port,
        host=host,
        certificate=certificate,
        key=key,
        is_behind_proxy=behind_proxy,
        address=address,
    )
    name, wanted = actor_of(desk, as_name), role_named(role)
    served = told_by(marker_path(desk.settings))
    if served is not None:
        tell(_link(desk, served["address"], name, wanted))
        return
    configure_logging(desk.settings.log_file, level=desk.settings.log_level)
    app = gated(build_site(desk, access=bind.access))
    raise typer.Exit(
        serve(
            app,
            bind=bind,
            settings=desk.settings,
            ready=lambda: tell(
                f"{_link(desk, bind.access.origins[0], name, wanted)}\nCtrl-C stops it; "
                "`trading console` once more prints another link"
            ),
        )
    )


def tokens_make(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Who it speaks for: the journal keeps this name.")
    ],
    role: RoleOption = "viewer",
    days: Annotated[int, typer.Option("--days", metavar="N", help="For how many days it is good.")] = 90,
    as_json: JsonOption = False,
) -> None:
    """Make a token and show it, this once: what is kept is its digest.

    trading tokens make grafana --role viewer --days 365
    Exit codes: 0 done, 2 no such role.
    """
    from console.web.identities import role_named

    made = _tokens(open_desk()).make(name=name, role=role_named(role), now=_now(), days=days)
    view = {**_told(made.token), "secret": made.secret}
    show(
        view,
        lambda _: (
            f"{made.secret}\n{made.token.name}, {made.token.role}, until {view['expires_at']:%Y-%m-%d}; "
            f"it is not shown again\nnext:\n  trading tokens revoke {made.token.token_id}"
        ),
        as_json=as_json,
    )


def tokens_list(*, as_json: JsonOption = False) -> None:
    """List the tokens that were made and not taken back: their ids, names and roles, never a secret.

    trading tokens list
    Exit codes: 0 done.
    """
    from console.render import table

    rows = [_told(token) for token in _tokens(open_desk()).all()]
    listed = table(
        ("token", "name", "role", "made", "until"),
        [(row["token_id"], row["name"], row["role"], row["made_at"], row["expires_at"]) for row in rows],
    )
    none = "no token was made\nnext:\n  trading tokens make NAME --role viewer"
    show({"items": rows}, lambda _: listed if rows else none, as_json=as_json)


def tokens_revoke(
    *,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="As `trading tokens list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Take a token back: the console that runs refuses it from its next request on.

    trading tokens revoke 5f0c1a2b
    Exit codes: 0 done, 2 no such token.
    """
    token = _tokens(open_desk()).revoke(token_id)
    show(_told(token), lambda _: f"{token.token_id} of {token.name}: revoked", as_json=as_json)


def _link(desk: Desk, address: str, name: str, role: Any) -> str:
    from console.web.sign_in import LINK_S_MAX, SIGN_IN_PATH, Links
    from console.web.tokens import console_folder

    code = Links(console_folder(desk.settings)).issue(name=name, role=role, now=_now())
    return f"{address}{SIGN_IN_PATH}?code={code}\nsigns {name} in as {role}, once, within {LINK_S_MAX} s"


def _tokens(desk: Desk) -> Any:
    from console.web.tokens import Tokens, console_folder

    return Tokens(console_folder(desk.settings))


def _told(token: Any) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "role": token.role,
        "made_at": token.made_at,
        "expires_at": token.expires_at,
    }


def _now() -> Any:
    from resources.clocks import system_now

    return system_now()
