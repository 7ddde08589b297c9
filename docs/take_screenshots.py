"""Take the pictures in docs/images: the graph, the daily report and the console's pages in a browser.

Runs twenty sessions of `us_five` and one of `us_wide` in a folder of its own, serves them, looks, and ends
all it started. Needs Chromium. What must be on the pages is held by tests/console.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs" / "images"
TRADING = str(Path(sys.executable).with_name("trading"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
BOOK, SESSIONS = "us_five", 20
OTHER_BOOK = "us_wide"
"""One of its buys is worth so much that a person must approve it."""

PREPARED = ((BOOK, SESSIONS, "all"), (OTHER_BOOK, 1, "decide"), (OTHER_BOOK, 1, "execute"))
"""What is run before; the other book's session stays open, since its settlement ends what waits."""

GROUPS = ("scanner", "commander", "strategist", "supervisor", "executor", "monitor", "reporter")

START_S_MAX = 180
SETTLE_MS = 4000
"""The pages go on asking and drawing for a while after they are loaded."""
COLOURS = 128
"""Enough for pages of text and lines, at a third of the bytes."""


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--state", type=Path, help="a state folder with sessions in it; a fresh one when left out"
    )
    parser.add_argument("--console-only", action="store_true", help="the console's pages alone")
    asked = parser.parse_args()
    given = asked.state
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        state = (given or Path(folder)).resolve()
        environment = os.environ | {
            "TRADING_STATE_DIR": str(state),
            "TRADING_CONFIG_DIR": str(PROJECT / "config"),
        }
        if given is None:
            for book, last, phase in PREPARED:
                command = [TRADING, "run-once", "--book", book, "--last", str(last), "--phase", phase]
                subprocess.run(command, env=environment, cwd=PROJECT, check=True)  # noqa: S603 - our own command
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            if not asked.console_only:
                with served(state, environment) as url:
                    take_pages(browser, url)
                take_report(browser, max(state.glob(f"simulated/reports/{BOOK}/*/report.html")))
            with console_served(state, environment) as link:
                take_console(browser, link)
            browser.close()
    return 0


def take_pages(browser: Browser, url: str) -> None:
    """Take the pages of the graph."""
    page = browser.new_page(viewport={"width": 1300, "height": 1350})
    page.goto(f"{url}/asset-groups")
    page.evaluate("localStorage.setItem('asset-graph-direction', JSON.stringify('vertical'))")
    page.get_by_text("Hide navigation").click()
    expanded = quote(",".join(f"global@global:{group}" for group in GROUPS), safe="")
    selected = quote(f'key:"{BOOK}/*"', safe="*")
    page.goto(f"{url}/asset-groups~{selected}/?expanded={expanded}")
    page.wait_for_timeout(SETTLE_MS)
    page.get_by_label("panel_show_right").first.click()
    # The pages fit the graph to the window before the list beside it is folded away.
    page.mouse.move(1100, 700)
    page.mouse.down()
    page.mouse.move(1150, 800, steps=5)
    page.mouse.up()
    save(page, "graph")

    page.set_viewport_size({"width": 1300, "height": 800})
    page.goto(f"{url}/assets/{BOOK}/decisions?view=checks")
    page.get_by_text("no_intent_is_blocked").first.click()
    save(page, "asset_checks")

    page.set_viewport_size({"width": 1300, "height": 1000})
    page.goto(f"{url}/assets/{BOOK}/decisions?view=lineage")
    save(page, "lineage")

    page.set_viewport_size({"width": 1300, "height": 1500})
    page.goto(f"{url}/assets/{BOOK}/positions")
    page.get_by_role("button", name="Plots").click()
    page.get_by_role("button", name="Events").click()
    save(page, "plots", settle_ms=3 * SETTLE_MS)
    page.close()


def take_report(browser: Browser, report: Path) -> None:
    """Take the daily report, wide and on a phone."""
    for name, width in (("report", 1100), ("report_phone", 390)):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(report.as_uri())
        save(page, name, whole=True)
        page.close()


def take_console(browser: Browser, link: str) -> None:
    """Take the console's pages that a morning goes through, and the first of them on a phone."""
    page = browser.new_page(viewport={"width": 1100, "height": 1000})
    page.goto(link)
    save(page, "console_overview", settle_ms=0, whole=True)
    page.get_by_role("link", name=re.compile(r"^Look at ")).first.click()
    save(page, "console_approval", settle_ms=0, whole=True)
    page.get_by_role("link", name="Overview").first.click()
    page.get_by_role("link", name=re.compile(r"^[1-9]\d* blocked$")).first.click()
    page.locator("main table a").first.click()
    save(page, "console_blocked", settle_ms=0)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="Overview").first.click()
    page.locator("details.halt > summary").click()
    save(page, "console_phone", settle_ms=0)
    page.close()


def save(page: Page, name: str, *, whole: bool = False, settle_ms: int = SETTLE_MS) -> None:
    """Save what a page shows once it has settled."""
    page.wait_for_timeout(settle_ms)
    taken = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    file = IMAGES / f"{name}.png"
    taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file.relative_to(PROJECT)}  {taken.width} × {taken.height}  {file.stat().st_size / 1000:.0f} kB")


@contextmanager
def served(state: Path, environment: dict[str, str]) -> Iterator[str]:
    """Serve the pages of a state folder while inside; gives their address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [TRADING, "ui", "--port", str(port), "--console-port", "0"]
    server = subprocess.Popen(command, env=environment, cwd=PROJECT)  # noqa: S603 - our own
    marker = state / "simulated" / "ui.json"
    try:
        deadline = time.monotonic() + START_S_MAX
        while not (marker.exists() and json.loads(marker.read_text() or "{}").get("port") == port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the pages did not come up")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


@contextmanager
def console_served(state: Path, environment: dict[str, str]) -> Iterator[str]:
    """Serve the console of a state folder while inside; gives a link that signs in once."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen([TRADING, "console", "--port", str(port)], env=environment, cwd=PROJECT)  # noqa: S603 - our own
    marker = state / "simulated" / "console" / "serving.json"
    try:
        deadline = time.monotonic() + START_S_MAX
        while not (marker.exists() and f":{port}" in marker.read_text()):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the console did not come up")
            time.sleep(0.5)
        # What serves told its own link already; this one is ours.
        asked = {"env": environment, "cwd": PROJECT, "stderr": subprocess.STDOUT}
        told = subprocess.check_output([TRADING, "console"], text=True, **asked)  # noqa: S603 - our own
        yield re.findall(r"http://\S+", told)[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


if __name__ == "__main__":
    raise SystemExit(main())
