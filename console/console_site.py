"""The console's site: the server with its pages, put together. The root that knows both.

The server is console/web/, the pages are console/pages/, serving them is console/web/server.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.desk import Desk
from console.execution_start import STARTS, Starts
from console.pages.router import error_page, pages_routes
from console.pages.templating import STATIC
from console.web.app import Clocks, Pages, build_app
from console.web.gate import Access

if TYPE_CHECKING:
    from fastapi import FastAPI


def build_site(
    desk: Desk, *, access: Access, clocks: Clocks | None = None, starts: Starts = STARTS
) -> FastAPI:
    """Return the application with its pages, without the gate; `starts` begins what somebody decided."""
    pages = Pages(routes=pages_routes(), static=STATIC, error_page=error_page)
    return build_app(desk, access=access, pages=pages, clocks=clocks, starts=starts)
