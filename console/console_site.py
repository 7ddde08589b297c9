"""The console's site: the server with its pages, put together. The root that knows both.

The server is console/web/, the pages are console/pages/, serving them is console/web/server.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.desk import Desk
from console.web.app import Clocks, build_app
from console.web.gate import Access

if TYPE_CHECKING:
    from fastapi import FastAPI


def build_site(desk: Desk, *, access: Access, clocks: Clocks | None = None) -> FastAPI:
    """Return the application with its pages, without the gate."""
    return build_app(desk, access=access, clocks=clocks)
