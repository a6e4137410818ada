"""A picture of a page, by a browser without a screen, where there is one.

The browser gets a profile that is thrown away and may not leave this machine's files; it is ended,
with all that it has started, when it takes too long.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Browsers that can do it, the first one on PATH is asked."""
WIDTH = 1240
"""Of the picture, in pixels."""
HIGHEST = 12_000
"""A page is cut off there."""
PATIENCE = 20.0
"""Seconds that a browser may take, each time that it is asked."""
_LOOK = 0.1

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--proxy-server=127.0.0.1:9",  # nothing listens there: what a page asks for is not fetched
)
_MEASURE = (
    b"<script>document.documentElement.dataset.height = "
    b"Math.ceil(document.documentElement.getBoundingClientRect().height)</script>"
)
_HEIGHT = re.compile(rb'data-height="(\d+)"')


def find(environ: Mapping[str, str] = os.environ) -> str | None:
    """The browser on PATH; None: there is none."""
    found = (shutil.which(name, path=environ.get("PATH")) for name in NAMES)
    return next((path for path in found if path), None)


def take(
    page: bytes,
    target: Path,
    environ: Mapping[str, str] = os.environ,
    check: Callable[[], None] = lambda: None,
) -> str | None:
    """Take a picture of a whole page.

    Args:
        page: HTML that needs no other file.
        target: where the PNG file goes.
        environ: where PATH is.
        check: called all the while; what it raises ends the browser, and is raised.

    Returns:
        Why there is no picture; None: it is there.
    """
    browser = find(environ)
    if browser is None:
        return f"no browser was found (looked for {', '.join(NAMES)})"
    with tempfile.TemporaryDirectory(prefix="greenlight-picture-") as folder:
        shown, told = Path(folder, "page.html"), Path(folder, "dom.html")
        shown.write_bytes(page + _MEASURE)
        given = (browser, environ.get("PATH", os.defpath), shown, Path(folder), told, check)
        fault = _ask(*given, "--dump-dom", f"--window-size={WIDTH},900")
        found = None if fault else _HEIGHT.search(told.read_bytes())
        if found is None:
            return fault or f"{browser} did not tell how high the page is"
        size = f"--window-size={WIDTH},{min(int(found[1]), HIGHEST)}"
        shown.write_bytes(page)
        fault = _ask(*given, f"--screenshot={target}", size)
    if fault is None and not target.is_file():
        return f"{browser} wrote no picture"
    return fault


def _ask(
    browser: str,
    search: str,
    shown: Path,
    folder: Path,
    told: Path,
    check: Callable[[], None],
    *flags: str,
) -> str | None:
    """Run the browser on a page, with what it says into a file; why it did not, or None."""
    # A browser that runs as root has no sandbox; the page is our own and has no script.
    alone = ("--no-sandbox",) if os.geteuid() == 0 else ()
    command = [browser, *_FLAGS, *alone, f"--user-data-dir={folder / 'profile'}", *flags]
    with told.open("wb") as out:
        process = subprocess.Popen(
            [*command, shown.as_uri()],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={"PATH": search, "HOME": str(folder), "LANG": "C.UTF-8"},  # no secret of ours
            start_new_session=True,
        )
        try:
            with contextlib.suppress(OSError):  # whatever else runs here comes first
                os.setpriority(os.PRIO_PGRP, process.pid, 10)
            status = _wait(process, check)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"{browser} took longer than {PATIENCE:g} s"
    return None if status == 0 else f"{browser} ended with status {status}"


def _wait(process: subprocess.Popen[bytes], check: Callable[[], None]) -> int:
    """The status with which the browser ends.

    Raises:
        TimeoutExpired: it takes longer than `PATIENCE`.
    """
    until = time.monotonic() + PATIENCE
    while True:
        check()
        left = until - time.monotonic()
        try:
            return process.wait(max(0.0, min(left, _LOOK)))
        except subprocess.TimeoutExpired:
            if left <= 0:
                raise
